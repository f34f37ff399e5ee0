"""A sheet as text, between rules."""

from fastlmm_hlm.report.layout import display_width, escape, pad_left, pad_right, wrap_words
from fastlmm_hlm.report.sheet.sheet import column_halves, halves

GAP = "  "
LEAST_NOTE_WIDTH = 60


def sheet_text(sheet):
    """A sheet as text.

    Parameters
    ----------
    sheet : Sheet

    Returns
    -------
    str
        Lines ending in a newline, no blanks at their ends.
    """
    columns = [_column(sheet, j) for j in range(sheet.width)]
    labels = [escape(name) for name, _ in sheet.rows()]
    first = max(map(display_width, [*labels, *(head[0] for head in sheet.header)]), default=0)
    widths = [max(map(display_width, [*words, *heads]), default=0) for heads, words in columns]
    total = first + sum(len(GAP) + w for w in widths)
    lines = [*(sheet.title.split("\n") if sheet.title else []), "=" * total]
    for k, head in enumerate(sheet.header):
        heads = [_placed(columns[j][0][k], widths[j], sheet.align[j]) for j in range(sheet.width)]
        lines.append(GAP.join([pad_right(head[0], first), *heads]))
    at = 0
    for block in sheet.blocks:
        lines.append("-" * total)
        for _ in block:
            cells = [_placed(columns[j][1][at], widths[j], sheet.align[j]) for j in range(sheet.width)]
            lines.append(GAP.join([pad_right(labels[at], first), *cells]))
            at += 1
    lines.append("=" * total)
    for note in sheet.notes:
        lines += wrap_words(note, max(total, LEAST_NOTE_WIDTH) + 1, 2)
    return "".join(line.rstrip() + "\n" for line in lines)


def _column(sheet, j):
    """Headings and words of a column, numbers already lined up where asked for."""
    heads = [escape(head[j + 1]) for head in sheet.header]
    cells = [cells[j] for _, cells in sheet.rows()]
    if sheet.align[j] != "d":
        return heads, [escape(cell.text + cell.mark) for cell in cells]
    before, after = column_halves(sheet, j)
    words = []
    for cell in cells:
        parts = halves(cell)
        if parts is None:
            words.append(escape(cell.text + cell.mark))
        else:
            words.append(pad_left(parts[0], before) + pad_right(parts[1] + cell.mark, after))
    return heads, words


def _placed(word, width, align):
    """A word in its column; what lines up at a point, and its heading, is centred."""
    if align == "d":
        left = (width - display_width(word)) // 2
        return pad_right(" " * left + word, width)
    return (pad_right if align == "l" else pad_left)(word, width)
