"""Regressions side by side: from numbers by model to a sheet of words, in the manner of journals."""

import math
from dataclasses import dataclass, field

from fastlmm_hlm.report.rformat import format_fixed, format_numbers, round_r
from fastlmm_hlm.report.sheet.sheet import Cell, Sheet

# Digits that the standard error of a coefficient shows at least.
DIGITS_OF_ERROR = 2
# Beyond this many decimals numbers are written with an exponent.
MOST_DECIMALS = 9
# Decimals of a likelihood for d decimals of a coefficient: d less this, as lme4 prints one for three.
FEWER = 2


@dataclass(frozen=True)
class Regression:
    """The numbers of one model, free of the model that produced them.

    Attributes
    ----------
    name : str
    response : str
    coefficients : mapping of str to mapping
        By name of the coefficient: estimate, se, t, p, lower, upper (the last four may be missing).
    random : mapping of (str, str) to float
        By grouping factor ("" for the residual) and label: standard deviations and correlations.
    fit : mapping of (str, str) to (float, kind)
        By measure and label: number or None, and its kind: "count", "share" or "likelihood".
    """

    name: str
    response: str
    coefficients: dict
    random: dict = field(default_factory=dict)
    fit: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table before it is words: part, term, statistic, and a number for each model."""

    part: str
    term: str
    statistic: str
    values: list


def sheet_of_regressions(models, statistics, stars, digits, labels=None, title=None, notes=()):
    """The table of some regressions.

    Parameters
    ----------
    models : list of Regression
    statistics : list of {"se", "ci", "t", "p"}
        What stands below each estimate.
    stars : mapping of str to float
        Marks and the levels below which p-values get them; empty for none.
    digits : int
        Decimals; more where a standard error would show fewer than two digits.
    labels : mapping of str to str, optional
        Coefficients to show in this order, and what to call them; all by default.
    title : str, optional
    notes : list of str

    Returns
    -------
    Sheet
    """
    shown = ordered(model.coefficients for model in models) if labels is None else list(labels)
    names = {name: name for name in shown} if labels is None else labels
    fixed = [row for name in shown for row in _coefficient_rows(models, name, names[name], statistics, stars, digits)]
    random = [(key[1], [_plain(m.random.get(key), digits) for m in models]) for key in together(m.random for m in models)]
    fit = [(key[1], [_measure(m.fit.get(key), digits) for m in models]) for key in together(m.fit for m in models)]
    header = [["", *(model.name for model in models)]]
    if len({model.response for model in models}) > 1:
        header.append(["", *(model.response for model in models)])
    blocks = [block for block in (fixed, random, fit) if block]
    return Sheet(header, blocks or [[]], ["d"] * len(models), title, list(notes))


def numbers_of_regressions(models, statistics, labels=None):
    """The same table before it is words.

    Returns
    -------
    list of Row
    """
    shown = ordered(model.coefficients for model in models) if labels is None else list(labels)
    names = {name: name for name in shown} if labels is None else labels
    fields = ["estimate", *(f for s in statistics for f in (("lower", "upper") if s == "ci" else (s,)))]
    rows = [
        Row("coefficients", names[name], f, [_number(m.coefficients.get(name, {}).get(f)) for m in models])
        for name in shown for f in fields
    ]
    rows += [Row("random effects", key[1], "estimate", [_number(m.random.get(key)) for m in models])
             for key in together(m.random for m in models)]
    rows += [Row("fit", key[1], "", [_number((m.fit.get(key) or (None,))[0]) for m in models])
             for key in together(m.fit for m in models)]
    return rows


def ordered(mappings):
    """Keys of several mappings in the order of their first appearance."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def together(mappings):
    """Keys of several mappings, those with the same first part together, "" last; otherwise as `ordered`."""
    keys = ordered(mappings)
    firsts = list(dict.fromkeys(first for first, _ in keys))
    return sorted(keys, key=lambda key: (key[0] == "", firsts.index(key[0])))


def _number(value):
    return math.nan if value is None else float(value)


# --- words -----------------------------------------------------------------------


def _coefficient_rows(models, name, label, statistics, stars, digits):
    """The estimates of one coefficient and what stands below them."""
    found = [model.coefficients.get(name) for model in models]
    decimals = _decimals([one["se"] for one in found if one is not None], digits)
    estimates = [
        Cell("") if one is None else Cell(_fixed(one["estimate"], decimals, digits), _mark(one, stars)) for one in found
    ]
    rows = [(label, estimates)]
    for statistic in statistics:
        rows.append(("", [Cell("" if one is None else _below(one, statistic, decimals, digits)) for one in found]))
    return rows


def _decimals(errors, digits):
    """Decimals for one coefficient: enough for two digits of its smallest standard error; None for an exponent."""
    known = [e for e in errors if math.isfinite(e) and e > 0]
    if not known:
        return digits
    needed = DIGITS_OF_ERROR - 1 - math.floor(math.log10(min(known)))
    return None if needed > MOST_DECIMALS else max(digits, needed)


def _fixed(value, decimals, digits):
    if decimals is None:
        return format_numbers([value], max(1, digits))[0].strip()
    return format_fixed(round_r(value, decimals), decimals)


def _below(one, statistic, decimals, digits):
    if statistic == "ci":
        return f"[{_fixed(one['lower'], decimals, digits)}, {_fixed(one['upper'], decimals, digits)}]"
    if statistic == "p":
        return f"({_pvalue(one['p'], digits)})"
    return f"({_fixed(one[statistic], decimals if statistic == 'se' else digits, digits)})"


def _pvalue(p, digits):
    least = 10.0**-max(1, digits)
    if not math.isfinite(p):
        return "NA"
    word = format_fixed(round_r(max(p, least), max(1, digits)), max(1, digits))
    return f"<{word}" if p < least else word


def _mark(one, stars):
    p = one.get("p", math.nan)
    reached = [(level, mark) for mark, level in stars.items() if p < level]
    return min(reached)[1] if reached else ""


def _plain(value, digits):
    """A standard deviation or correlation; one that is small but not zero shows its first digits."""
    if value is None:
        return Cell("")
    if math.isnan(value):
        return Cell("NaN")
    word = format_fixed(round_r(value, digits), digits)
    return Cell(format_numbers([value], DIGITS_OF_ERROR)[0] if value != 0 and float(word) == 0 else word)


def _measure(found, digits):
    value, kind = found or (None, "")
    if value is None:
        return Cell("")
    if kind == "count":
        return Cell(str(int(value)))
    decimals = max(1, digits - FEWER) if kind == "likelihood" else digits
    return Cell(format_fixed(round_r(value, decimals), decimals))
