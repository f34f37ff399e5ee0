"""The floors of the package: imports only go down, and heavy libraries are loaded late."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fastlmm_hlm"
FLOOR = {"errors": 0, "_core": 1, "datasets": 1, "formula": 2, "design": 3, "criterion": 4, "optimize": 4,
         "ingest": 4, "report": 5, "inference": 6, "interop": 7, "model": 8, "api": 9, "sites": 9, "rbridge": 10,
         "verification": 11, "migration": 11, "cli": 12, "demo": 12}
OPTIONAL = ("matplotlib", "polars", "dask", "duckdb", "rpy2", "nlopt", "marginaleffects", "maketables", "docx", "tree_sitter")


def imported_parts(path, package="fastlmm_hlm"):
    """First-level parts of the package that one file imports (absolute imports)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            parts = node.module.split(".")
            yield from parts[1:2] or (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == package:
                    yield from parts[1:2]


def part_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def files():
    return [path for path in sorted(ROOT.rglob("*.py")) if part_of(path) not in ("__init__", "__main__")]


def test_every_part_of_the_package_has_a_floor():
    assert {part_of(path) for path in files()} <= set(FLOOR)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path):
    here = part_of(path)
    for part in imported_parts(path):
        assert part == here or FLOOR.get(part, -1) < FLOOR[here], f"{path}: {part} is not below {here}"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_within_the_package_are_absolute(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


def test_an_import_that_goes_up_is_noticed(tmp_path):
    path = tmp_path / "sample.py"
    lines = ("import fastlmm_hlm.model.fitting", "from fastlmm_hlm import api",
             "from fastlmm_hlm.errors import DataError")
    path.write_text("\n".join(lines))
    assert list(imported_parts(path)) == ["model", "api", "errors"]


def test_importing_the_package_does_not_load_optional_libraries():
    program = f"import sys, fastlmm_hlm; print(*[name for name in {OPTIONAL!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_the_optimizers_know_nothing_of_models():
    for path in (ROOT / "optimize").glob("*.py"):
        assert set(imported_parts(path)) <= {"errors", "optimize", "_core"}
        assert "_core.kernels" not in path.read_text()


def test_one_c_file_knows_cholmod():
    sources = (ROOT.parent / "csrc").glob("*.[ch]")
    assert [path.name for path in sources if "#include <cholmod.h>" in path.read_text()] == ["chol.c"]


def test_the_kernels_know_no_python_and_print_nothing():
    for path in (ROOT.parent / "csrc").glob("*.[ch]"):
        text = path.read_text()
        assert "Python.h" not in text and "printf" not in text and "exit(" not in text, path
