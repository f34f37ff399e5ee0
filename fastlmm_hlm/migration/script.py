"""migrate(): an R script of mixed models as a Python script."""

import ast
from dataclasses import dataclass
from pathlib import Path

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.migration import basics, columns, frames, means, models, results, statistics  # noqa: F401 - they register their translations
from fastlmm_hlm.migration.parse import parse
from fastlmm_hlm.migration.translation import Translation
from fastlmm_hlm.migration.writer import Writer


@dataclass(frozen=True)
class Migration:
    """An R script in Python.

    Attributes
    ----------
    text : str
        The Python script; ``print(migration)`` shows it.
    statements, translated, changed : int
        Statements at top level of the script; those translated; those of them whose meaning was put right
        (``# CHANGED``).
    marked : list of (int, str)
        Line and reason of each statement that stays in R (``# NOT TRANSLATED``).
    variables : dict
        Names of variables in R -> in Python.
    """

    text: str
    statements: int
    translated: int
    changed: int
    marked: list
    variables: dict

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"<Migration: {self.summary()}>"

    def summary(self):
        """One line: how many statements, how many of them translated and marked."""
        changed = f", {self.changed} of them changed" if self.changed else ""
        return f"{self.statements} statements, {self.translated} translated{changed}, {len(self.marked)} marked"

    def save(self, path):
        """Write the script to a file."""
        Path(path).write_text(self.text, encoding="utf-8")


def migrate(script, parser=None, folder=None):
    """Translate an R script that fits mixed models.

    What has the same meaning in Python is translated.  Everything else stays as a comment that begins with
    ``# NOT TRANSLATED``, and so does all that depends on it.  Data files that are there are looked at, for the
    names and kinds of their columns; nothing is run.

    Parameters
    ----------
    script : str or pathlib.Path
        The text of a script, or a path (a text on one line that ends in ``.R``, ``.r`` is one).
    parser : {"R", "tree-sitter"}, optional
        R's own by default where R is installed.
    folder : str or pathlib.Path, optional
        Where relative names of data files start: by default the folder of the script, or the working directory.

    Returns
    -------
    Migration

    Raises
    ------
    ArgumentError
        If the script is not valid R (with the line), or there is neither R nor tree-sitter.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> print(migrate("library(lme4)\\nfit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)"))
    from fastlmm_hlm import datasets, lmer
    <BLANKLINE>
    fit = lmer("Reaction ~ Days + (Days | Subject)", data=datasets.load("sleepstudy"))
    <BLANKLINE>
    """
    if isinstance(script, Path) or (isinstance(script, str) and "\n" not in script and script.lower().endswith(".r")):
        path = Path(script)
        folder = path.absolute().parent if folder is None else folder
        try:
            script = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ArgumentError(f"migrate: {path} is not a text in UTF-8 ({error}). Save it as UTF-8 first.") from error
    if not isinstance(script, str):
        raise ArgumentError(f"migrate: expected the text of a script or a path, got {type(script).__name__}.")
    tree = parse(script, parser)
    t = Translation(Path.cwd() if folder is None else folder)
    writer = Writer(t, tree)
    writer.run()
    text = _layout(_imports(t), [line for chunk in writer.chunks for line in chunk])
    ast.parse(text)
    return Migration(text, len(tree.statements), writer.translated, writer.changed, sorted(writer.marks), dict(t.own))


def _imports(t):
    """Import lines, once and in order."""
    lines = [f"import {module}" for name, module in (("np", "numpy as np"), ("pd", "pandas as pd")) if name in t.imports]
    names = sorted(t.imports - {"np", "pd"})
    if names:
        line = f"from fastlmm_hlm import {', '.join(names)}"
        if len(line) > 110:
            rows, row = [], "   "
            for name in names:
                if len(row) + len(name) > 105:
                    rows.append(row)
                    row = "   "
                row += f" {name},"
            line = "\n".join(["from fastlmm_hlm import (", *rows, row, ")"])
        lines += [*([""] if lines else []), line]
    return lines


def _layout(imports, lines):
    """Imports below the comments that head the script, no double blank lines but around functions."""
    head = 0
    while head < len(lines) and lines[head].startswith("#") and not lines[head].startswith(("# NOT", "# NOTE", "# CHANGED", "# R:")):
        head += 1
    if head and head < len(lines) and lines[head]:
        head = 0
    body = [*lines[:head], *([""] if head else []), *imports, *([""] if imports else []), *lines[head:]]
    out = []
    for line in body:
        if not line and (not out or not out[-1]):
            continue
        if line.startswith("def ") and out:
            while out and not out[-1]:
                out.pop()
            out += ["", ""]
        elif line and not line.startswith((" ", "def ", ")", "else", "elif")) and _ends_function(out):
            while out and not out[-1]:
                out.pop()
            out += ["", ""]
        out.append(line)
    while out and not out[-1]:
        out.pop()
    return "\n".join(out) + "\n"


def _ends_function(out):
    """Whether the last line that is not blank belongs to a function."""
    for line in reversed(out):
        if line and not line.startswith(" "):
            return line.startswith("def ")
    return False
