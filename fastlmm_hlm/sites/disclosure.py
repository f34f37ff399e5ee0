"""What the sums of a site reveal, and sums without the cells that reveal too much."""

import warnings

import numpy as np

from fastlmm_hlm.errors import ArgumentError, DataError, DroppedRowsWarning
from fastlmm_hlm.formula.kinds import level_text

# Leaving out rows of one group makes others smaller: so often at most, each time by at least a row.
ROUNDS = 50


def small_cells(record, min_cell):
    """Sentences on groups and combinations of factor levels with fewer rows than that, list of str."""
    found = []
    for f, factor in enumerate(record.header["factors"]):
        counts = record.arrays[f"{f}/counts"]
        small = counts[counts < min_cell]
        if len(small):
            single = f", {int((small == 1).sum())} of them a single one, whose sums are the row itself" if (small == 1).any() else ""
            found.append(f"{len(small)} of the {len(counts)} levels of '{factor['name']}' have fewer than {min_cell} rows{single}")
    if record.header["counted"]:
        counts = record.arrays["cell_counts"]
        small = int((counts < min_cell).sum())
        if small:
            found.append(f"{small} of the {len(counts)} combinations of {' and '.join(record.header['counted'])} have fewer than {min_cell} rows")
    return found


def without_small_cells(record, min_cell):
    """The sums without the rows of small groups and cells, summed again until none is left.

    Raises
    ------
    ArgumentError
        If the sums were read from a file.
    DataError
        If no row is left.
    """
    if record._again is None:
        raise ArgumentError("save: small = 'drop' sums the rows again, and these sums were read from a file; use what site_crossproducts() returned.")
    source = record._source
    before = {key: set(values) for key, values in source.left_out.items()}
    try:
        for _ in range(ROUNDS):
            if not small_cells(record, min_cell):
                return record
            for names, keys in _small_keys(record, min_cell):
                source.left_out.setdefault(names, set()).update(keys)
            record = _summed_again(record, min_cell)
    finally:
        source.left_out = before
    raise DataError(f"save: after {ROUNDS} rounds of leaving out small groups of site '{record.site}' there are new ones; use a coarser grouping.")


def _summed_again(record, min_cell):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DroppedRowsWarning)            # said already when all rows were summed
            return record._again()
    except DataError as error:
        raise DataError(f"save: site '{record.site}' cannot leave out groups and cells of fewer than {min_cell} rows: {error} Use a coarser grouping or a smaller min_cell.") from error


def _small_keys(record, min_cell):
    """Columns, and the combinations of their values that have few rows."""
    for f, factor in enumerate(record.header["factors"]):
        small = np.flatnonzero(record.arrays[f"{f}/counts"] < min_cell)
        if len(small):
            parts = factor["parts"]
            texts = [[level_text(part["levels"][k]) for k in record.arrays[f"{f}/codes{i}"][small]] for i, part in enumerate(parts)]
            yield tuple(part["name"] for part in parts), {"\x1f".join(row) for row in zip(*texts)}
    names = record.header["counted"]
    small = np.flatnonzero(record.arrays["cell_counts"] < min_cell)
    if names and len(small):
        levels = [[level_text(level) for level in record.header["predictors"][name]["levels"]] for name in names]
        yield tuple(names), {"\x1f".join(own[k] for own, k in zip(levels, row)) for row in record.arrays["cells"][small]}


def disclosure(record):
    """What the sums reveal about the rows of the site, in words."""
    h, a = record.header, record.arrays
    p, columns = len(h["x_names"]), ", ".join(h["x_names"])
    lines = [
        f"The sums of site '{record.site}' come from {h['n']:,} of its {h['n_input']:,} rows. They hold no row, and they reveal:",
        f"- over the whole site: sums of squares and products of {columns} and {record.study.formula.response}, hence their means, variances and correlations;",
    ]
    for f, factor in enumerate(h["factors"]):
        counts, k = a[f"{f}/counts"], len(factor["columns"])
        sums = k * (k + 1) // 2 + k * (p + 1)
        lines.append(
            f"- for each of the {len(counts):,} levels of {factor['name']}: its name, its number of rows ({counts.min()} to {counts.max()}), and {sums} sums "
            f"(products of {', '.join(factor['columns'])} with each other, {columns} and the response): with a random intercept, the mean of the response and of every predictor;"
        )
        single, few = int((counts == 1).sum()), int((counts <= max(1, sums // (p + 1))).sum())
        if few:
            lines.append(f"  {few} of them have no more rows than such sums per column ({single} a single row): their rows can be computed from the sums, whole and exactly;")
    if h["counted"]:
        counts = a["cell_counts"]
        lines.append(f"- how many rows have each of {len(counts)} combinations of {', '.join(h['counted'])} (the rarest: {counts.min()});")
    for name, v in h["predictors"].items():
        if v["mean"] is not None:
            lines.append(f"- of {name}: its mean, the range to the nearest power of two" + (f", and its only values {', '.join(map(str, v['levels']))};" if v["levels"] else ";"))
    lines.append("- the mean and variance of the response, and how many rows were left out and why.")
    return "\n".join(lines)
