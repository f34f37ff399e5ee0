"""Sheet: words in rows and columns, blocks of rows between rules, a title, notes; and where numbers line up."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from fastlmm_hlm.report.layout import display_width

# One number with what may stand around it: "<0.001", "(-1.52)", "1.2e-05".
NUMBER = re.compile(r"(?P<whole>[(\[]?\s*[<>=]*\s*[-+]?\d+)(?P<rest>(\.\d*)?(e[-+]?\d+)?[)\]]?)")


class Cell(NamedTuple):
    """Words of a cell, and a mark such as stars that is raised where the output can do it."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table of words.

    Attributes
    ----------
    header : list of list of str
        Lines of headings; the first word of each stands over the row names.
    blocks : list of list of (str, list of Cell)
        Rows: name and p cells each.  A rule separates blocks.  A row with an empty name
        belongs to the row above it.
    align : list of str, length p
        "d" lines numbers up at the decimal point, "r" and "l" are right and left.
    title : str or None
        One or more lines.
    notes : list of str
    """

    header: list
    blocks: list
    align: list
    title: str | None = None
    notes: list = field(default_factory=list)

    @property
    def width(self):
        """Columns without the row names."""
        return len(self.align)

    def rows(self):
        """All rows, without the blocks."""
        return [row for block in self.blocks for row in block]


def sheet_of(columns, header, row_names, align="r", title=None, notes=()):
    """A sheet of one block.

    Parameters
    ----------
    columns : sequence of p sequences of str, length n
    header : sequence of str, length p
    row_names : sequence of str, length n, or None
    align : str or list of str
    title : str, optional
    notes : sequence of str

    Returns
    -------
    Sheet
    """
    columns = [[str(word).strip() for word in column] for column in columns]
    names = [""] * max(map(len, columns), default=0) if row_names is None else [str(name) for name in row_names]
    rows = [(name, [Cell(column[i]) for column in columns]) for i, name in enumerate(names)]
    aligned = [align] * len(columns) if isinstance(align, str) else list(align)
    return Sheet([["", *map(str, header)]], [rows], aligned, title, list(notes))


def halves(cell):
    """What stands before the decimal point, and the rest with the mark; None if the cell is not one number.

    >>> halves(Cell("(6.82)", ""))
    ('(6', '.82)')
    """
    found = NUMBER.fullmatch(cell.text)
    return None if found is None else (found["whole"], found["rest"])


def column_halves(sheet, j):
    """Widths before and after the decimal point of the numbers of a column, marks included: (int, int)."""
    before = after = 0
    for _, cells in sheet.rows():
        parts = halves(cells[j])
        if parts is not None:
            before = max(before, display_width(parts[0]))
            after = max(after, display_width(parts[1] + cells[j].mark))
    return before, after
