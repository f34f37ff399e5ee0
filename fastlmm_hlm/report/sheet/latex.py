"""A sheet as a LaTeX table with the rules of booktabs; decimal points line up in two columns r@{}l."""

import re

from fastlmm_hlm.report.sheet.sheet import halves

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "\n": " ", "\u2018": "`", "\u2019": "'",
}
MINUS = re.compile(r"(^|(?<=[(\[ <>=e]))-(?=\d)")


def latex_escape(text):
    """Text that LaTeX prints as it is."""
    return "".join(SPECIAL.get(char, char) for char in text)


def _line_start(text):
    """The beginning of a line; with [ or * it would be an argument of the line break before it."""
    return ("{}" if text[:1] in ("[", "*") else "") + latex_escape(text)


def sheet_latex(sheet, label=None, floating=True):
    """A sheet as LaTeX; the document needs ``\\usepackage{booktabs}``.

    Parameters
    ----------
    sheet : Sheet
    label : str, optional
        For ``\\ref``; of floating tables.
    floating : bool
        A table environment with the title as caption; otherwise the tabular alone, with
        the notes below it.

    Returns
    -------
    str
    """
    columns = "l" + "".join({"d": "r@{}l", "r": "r", "l": "l"}[side] for side in sheet.align)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    for head in sheet.header:
        words = [_heading(word, side) for word, side in zip(head[1:], sheet.align, strict=True)]
        lines.append(" & ".join([_line_start(head[0]), *words]) + r" \\")
    for block in sheet.blocks:
        lines.append(r"\midrule")
        lines += [_row(sheet, name, cells) for name, cells in block]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if sheet.notes:
        notes = r" \\ ".join(_line_start(note) for note in sheet.notes)
        lines += ["", rf"\smallskip\parbox{{\linewidth}}{{\footnotesize {notes}}}"]
    if floating:
        caption = [rf"\caption{{{latex_escape(sheet.title)}}}"] if sheet.title else []
        marked = [rf"\label{{{label}}}"] if label else []
        lines = [r"\begin{table}[htbp]", r"\centering", *caption, *marked, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _heading(word, side):
    if side == "d":
        return rf"\multicolumn{{2}}{{c}}{{{latex_escape(word)}}}"
    return rf"\multicolumn{{1}}{{{side}}}{{{latex_escape(word)}}}"


def _row(sheet, name, cells):
    words = [_cell(cell, side) for cell, side in zip(cells, sheet.align, strict=True)]
    return " & ".join([_line_start(name), *words]) + r" \\"


def _cell(cell, side):
    mark = f"$^{{{latex_escape(cell.mark)}}}$" if cell.mark else ""
    if side != "d":
        return _number(cell.text) + mark
    parts = halves(cell)
    if parts is None:
        return rf"\multicolumn{{2}}{{c}}{{{_number(cell.text)}{mark}}}" if cell.text or mark else "&"
    return f"{_number(parts[0])}&{_number(parts[1])}{mark}"


def _number(text):
    """Escaped text in which a hyphen before a digit is a minus."""
    return latex_escape(MINUS.sub("\0", text)).replace("\0", "$-$")
