"""Markdown tables, printed and kept in results/."""

import pathlib

RESULTS = pathlib.Path(__file__).resolve().parent / "results"


def markdown(header, rows):
    """A table with right-aligned columns but the first, padded so that it also reads well as text.

    Parameters
    ----------
    header : list of str
    rows : list of list of str

    Returns
    -------
    str
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(3, *(len(row[j]) for row in cells)) for j in range(len(header))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]

    def line(row):
        first, *others = row
        return "| " + " | ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]) + " |"

    return "\n".join([line(cells[0]), line(rule), *(line(row) for row in cells[1:])])


def seconds(value):
    """Three significant digits with a unit: "1.23 ms"."""
    if value is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size or unit == "us":
            return f"{number(value / size)} {unit}"
    return ""


def number(value):
    """Three significant digits without an exponent."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:#.3g}".rstrip(".")


def write_table(name, text):
    """Print a table and keep it as results/<name>.md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(text.rstrip() + "\n", flush=True)
