"""A sheet as a pipe table, as GitHub, pandoc and notebooks read it."""

import re

from fastlmm_hlm.report.layout import display_width, pad_left, pad_right

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def markdown_escape(text):
    """Text that Markdown prints as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))


def sheet_markdown(sheet):
    """A sheet as Markdown.

    Parameters
    ----------
    sheet : Sheet
        Lines of its header are joined, as a pipe table has one.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    heads = [" ".join(filter(None, (line[j] for line in sheet.header))) for j in range(sheet.width + 1)]
    table = [[markdown_escape(head) for head in heads]]
    table += [[markdown_escape(name), *(markdown_escape(c.text + c.mark) for c in cells)] for name, cells in sheet.rows()]
    sides = ["l", *sheet.align]
    widths = [max(3, *(display_width(row[j]) for row in table)) for j in range(len(sides))]
    lines = [_line(row, widths, sides) for row in table]
    rule = "|".join(f":{'-' * (w + 1)}" if side == "l" else f"{'-' * (w + 1)}:" for w, side in zip(widths, sides))
    lines.insert(1, f"|{rule}|")
    title = [f"**{markdown_escape(line)}**" for line in (sheet.title or "").split("\n") if line]
    above = ["  \n".join(title), ""] if title else []
    below = ["", "  \n".join(markdown_escape(note) for note in sheet.notes)] if sheet.notes else []
    return "\n".join([*above, *lines, *below]) + "\n"


def _line(row, widths, sides):
    words = [(pad_right if side == "l" else pad_left)(word, w) for word, w, side in zip(row, widths, sides, strict=True)]
    return f"| {' | '.join(words)} |"
