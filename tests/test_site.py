"""The site builds from nothing without a warning, and is whole."""

import pathlib
import re
import subprocess
import sys

import pytest

import fastlmm_hlm
from docs.ext.examples import cells
from docs.ext.links import Page, broken, fetched, read_site, unreachable

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULES = {"datasets", "errors"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "-d", folder / "doctrees",
               "docs", folder / "html"]
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return folder / "html", read_site(folder / "html")


@pytest.mark.slow
def test_no_link_of_the_site_is_broken(site):
    assert sum(len(page.links) for page in site[1].values()) > 1000
    assert broken(site[1]) == []


@pytest.mark.slow
def test_every_page_is_reached_from_the_first(site):
    assert unreachable(site[1], site[0] / "index.html") == []


@pytest.mark.slow
def test_a_browser_loads_nothing_from_elsewhere(site):
    assert fetched(*reversed(site)) == []


@pytest.mark.slow
def test_every_public_name_has_an_entry(site):
    anchors = set().union(*(page.anchors for page in site[1].values()))
    wanted = {name: f"module-fastlmm_hlm.{name}" if name in MODULES else f"fastlmm_hlm.{name}" for name in fastlmm_hlm.__all__}
    assert [name for name, anchor in wanted.items() if anchor not in anchors] == []


@pytest.mark.slow
def test_every_cell_ran_and_only_those_warned_that_should(site):
    for path in (ROOT / "docs").rglob("*.md"):
        found = cells(path.read_text(encoding="utf-8"))
        if found:
            html = (site[0] / path.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
            assert len(re.findall(r'class="[^"]*\bcell_input\b', html)) >= len(found) - 1, path      # one may be hidden
            assert "traceback" not in html, path
            assert len(re.findall(r'class="[^"]*\bstderr\b', html)) == sum(cell.warns for cell in found), path


@pytest.mark.slow
def test_equations_are_mathml(site):
    html = (site[0] / "theory.html").read_text(encoding="utf-8")
    assert html.count("<math ") > 50 and "\\frac" not in html and "$$" not in html


def test_what_is_wrong_with_a_site_is_found(tmp_path):
    (tmp_path / "index.html").write_text('<a href="a.html#x">a</a> <a href="none.html">n</a> <img src="https://elsewhere.org/i.png">')
    (tmp_path / "a.html").write_text('<p id="y">y</p>')
    (tmp_path / "alone.html").write_text("")
    (tmp_path / "s.css").write_text("@import 'https://fonts.example.org/f.css'; a { background: url(//cdn.example.org/b.png) }")
    pages = read_site(tmp_path)
    assert [line.split(": ")[1] for line in broken(pages)] == ["a.html#x has no such anchor", "none.html does not exist"]
    assert [path.name for path in unreachable(pages, tmp_path / "index.html")] == ["alone.html"]
    assert len(fetched(pages, tmp_path)) == 3
    assert Page('<a href="#b">c</a><p id="b">').links == ["#b"]
