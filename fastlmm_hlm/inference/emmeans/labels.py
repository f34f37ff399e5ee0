"""Names of estimates, as contrasts and pictures write them."""

import re

from fastlmm_hlm.inference.emmeans.facts import shown

# Levels with these characters get parentheses in the names of contrasts.
OPERATORS = re.compile(r"[-+/*]")


def row_labels(frame, names, levels):
    """One name per row: its levels, those that read as numbers with the factor's name in front.

    Parameters
    ----------
    frame : DataFrame
    names : list of str
        Columns that take part.
    levels : dict of str to tuple
        All levels of each column, which decide whether they read as numbers.

    Returns
    -------
    list of str
    """
    fronts = {name: name if all(_reads_as_number(v) for v in levels.get(name, ())) and levels.get(name) else "" for name in names}
    rows = []
    for values in zip(*(frame[name] for name in names), strict=True):
        rows.append(" ".join(fronts[name] + shown(value) for name, value in zip(names, values, strict=True)))
    return [f"({row})" if OPERATORS.search(row) else row for row in rows]


def _reads_as_number(value):
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
