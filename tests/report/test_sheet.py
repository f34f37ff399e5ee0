"""One sheet of words as text, HTML, LaTeX and Markdown: lined up, escaped, well formed."""

import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from fastlmm_hlm.report.layout import display_width
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.latex import latex_escape, sheet_latex
from fastlmm_hlm.report.sheet.markdown import sheet_markdown
from fastlmm_hlm.report.sheet.sheet import Cell, Sheet, halves, sheet_of
from fastlmm_hlm.report.sheet.text import sheet_text

ODD = "<b>\\x_{1}& 5% #$~^|*`[z]"
SHEET = Sheet(
    [["", "A", ODD]],
    [[("x", [Cell("-1.25", "*"), Cell("1200.5")]), ("", [Cell("(0.5)"), Cell("[0.1, 0.2]")])], [(ODD, [Cell("12"), Cell("")])]],
    ["d", "d"], "Title", ["* starts a note", ODD],
)
WIDE = Sheet([["", "\u6a21\u578b", "m"]], [[("\u6536\u5165\u6c34\u5e73", [Cell("1.5"), Cell("-20.25")]), ("e\u0301t\u00e9", [Cell("22.75"), Cell("3")])]],
             ["d", "d"])


@pytest.mark.parametrize("word, parts", [
    ("12", ("12", "")), ("-1.25", ("-1", ".25")), ("(0.5)", ("(0", ".5)")), ("<0.001", ("<0", ".001")), ("(<0.001)", ("(<0", ".001)")),
    ("1.2e-05", ("1", ".2e-05")), ("[0.1, 0.2]", None), ("NaN", None), ("", None), ("< 2e-16", ("< 2", "e-16")),
])
def test_a_number_is_cut_before_its_decimal_point(word, parts):
    assert halves(Cell(word)) == parts


@pytest.mark.parametrize("sheet", [SHEET, WIDE])
def test_decimal_points_stand_in_one_column(sheet):
    for j in range(sheet.width):
        alone = Sheet([["", ""]], [[(n, [c[j]]) for n, c in block] for block in sheet.blocks], ["d"])
        points = set()
        body = [line for line in sheet_text(alone).splitlines() if not set(line) <= set("=-")]
        for (_, (cell,)), line in zip(alone.rows(), body[-len(alone.rows()):], strict=True):
            parts = halves(cell)
            if parts is not None:
                points.add(display_width(line[: line.rindex(cell.text) + len(parts[0])]))
        assert len(points) == 1


def test_text_is_exact():
    assert sheet_text(sheet_of([["1.5", "22.25"], ["a", "bc"]], ["x", "y"], ["p", "q"], ["d", "l"], "T", ["note"])) == (
        "T\n"
        "============\n"
        "     x    y\n"
        "------------\n"
        "p   1.5   a\n"
        "q  22.25  bc\n"
        "============\n"
        "note\n"
    )


def test_wide_characters_take_two_columns():
    lines = sheet_text(WIDE).splitlines()
    assert display_width(lines[3].split("1.5")[0]) == display_width(lines[4].split("22.75")[0]) + 1
    assert len(set(map(display_width, (lines[0], lines[2], lines[-1])))) == 1


def test_line_breaks_in_names_stay_on_their_line():
    assert "a\\nb" in sheet_text(sheet_of([["1"]], ["x"], ["a\nb"]))
    assert sheet_markdown(sheet_of([["1"]], ["x"], ["a\nb"])).count("\n") == 3


@pytest.mark.parametrize("ruled", [False, True])
def test_html_is_well_formed_and_holds_every_word(ruled):
    html = sheet_html(SHEET, ruled)
    tree = ElementTree.fromstring(html.replace("<br>", " "))
    words = ["".join(cell.itertext()) for cell in tree.iter() if cell.tag in ("td", "th")]
    for word in ("-1.25*", "1200.5", "(0.5)", "[0.1, 0.2]", "12", ODD):
        assert word in words
    assert "".join(tree.find("caption").itertext()) == "Title"
    assert ODD in words[-1] and "* starts a note" in words[-1]


def test_html_has_scopes_and_neither_colours_nor_scripts():
    html = sheet_html(SHEET, ruled=True)
    assert html.count('scope="col"') == 2 and html.count('scope="row"') == 2 and 'rowspan="2"' in html
    assert not re.search(r"color|background|<script|<style|class=|href", html)
    assert "1px solid" in html and "#" not in html.replace("&#", "").replace("#$~", "")


def test_html_pads_numbers_to_one_decimal_point():
    html = sheet_html(SHEET)
    assert re.search(r"padding-right: 0\.\d\dem[^>]*>12<", html) or re.search(r"padding-right: 1\.\d\dem[^>]*>12<", html)


@pytest.mark.parametrize("char", list("\\{}&%$#_~^<>|"))
def test_latex_escapes_each_special_character(char):
    written = latex_escape(f"a{char}b")
    assert written != f"a{char}b" and written.startswith("a") and written.endswith("b")
    assert not re.search(r"(?<!\\)[&%$#_~^<>|]", written.replace("\\textasciicircum{}", "").replace("\\textasciitilde{}", ""))


def test_latex_has_the_same_number_of_cells_in_every_row():
    latex = sheet_latex(SHEET, label="tab:x")
    for line in latex.splitlines():
        if line.endswith(r"\\"):
            cells = 1 + len(re.findall(r"(?<!\\)&", line)) + len(re.findall(r"\\multicolumn\{2\}", line))
            assert cells == 5, line
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Title}", r"\label{tab:x}", r"\begin{tabular}{lr@{}lr@{}l}"):
        assert word in latex
    assert "$-$1&.25$^{*}$" in latex and "{}* starts" in latex
    assert r"\begin{table}" not in sheet_latex(SHEET, floating=False)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + sheet_latex(SHEET) + sheet_latex(SHEET, floating=False)
    (tmp_path / "t.tex").write_text(text + "\\end{document}")
    run = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 0 and (tmp_path / "t.pdf").exists(), run.stdout[-2000:]


def test_markdown_rows_have_the_same_number_of_bars():
    lines = [line for line in sheet_markdown(SHEET).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert len(lines) == 5 and re.fullmatch(r"\|:-+\|-+:\|-+:\|", lines[1])
    assert r"\<b\>" in sheet_markdown(SHEET) and r"-1.25\*" in sheet_markdown(SHEET)


def test_an_empty_sheet_is_still_a_table():
    empty = Sheet([["", "m"]], [[]], ["d"])
    assert "m" in sheet_text(empty) and "<table" in sheet_html(empty) and r"\bottomrule" in sheet_latex(empty)
    assert sheet_markdown(empty).count("\n") == 2
