"""R's operators on vectors: arithmetic, comparison, logic, ranges."""
import numpy as np

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.deparse import number_text
from fastlmm_hlm.formula.values import Factor, Logical, Matrix, describe

_ARITHMETIC = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power,
    "%%": np.mod, "%/%": np.floor_divide,
}
_COMPARE = {"==": np.equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal}


def numbers(value, shown):
    """Return a value as a float or a float64 array of its numbers.

    Raises
    ------
    FormulaError
        For factors, text and NULL.
    """
    if isinstance(value, Logical):
        return value.values if len(value) > 1 else float(value.values[0]) if len(value) else value.values
    if isinstance(value, (float, np.ndarray)) and getattr(value, "dtype", np.float64) != object:
        return value
    if isinstance(value, Matrix):
        return value.values[:, 0] if value.values.shape[1] == 1 else value.values
    raise FormulaError(f"{shown} needs numbers, and was given {describe(value)}.")


def apply_unary(op, value, shown):
    """Apply -, + or ! to a value."""
    if op == "!":
        return Logical(np.atleast_1d(_truth(value, shown) == 0).astype(np.float64) + np.atleast_1d(_truth(value, shown)) * 0)
    if op == "~":
        raise FormulaError(f"'~' stands inside {shown}; a formula has one '~'.")
    value = numbers(value, shown)
    return -value if op == "-" else value


def apply_binary(op, left, right, shown):
    """Apply an infix operator to two values.

    Parameters
    ----------
    op : str
    left, right : values of expressions
    shown : str
        The expression, for messages.

    Returns
    -------
    float, ndarray or Logical

    Raises
    ------
    FormulaError
        If the operator cannot be applied to such values.
    """
    if op in _ARITHMETIC:
        a, b = numbers(left, shown), numbers(right, shown)
        _same_length(a, b, shown)
        if op == "^":
            return _power(a, b)
        result = _ARITHMETIC[op](a, b)
        return float(result) if np.ndim(result) == 0 else result
    if op in _COMPARE:
        return _compare(op, left, right, shown)
    if op in ("&", "|", "&&", "||"):
        return _logic(op, _truth(left, shown), _truth(right, shown))
    if op == "%in%":
        return _member(left, right, shown)
    if op == ":":
        return _range(left, right, shown)
    raise FormulaError(f"the operator {op} in {shown} is not available inside an expression.")


def _same_length(a, b, shown):
    if np.ndim(a) and np.ndim(b) and np.shape(a)[0] != np.shape(b)[0]:
        raise FormulaError(f"{shown} combines {np.shape(a)[0]} values with {np.shape(b)[0]}; both sides need the same number, or one of them a single value.")


def _power(a, b):
    if np.ndim(b) == 0 and b == 2:
        return a * a
    result = np.power(a, b)
    return float(result) if np.ndim(result) == 0 else result


def _truth(value, shown):
    value = numbers(value, shown)
    return np.where(np.isnan(value), np.nan, np.asarray(value != 0, dtype=np.float64))


def _logic(op, a, b):
    a, b = np.atleast_1d(a), np.atleast_1d(b)
    if op[0] == "&":
        return Logical(np.where((a == 0) | (b == 0), 0.0, a * b))
    return Logical(np.where((a == 1) | (b == 1), 1.0, a + b))


def texts_of(value):
    """Return the values as an object array of texts, None for missing."""
    if isinstance(value, Factor):
        return np.array([*value.levels, None], dtype=object)[value.codes]
    if isinstance(value, str):
        return np.array([value], dtype=object)
    if isinstance(value, Logical):
        return texts_of(value.as_factor())
    array = np.atleast_1d(value)
    return array if array.dtype == object else np.array([None if np.isnan(v) else number_text(v) for v in array], dtype=object)


def _compare(op, left, right, shown):
    is_text = [isinstance(v, (Factor, str)) or getattr(v, "dtype", None) == object for v in (left, right)]
    if not any(is_text):
        a, b = numbers(left, shown), numbers(right, shown)
        _same_length(a, b, shown)
        result = np.atleast_1d(_COMPARE[op](a, b)).astype(np.float64)
        return Logical(np.where(np.isnan(a) | np.isnan(b), np.nan, result))
    if isinstance(right, Factor) and not isinstance(left, Factor):
        mirrored = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(op, op)
        return _compare(mirrored, right, left, shown)
    if isinstance(left, Factor) and np.size(texts_of(right)) == 1:
        return _compare_factor(op, left, texts_of(right)[0], shown)
    if op not in ("==", "!="):
        raise FormulaError(f"{shown} orders text; compare a factor with one of its levels, or make the column in the data first.")
    a, b = texts_of(left), texts_of(right)
    _same_length(a, b, shown)
    result = _COMPARE[op](a, b).astype(np.float64)
    return Logical(np.where(np.equal(a, None) | np.equal(b, None), np.nan, result))


def _compare_factor(op, factor, level, shown):
    if op in ("==", "!="):
        truth = _COMPARE[op](np.array([text == level for text in factor.levels] + [False]), True).astype(np.float64)
    elif factor.ordered:
        if level not in factor.levels:
            raise FormulaError(f"{shown} compares with {level!r}, which is not a level; the levels are {', '.join(factor.levels)}.")
        truth = _COMPARE[op](np.arange(len(factor.levels) + 1), factor.levels.index(level)).astype(np.float64)
    elif factor.text:
        truth = np.array([float(_COMPARE[op](text, level)) for text in factor.levels] + [0.0])
    else:
        raise FormulaError(f"{shown} orders a factor that is not ordered; use == or !=, or make the factor ordered.")
    truth[-1] = np.nan
    return Logical(truth[factor.codes])


def _member(left, right, shown):
    wanted = set(texts_of(right).tolist())
    if isinstance(left, Factor):
        truth = np.array([float(text in wanted) for text in left.levels] + [float(None in wanted)])
        return Logical(truth[left.codes])
    if isinstance(left, str):
        return Logical(np.array([float(left in wanted)]))
    return Logical(np.isin(np.atleast_1d(numbers(left, shown)), np.atleast_1d(numbers(right, shown))).astype(np.float64))


def _range(left, right, shown):
    a, b = numbers(left, shown), numbers(right, shown)
    if np.ndim(a) or np.ndim(b) or not np.isfinite([a, b]).all() or abs(b - a) > 1e7:
        raise FormulaError(f"{shown} is a range and needs one number on each side; interactions are written outside of functions.")
    count = int(np.floor(abs(b - a) + 1e-10)) + 1
    return a + np.sign(b - a) * np.arange(count)
