"""The code cells of the site's pages run, one after the other, and warn only where the page says so."""

import pathlib
import re
import subprocess
from functools import lru_cache

import pytest

from docs.ext.examples import Example, cells, run

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if cells(path.read_text(encoding="utf-8"))]


@lru_cache
def printed(path):
    """What the cells of a page print, all run one after the other in one process."""
    return run(cells(path.read_text(encoding="utf-8")), ROOT)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_cells_of_a_page_run(path):
    assert len(printed(path)) == len(cells(path.read_text(encoding="utf-8")))


def test_the_pages_are_found():
    assert {"index", "getting_started", "coming_from_r", "tutorial_classroom", "theory"} <= {path.stem for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_with_cells_has_the_head_without_which_they_do_not_run(path):
    assert re.match("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n(.+\n)*---\n", path.read_text(encoding="utf-8"))


def test_cells_are_found_with_their_tags():
    text = "```{code-cell}\n:tags: [warns]\n\na\n```\n\n```{code-cell} ipython3\nb\nc\n```\n\n```python\nd\n```\n"
    assert cells(text) == [Example("\na\n", warns=True), Example("b\nc\n")]


@pytest.mark.parametrize("source, warns", [("1 / 0", False), ("import warnings\nwarnings.warn('w')", False), ("1", True)])
def test_a_cell_that_fails_or_warns_unasked_is_noticed(source, warns):
    with pytest.raises(AssertionError):
        run([Example(source, warns=warns)], ROOT)


# lme4's optimizer stops up to 9e-5 (relative) from the optimum here, and reads profile limits off a spline (7e-5); to
# this comes half a unit of the last place that either prints.
SAME_OPTIMUM, SAME_LIMIT = 1e-4, 1e-4
# The same program in the same version: last digits may differ with the BLAS.
SAME_OUTPUT = 1e-4
# Drawn at random, by each program for itself.
SIMULATED = {"exact", "confint_boot", "simulate", "refit_simulated"}
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?(?![\w.])")


def half_a_place(word):
    """Half a unit of the last printed place of a number."""
    digits, _, exponent = word.partition("e")
    return 0.5 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def are_the_same(ours, theirs):
    apart = abs(float(ours) - float(theirs))
    return apart <= SAME_LIMIT + SAME_OPTIMUM * abs(float(ours)) + half_a_place(ours) + half_a_place(theirs)


def test_numbers_are_compared_to_their_last_place():
    assert are_the_same("612.089939", "612.10") and are_the_same("17.0", "17") and are_the_same("3.264e-06", "3.26e-06")
    assert not are_the_same("245.0966", "245.1966") and not are_the_same("-0.066", "0.066")


def pairs(text):
    """(name of R's output, numbers of the cells beside it) of a page."""
    parts = re.split(r"^```\{r-output\} (\w+)\n(:alone:\n)?```$", text, flags=re.MULTILINE)
    first = len(cells(parts[0]))
    for name, alone, rest in zip(parts[1::3], parts[2::3], parts[3::3]):
        beside = re.match(r"(?:\s*^```\{code-cell\}\n.*?^```$)*", rest, flags=re.MULTILINE | re.DOTALL)[0]
        if not alone:
            yield name, range(first, first + len(cells(beside)))
        first += len(cells(rest))


@pytest.mark.parametrize("stem", ["coming_from_r", "tutorial_classroom"])
def test_the_numbers_beside_those_of_r_are_the_same(stem):
    path, compared = ROOT / "docs" / f"{stem}.md", 0
    for name, beside in pairs(path.read_text(encoding="utf-8")):
        theirs = NUMBER.findall((ROOT / "docs" / "r_output" / f"{name}.txt").read_text(encoding="utf-8"))
        for word in NUMBER.findall("".join(printed(path)[k] for k in beside)):
            if "." in word and name not in SIMULATED:       # whole numbers are labels of rows, too
                assert any(are_the_same(word, other) for other in theirs), (name, word)
                compared += 1
    assert compared >= (300 if stem == "coming_from_r" else 10)


def words(text):
    """Words and numbers of R's output, numbers as floats."""
    return [float(word) if NUMBER.fullmatch(word) else word for word in text.split()]


@pytest.mark.parity
def test_r_prints_what_is_stored(tmp_path):
    subprocess.run(["Rscript", "--vanilla", "docs/r_output/make_r_output.R", str(tmp_path)], cwd=ROOT, check=True)
    stored = sorted(path.name for path in (ROOT / "docs" / "r_output").glob("*.txt"))
    assert stored == sorted(path.name for path in tmp_path.iterdir()) and len(stored) > 50
    for name in stored:
        now, then = words((tmp_path / name).read_text()), words((ROOT / "docs" / "r_output" / name).read_text())
        assert len(now) == len(then), name
        for a, b in zip(now, then):
            assert a == (pytest.approx(b, rel=SAME_OUTPUT, abs=SAME_OUTPUT) if isinstance(b, float) else b), (name, a, b)


def test_every_output_of_r_is_shown_on_a_page():
    shown = [name for path in PAGES for name in re.findall(r"^```\{r-output\} (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)]
    stored = {path.stem for path in (ROOT / "docs" / "r_output").glob("*.txt")} - {"versions"}
    assert set(shown) == stored
