"""A sheet as a plain HTML table: no script, no style sheet, no colour, so that it suits light and dark pages."""

from html import escape

from fastlmm_hlm.report.sheet.sheet import halves

APART = "padding-left: 1em"
RULE, THICK = "border-top: 1px solid", "border-top: 2px solid"
# Widths of characters in a sans-serif font, in em; marks are raised and smaller.
WIDTHS = {".": 0.28, ",": 0.28, " ": 0.28, "(": 0.33, ")": 0.33, "[": 0.28, "]": 0.28, "-": 0.33, "e": 0.56, "+": 0.58}
DIGIT, MARK, SMALLER = 0.56, 0.4, 0.8


def sheet_html(sheet, ruled=False):
    """A sheet as one HTML table, everything escaped.

    Parameters
    ----------
    sheet : Sheet
    ruled : bool
        Lines above and below the table and between its blocks, in the colour of the text.

    Returns
    -------
    str
    """
    named = any(name for name, _ in sheet.rows())
    lines = ['<table style="border-collapse: collapse">' if ruled else "<table>"]
    if sheet.title:
        lines.append(f'<caption style="caption-side: top; text-align: left">{_lines(sheet.title)}</caption>')
    lines.append("<thead>")
    for k, head in enumerate(sheet.header):
        lines.append(f"<tr>{_head_row(sheet, head, named, THICK if ruled and k == 0 else '')}</tr>")
    lines.append("</thead>")
    tails = [_tail(sheet, j) for j in range(sheet.width)]
    for block in sheet.blocks:
        lines += ["<tbody>", *_block_rows(sheet, block, named, tails, RULE if ruled else ""), "</tbody>"]
    if sheet.notes or ruled:
        style = _style("text-align: left", THICK if ruled else "", "font-size: smaller" if sheet.notes else "")
        notes = "<br>\n".join(escape(note) for note in sheet.notes)
        lines.append(f'<tfoot><tr><td colspan="{sheet.width + named}"{style}>{notes}</td></tr></tfoot>')
    lines.append("</table>")
    return "\n".join(lines) + "\n"


def _head_row(sheet, head, named, rule):
    corner = f"<td{_style(rule)}></td>"
    if head[0]:
        corner = f'<th scope="col"{_style("text-align: left", rule)}>{_lines(head[0])}</th>'
    sides = {"d": f"text-align: center; {APART}", "l": f"text-align: left; {APART}", "r": f"text-align: right; {APART}"}
    cells = [
        f'<th scope="col"{_style(sides[side], rule)}>{_lines(word)}</th>'
        for word, side in zip(head[1:], sheet.align, strict=True)
    ]
    return corner * named + "".join(cells)


def _block_rows(sheet, block, named, tails, rule):
    """Rows of one block; a row name spans the nameless rows below it."""
    for i, (name, cells) in enumerate(block):
        above = rule if i == 0 else ""
        head = ""
        if named and (name or i == 0):
            span = 1
            while i + span < len(block) and not block[i + span][0]:
                span += 1
            spanned = f' rowspan="{span}"' if span > 1 else ""
            style = _style("text-align: left; vertical-align: top; font-weight: normal", above)
            head = f'<th scope="row"{spanned}{style}>{_lines(name)}</th>'
        words = "".join(_cell(cell, side, tail, above) for cell, side, tail in zip(cells, sheet.align, tails, strict=True))
        yield f"<tr>{head}{words}</tr>"


def _cell(cell, side, tail, rule):
    word = _lines(cell.text) + (f"<sup>{escape(cell.mark)}</sup>" if cell.mark else "")
    look = f"text-align: {'left' if side == 'l' else 'right'}; {APART}"
    if side == "d":
        parts = halves(cell)
        if parts is None:
            look = f"text-align: center; {APART}"
        else:
            short = tail - _width(parts[1], cell.mark)
            look += "; font-variant-numeric: tabular-nums" + (f"; padding-right: {short:.2f}em")
    return f"<td{_style(look, rule)}>{word}</td>"


def _tail(sheet, j):
    """Distance of the decimal points of a column from its right edge, in em.

    That is the widest part behind a point, and half of what the centred words of the column
    are wider than its numbers, so that these stand in the middle too.
    """
    cells = [cells[j] for _, cells in sheet.rows()]
    found = [(halves(cell), cell.mark) for cell in cells]
    before = max((_width(parts[0]) for parts, _ in found if parts is not None), default=0.0)
    after = max((_width(parts[1], mark) for parts, mark in found if parts is not None), default=0.0)
    words = [_width(cell.text, cell.mark) for cell in cells if halves(cell) is None]
    heads = [_width(head[j + 1]) for head in sheet.header]
    return after + max(0.0, max([*words, *heads], default=0.0) - before - after) / 2.0


def _width(text, mark=""):
    return sum(WIDTHS.get(char, DIGIT) for char in text) + SMALLER * MARK * len(mark)


def _style(*parts):
    known = "; ".join(part for part in parts if part)
    return f' style="{known}"' if known else ""


def _lines(text):
    return "<br>\n".join(escape(line) for line in str(text).split("\n"))
