"""R's functions that make or change factors."""
import numpy as np

from fastlmm_hlm.errors import DataError, FormulaError
from fastlmm_hlm.formula.codes import factorize_sorted
from fastlmm_hlm.formula.deparse import number_text
from fastlmm_hlm.formula.operators import numbers, texts_of
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

CONTRAST_NAMES = ("contr.treatment", "contr.sum", "contr.helmert", "contr.poly", "contr.SAS")


def _flag(value):
    return bool(value.values[0]) if isinstance(value, Logical) else bool(value)


def factor_from_texts(texts, text=False):
    """Make a factor from an object array of texts, with sorted levels."""
    codes, levels = factorize_sorted(texts)
    return Factor(codes, tuple(levels), text=text)


def _factor_of(x):
    if isinstance(x, Factor):
        return x
    if isinstance(x, Logical):
        return x.as_factor()
    if getattr(x, "dtype", None) == object:
        return factor_from_texts(x)
    codes, levels = factorize_sorted(np.atleast_1d(numbers(x, "factor()")))
    return Factor(codes, tuple(number_text(level) for level in levels))


def factor(x, levels=None, labels=None, ordered=None, *, state):
    """factor(x, levels, labels, ordered): levels sorted unless given, unused ones dropped."""
    base = _factor_of(x)
    if levels is not None:
        names = [str(text) for text in texts_of(levels)]
        if len(set(names)) < len(names):
            raise FormulaError(f"levels are {', '.join(names)}; each may be given once.")
    elif "levels" in state:
        names = [*state["levels"], *(text for text in base.levels if text not in set(state["levels"]))]
    else:
        used = np.unique(base.codes[base.codes >= 0])
        names = [base.levels[i] for i in used]
        state["levels"] = tuple(names)
    result = _recode(base, names)
    if labels is not None:
        result = _relabel(result, [str(text) for text in texts_of(labels)])
    is_ordered = base.ordered if ordered is None else _flag(ordered)
    return Factor(result.codes, result.levels, is_ordered, contrasts=base.contrasts)


def _recode(base, names):
    places = {text: i for i, text in enumerate(names)}
    lookup = np.array([places.get(text, -1) for text in base.levels] + [-1], dtype=np.int32)
    return Factor(lookup[base.codes], tuple(names), base.ordered, contrasts=base.contrasts)


def _relabel(base, labels):
    if len(labels) == 1 and len(base.levels) > 1:
        labels = [f"{labels[0]}{i + 1}" for i in range(len(base.levels))]
    if len(labels) != len(base.levels):
        raise FormulaError(f"there are {len(labels)} labels for {len(base.levels)} levels ({', '.join(base.levels)}); give one for each.")
    names = list(dict.fromkeys(labels))
    lookup = np.array([names.index(text) for text in labels] + [-1], dtype=np.int32)
    return Factor(lookup[base.codes], tuple(names), base.ordered)


def ordered(x, levels=None, labels=None, *, state):
    """ordered(x, levels, labels)"""
    return factor(x, levels, labels, True, state=state)


def as_factor(x, *, state):
    """as.factor(x): a factor as it is, anything else with sorted levels."""
    if isinstance(x, Factor) and not x.text:
        return x
    return factor(x, state=state)


def as_ordered(x, *, state):
    """as.ordered(x)"""
    if isinstance(x, Factor) and x.ordered:
        return x
    return factor(x, None, None, True, state=state)


def droplevels(x, *, state):
    """droplevels(x)"""
    return factor(x, state=state)


def relevel(x, ref):
    """relevel(x, ref): move one level to the front."""
    if not isinstance(x, Factor):
        raise FormulaError("relevel() needs a factor; wrap the column in factor().")
    if x.ordered:
        raise FormulaError("relevel() is for factors without order.")
    names = list(x.levels)
    if isinstance(ref, float):
        if not 1 <= ref <= len(names):
            raise FormulaError(f"ref = {ref:g} is not the number of a level; there are {len(names)}.")
        ref = names[int(ref) - 1]
    if ref not in names:
        raise DataError(f"ref = {ref!r} is not a level; the levels are {', '.join(names)}.")
    names.remove(ref)
    result = _recode(x, [ref, *names])
    return Factor(result.codes, result.levels, text=False, contrasts=x.contrasts)


def interaction(*factors, sep=".", drop=False, lex_order=False):
    """interaction(a, b, ...): all combinations, the first factor varying fastest."""
    parts = [_factor_of(f) for f in factors]
    if not parts:
        raise FormulaError("interaction() needs at least one factor.")
    result, slow_first = parts[0], _flag(lex_order)
    for part in parts[1:]:
        if slow_first:
            codes = result.codes.astype(np.int64) * len(part.levels) + part.codes
            names = [f"{a}{sep}{b}" for a in result.levels for b in part.levels]
        else:
            codes = part.codes.astype(np.int64) * len(result.levels) + result.codes
            names = [f"{a}{sep}{b}" for b in part.levels for a in result.levels]
        codes[(result.codes < 0) | (part.codes < 0)] = -1
        result = Factor(codes, tuple(names))
    if _flag(drop):
        used = np.unique(result.codes[result.codes >= 0])
        result = _recode(result, [result.levels[i] for i in used])
    return Factor(result.codes.astype(np.int32), result.levels)


