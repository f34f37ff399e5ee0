"""The code cells of the site's pages run, one after the other, and warn only where the page says so."""

import pathlib

import pytest

from docs.ext.examples import Example, cells, run

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if cells(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_cells_of_a_page_run(path):
    found = cells(path.read_text(encoding="utf-8"))
    assert len(run(found, ROOT)) == len(found)


def test_the_pages_are_found():
    assert {"index", "getting_started", "coming_from_r", "tutorial_classroom", "theory"} <= {path.stem for path in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_with_cells_has_the_head_without_which_they_do_not_run(path):
    assert path.read_text(encoding="utf-8").startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n")


def test_cells_are_found_with_their_tags():
    text = "```{code-cell}\n:tags: [warns]\n\na\n```\n\n```{code-cell} ipython3\nb\nc\n```\n\n```python\nd\n```\n"
    assert cells(text) == [Example("\na\n", warns=True), Example("b\nc\n")]


@pytest.mark.parametrize("source, warns", [("1 / 0", False), ("import warnings\nwarnings.warn('w')", False), ("1", True)])
def test_a_cell_that_fails_or_warns_unasked_is_noticed(source, warns):
    with pytest.raises(AssertionError):
        run([Example(source, warns=warns)], ROOT)
