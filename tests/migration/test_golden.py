"""Whole scripts: the Python that is expected, the same from both parsers, and the same models as in R."""

import ast
import builtins
import os
import pathlib

import pytest

import fastlmm_hlm
from fastlmm_hlm import migrate
from fastlmm_hlm.migration import runs
from fastlmm_hlm.migration.parse import parse

FOLDER = pathlib.Path(__file__).parent / "scripts"
SCRIPTS = sorted(FOLDER.glob("*.R"))
# Scripts that stop in R, as they call what is not there.
STOP_IN_R = {"control_flow", "hard_data", "results", "untranslated_columns"}
# Models of R that the translation marks.
NOT_TRANSLATED = {"contrasts": {"releveled"}, "functions": {"three"}}


def names_of(paths):
    return [path.stem for path in paths]


@pytest.mark.parametrize("path", SCRIPTS, ids=names_of(SCRIPTS))
def test_a_script_gives_the_expected_python(path):
    """FASTLMM_GOLDEN=1 writes the expected files anew; read the difference before you commit it."""
    text = migrate(path, parser="tree-sitter").text
    golden = path.with_suffix(".py.txt")
    if os.environ.get("FASTLMM_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=names_of(SCRIPTS))
def test_no_name_is_used_that_python_has_not_got(path):
    assert undefined(migrate(path, parser="tree-sitter").text) == set()


def undefined(text):
    """Names that are read before anything could have defined them, in the order of the lines."""
    module, missing = ast.parse(text), set()
    known = set(dir(builtins))

    def define(target):
        known.update(node.id for node in ast.walk(target) if isinstance(node, ast.Name))

    for statement in module.body:
        bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {arg.arg for node in ast.walk(statement) if isinstance(node, ast.arguments) for arg in node.args}
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            known.update((alias.asname or alias.name) for alias in statement.names)
            continue
        compound = not isinstance(statement, (ast.Assign, ast.Expr)) or any(
            isinstance(node, (ast.ListComp, ast.DictComp, ast.Lambda)) for node in ast.walk(statement))
        if isinstance(statement, ast.FunctionDef):
            known.add(statement.name)
        read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        missing |= read - known - (bound if compound else set())
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not isinstance(statement, ast.FunctionDef):
                known.add(node.id)
    return missing


def test_a_name_that_is_missing_is_noticed():
    assert undefined("x = 1\nprint(y)") == {"y"} and undefined("def f(a):\n    return a + b") == {"b"}


@pytest.mark.parity
@pytest.mark.parametrize("path", SCRIPTS, ids=names_of(SCRIPTS))
def test_both_parsers_give_the_same_tree_and_the_same_lines(path):
    ours, theirs = (parse(path.read_text(), parser) for parser in ("tree-sitter", "R"))
    assert ours == theirs and ours.comments == theirs.comments
    where = [[(node.line, node.end) for top in script.statements for node in top.walk()] for script in (ours, theirs)]
    assert where[0] == where[1]


@pytest.mark.parity
@pytest.mark.parametrize("path", SCRIPTS, ids=names_of(SCRIPTS))
def test_both_scripts_fit_the_same_models(path):
    migration = migrate(path)
    if path.stem in STOP_IN_R:
        text = runnable(path, migration)
    else:
        text = path.read_text()
    theirs = runs.fits_of_r(text, FOLDER)
    ours = runs.fits_of_python(migration.text, FOLDER, migration.variables)
    table = runs.compare(theirs, ours)
    assert len(table) >= 1
    wrong = table[~table["verdict"].isin([runs.SAME])]
    assert set(wrong.index) == NOT_TRANSLATED.get(path.stem, set()), table.to_string()


def runnable(path, migration):
    """The statements of a script that are translated."""
    script, marked = parse(path.read_text()), {line for line, _ in migration.marked}
    lines = path.read_text().split("\n")
    return "\n".join("\n".join(lines[node.line - 1:node.end]) for node in script.statements if node.line not in marked)


def test_every_generic_that_a_script_imports_exists():
    for path in SCRIPTS:
        for node in ast.parse(migrate(path, parser="tree-sitter").text).body:
            if isinstance(node, ast.ImportFrom):
                assert {alias.name for alias in node.names} <= {*fastlmm_hlm.__all__}