def cut(x, breaks, labels=None, include_lowest=False, right=True, dig_lab=3.0, ordered_result=False, *, state):
    """cut(x, breaks): intervals as a factor; a single number asks for that many of equal width."""
    x = np.asarray(numbers(x, "cut()"))
    if "breaks" not in state:
        state["breaks"] = _break_points(x, np.atleast_1d(numbers(breaks, "cut()")))
    edges, closed_right = state["breaks"], _flag(right)
    codes = np.searchsorted(edges, x, side="left" if closed_right else "right") - 1
    if _flag(include_lowest):
        codes = np.where(x == (edges[0] if closed_right else edges[-1]), 0 if closed_right else len(edges) - 2, codes)
    codes = np.where(np.isnan(x) | (codes < 0) | (codes > len(edges) - 2), -1, codes).astype(np.int32)
    if isinstance(labels, Logical) and not labels.values[0]:
        return np.where(codes < 0, np.nan, codes + 1.0)
    if labels is None or isinstance(labels, Logical):
        names = _interval_names(edges, closed_right, _flag(include_lowest), int(dig_lab))
    else:
        names = [str(text) for text in texts_of(labels)]
        if len(names) != len(edges) - 1:
            raise FormulaError(f"there are {len(names)} labels for {len(edges) - 1} intervals; give one for each.")
    return Factor(codes, tuple(names), ordered=_flag(ordered_result))


def _break_points(x, breaks):
    if len(breaks) > 1:
        edges = np.sort(breaks)
        if (np.diff(edges) == 0).any():
            raise FormulaError("the breaks hold the same number twice; each may be given once.")
        return edges
    count = int(breaks[0])
    if count < 2:
        raise FormulaError(f"breaks = {breaks[0]:g}; ask for at least 2 intervals, or give the points between them.")
    low, high = np.nanmin(x), np.nanmax(x)
    width = high - low
    if width == 0:
        width = abs(low) or 1.0
        return np.linspace(low - width / 1000, high + width / 1000, count + 1)
    edges = np.linspace(low, high, count + 1)
    edges[0], edges[-1] = low - width / 1000, high + width / 1000
    return edges


def _interval_names(edges, right, include_lowest, digits):
    for width in range(digits, max(12, digits) + 1):
        texts = [f"{edge:.{width}g}" for edge in edges]
        if len(set(texts)) == len(texts):
            break
    pairs = list(zip(texts[:-1], texts[1:], strict=True))
    names = [f"({a},{b}]" if right else f"[{a},{b})" for a, b in pairs]
    if include_lowest and right:
        names[0] = "[" + names[0][1:]
    elif include_lowest:
        names[-1] = names[-1][:-1] + "]"
    return names


def dummy(f, levels=None):
    """dummy(f, "lev"): lme4's indicator columns; all levels but the first unless named."""
    base = _factor_of(f)
    wanted = list(base.levels[1:]) if levels is None else [str(text) for text in texts_of(levels)]
    for text in wanted:
        if text not in base.levels:
            raise DataError(f"{text!r} is not a level; the levels are {', '.join(base.levels)}.")
    columns = np.column_stack([np.where(base.codes < 0, np.nan, base.codes == base.levels.index(text)) for text in wanted])
    return Matrix(columns.astype(np.float64), tuple(wanted))


def set_contrasts(x, contr=None):
    """C(f, contr.sum): a factor with its own coding."""
    base = _factor_of(x)
    if contr is not None and contr not in CONTRAST_NAMES:
        raise FormulaError(f"the coding must be one of {', '.join(CONTRAST_NAMES)}.")
    return Factor(base.codes, base.levels, base.ordered, contrasts=contr)


def as_numeric(x):
    """as.numeric(x): numbers; codes of a factor, the numbers written in a text column."""
    if isinstance(x, str):
        return float(x)
    if not isinstance(x, Factor):
        return numbers(x, "as.numeric()")
    if not x.text:
        return np.where(x.codes < 0, np.nan, x.codes + 1.0)
    return np.array([_number_in(text) for text in x.levels] + [np.nan])[x.codes]


def _number_in(text):
    try:
        return float(text)
    except ValueError:
        return np.nan


def as_integer(x):
    """as.integer(x): numbers cut off towards zero."""
    return np.trunc(as_numeric(x))


def as_character(x):
    """as.character(x): text, so levels are sorted anew."""
    base = _factor_of(x)
    names = sorted(base.levels)
    result = _recode(Factor(base.codes, base.levels), names)
    return Factor(result.codes, result.levels, text=True)


def as_logical(x):
    """as.logical(x)"""
    if isinstance(x, Factor):
        truth = [1.0 if t in ("TRUE", "true", "T", "True") else 0.0 if t in ("FALSE", "false", "F", "False") else np.nan for t in x.levels]
        return Logical(np.array([*truth, np.nan])[x.codes])
    value = np.atleast_1d(numbers(x, "as.logical()"))
    return Logical(np.where(np.isnan(value), np.nan, (value != 0).astype(np.float64)))


FACTOR_FUNCTIONS = {
    "factor": factor, "ordered": ordered, "as.factor": as_factor, "as.ordered": as_ordered, "droplevels": droplevels,
    "relevel": relevel, "interaction": interaction, "cut": cut, "dummy": dummy, "C": set_contrasts,
    "as.numeric": as_numeric, "as.double": as_numeric, "as.integer": as_integer, "as.character": as_character, "as.logical": as_logical,
}
