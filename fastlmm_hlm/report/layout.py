"""Words laid out on lines of 80 characters as R's print and cat do.

A named vector is wrapped into columns of one common width; a matrix is cut
into groups of columns, each group with the row names again; ``cat(fill=)``
starts a new line before an item that does not fit.
"""

import re
import unicodedata

LINE_WIDTH = 80
NO_ROWS_WIDTH = 4
"""R keeps room for a row number even if there are no rows."""
ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def display_width(text):
    """Columns of a terminal that the text takes (2 for wide characters)."""
    if text.isascii():
        return len(text)
    width = 0
    for char in text:
        if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
            continue
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width


def pad_left(text, width):
    """Text right-justified in `width` columns."""
    return " " * (width - display_width(text)) + text


def pad_right(text, width):
    """Text left-justified in `width` columns."""
    return text + " " * (width - display_width(text))


def escape(text):
    """Text on one line: backslash, newline, tab and return become escapes."""
    return "".join(ESCAPES.get(char, char) for char in text)


def named_vector_text(names, values, gap=1, width=LINE_WIDTH):
    """A named vector as R prints it.

    Parameters
    ----------
    names, values : sequence of str, length n
        The values already written.
    gap : int
        Spaces after each column.
    width : int
        Width of a line.

    Returns
    -------
    str
        Lines ending in a newline; "" when n is 0.
    """
    names, values = [escape(n) for n in names], [escape(v) for v in values]
    if not names:
        return ""
    column = max(display_width(word) for word in (*names, *values))
    per_line = max(1, width // (column + gap))
    lines = []
    for start in range(0, len(names), per_line):
        for words in (names, values):
            chunk = words[start : start + per_line]
            lines.append("".join(pad_left(word, column) + " " * gap for word in chunk))
    return "\n".join(lines) + "\n"


def string_matrix_text(row_names, column_names, columns, right=True, gap=1, width=LINE_WIDTH):
    """A matrix of words as R prints it without quotes.

    Parameters
    ----------
    row_names : sequence of str, length n
        Left-justified.
    column_names : sequence of str, length p
    columns : sequence of p sequences of str, each of length n
    right : bool
        Columns and their names right-justified, otherwise left-justified.
    gap : int
        Spaces before each column.
    width : int
        A group of columns stays narrower than this.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    pad = pad_left if right else pad_right
    row_names = [escape(name) for name in row_names]
    columns = [[escape(word) for word in column] for column in columns]
    label_width = max(map(display_width, row_names), default=NO_ROWS_WIDTH)
    widths = [
        max((display_width(word) for word in (name, *column)), default=0)
        for name, column in zip(column_names, columns, strict=True)
    ]
    lines = []
    start = 0
    while start < len(columns):
        stop, total = start + 1, label_width + gap + widths[start]
        while stop < len(columns) and total + gap + widths[stop] < width:
            total += gap + widths[stop]
            stop += 1
        group = range(start, stop)
        space = " " * gap
        head = "".join(space + pad(column_names[j], widths[j]) for j in group)
        lines.append(" " * label_width + head)
        for i, name in enumerate(row_names):
            cells = "".join(space + pad(columns[j][i], widths[j]) for j in group)
            lines.append(pad_right(name, label_width) + cells)
        start = stop
    return "".join(line + "\n" for line in lines)


def fill_text(items, sep=" ", width=LINE_WIDTH):
    """Items on lines of at most `width` columns, as R's ``cat(fill = TRUE)``.

    The separator stays at the end of a full line, and an item is never cut.

    Parameters
    ----------
    items : sequence of str
    sep : str
    width : int

    Returns
    -------
    str
        Lines ending in a newline.
    """
    out, used, gap = [], 0, display_width(sep)
    for k, item in enumerate(items):
        size = display_width(item)
        if k > 0 and used + size + gap > width:
            out.append("\n")
            used = 0
        last = k == len(items) - 1
        out.append(item if last else item + sep)
        used += size + gap
    return "".join(out) + "\n"


def wrap_words(text, width, indent):
    """Words of a text on lines shorter than `width`, later lines indented."""
    lines, current = [], ""
    for word in re.split(r"\s+", text.strip()):
        trial = f"{current} {word}" if current.strip() else current + word
        if current.strip() and display_width(trial) >= width:
            lines.append(current)
            current = " " * indent + word
        else:
            current = trial
    lines.append(current)
    return lines
