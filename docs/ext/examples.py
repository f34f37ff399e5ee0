"""The Python examples of a document: found, run one after the other in one process, compared with what it shows.

Two kinds of block:

    ```python + ```text      the output stands in the document (it is read on the repository's pages too) and is compared
    ```{code-cell}           the output is made when the site is built

A cell with the tag `warns` must give a warning of this package, every other one none.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

# Runs the sources and answers each with what it printed; IPython is not needed.
PROGRAM = """
import contextlib, io, json, sys, warnings
import matplotlib
matplotlib.use("Agg")
import fastlmm_hlm.errors
space, printed = {}, []
for source, warns in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always" if warns else "error")
        exec(compile(source, "example", "exec"), space)
    ours = [w for w in caught if issubclass(w.category, fastlmm_hlm.errors.FastlmmWarning)]
    if warns and not ours:
        sys.exit("this cell has the tag warns, but gave no warning:\\n" + source)
    printed.append(out.getvalue())
    if "matplotlib.pyplot" in sys.modules:            # as a notebook does after each cell
        sys.modules["matplotlib.pyplot"].close("all")
json.dump(printed, sys.stdout)
"""


@dataclass(frozen=True)
class Example:
    """One block of code.

    Attributes
    ----------
    source : str
    shown : str or None     the output that stands in the document
    warns : bool
    """

    source: str
    shown: str | None = None
    warns: bool = False


def examples(text):
    """Every ```python block, with the output that a ```text block right after it shows."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    following = [*blocks[1:], ("", "")]
    return [Example(source, output if kind == "text" else None)
            for (language, source), (kind, output) in zip(blocks, following) if language == "python"]


def cells(text):
    """Every ```{code-cell} block."""
    found = re.findall(r"^```\{code-cell\}[^\n]*\n((?::[\w-]+:[^\n]*\n)*)(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Example(source, warns="warns" in re.findall(r"[\w-]+", options)) for options, source in found]


def run(found, root):
    """What each example prints, all run one after the other in one process of their own.

    Parameters
    ----------
    found : list of Example
    root : path
        Folder to run in: the root of the repository.

    Raises
    ------
    AssertionError
        If an example fails, or warns when it should not.
    """
    sources = json.dumps([(example.source, example.warns) for example in found])
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=sources, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
