"""R's mathematical functions on vectors, with R's argument names."""
import numpy as np

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.operators import numbers, texts_of
from fastlmm_hlm.formula.values import Factor, Logical, Matrix, missing_rows


def _elementwise(name, function):
    def apply(x):
        if isinstance(x, Matrix):
            return Matrix(function(x.values), x.names)
        result = function(numbers(x, f"{name}()"))
        return float(result) if np.ndim(result) == 0 else result

    apply.__name__ = name
    return apply


def identity(x):
    """I(x): protect arithmetic from the algebra of terms."""
    return x


def logarithm(x, base=None):
    """log(x, base): natural logarithm unless a base is given."""
    value = np.log(numbers(x, "log()"))
    if base is not None:
        value = value / np.log(numbers(base, "log()"))
    return float(value) if np.ndim(value) == 0 else value


def round_to(x, digits=0.0):
    """round(x, digits): to even at the midpoint, as IEC 60559 and R."""
    return np.round(numbers(x, "round()"), int(digits))


def significant(x, digits=6.0):
    """signif(x, digits): round to significant digits."""
    x = np.atleast_1d(numbers(x, "signif()"))
    return np.array([float(f"{value:.{max(int(digits), 1) - 1}e}") for value in x])


def combine(*values):
    """c(...): join values into one vector."""
    if any(isinstance(v, (str, Factor)) or getattr(v, "dtype", None) == object for v in values):
        if len(values) == 1 and isinstance(values[0], Factor):
            return values[0]
        return np.concatenate([texts_of(v) for v in values])
    if values and all(isinstance(v, Logical) for v in values):
        return Logical(np.concatenate([v.values for v in values]))
    return np.concatenate([np.ravel(numbers(v, "c()"), order="F") for v in values]) if values else None


def bind_columns(columns, names):
    """cbind(...): one matrix of all columns.

    Parameters
    ----------
    columns : list of vectors or Matrix
    names : list of str
        The name of each, "" where it has none; a matrix keeps its own.
    """
    lengths = {len(np.atleast_1d(c)) if isinstance(c, float) else len(c) for c in columns}
    n = max(lengths, default=0)
    if not columns or lengths - {n, 1}:
        raise FormulaError("cbind() needs columns of the same length.")
    parts, labels = [], []
    for column, name in zip(columns, names, strict=True):
        values = numbers(column, "cbind()")
        parts.append(np.reshape(values, (n, -1)) if np.size(values) > 1 or n == 1 else np.full((n, 1), values))
        labels += list(column.names) if isinstance(column, Matrix) else [name]
    return Matrix(np.column_stack(parts), tuple(labels))


def if_else(test, yes, no):
    """ifelse(test, yes, no), elementwise; text results become a factor."""
    truth = np.atleast_1d(numbers(test, "ifelse()"))
    if any(isinstance(v, str) for v in (yes, no)) or any(getattr(v, "dtype", None) == object for v in (yes, no)):
        from fastlmm_hlm.formula.factors import factor_from_texts

        chosen = np.where(truth != 0, _spread(texts_of(yes), truth), _spread(texts_of(no), truth))
        chosen[np.isnan(truth)] = None
        return factor_from_texts(chosen, text=True)
    yes, no = (v.codes + 1.0 if isinstance(v, Factor) else v for v in (yes, no))
    chosen = np.where(truth != 0, numbers(yes, "ifelse()"), numbers(no, "ifelse()"))
    chosen = np.where(np.isnan(truth), np.nan, chosen)
    return Logical(chosen) if isinstance(yes, Logical) and isinstance(no, Logical) else chosen


def _spread(texts, like):
    return np.broadcast_to(texts, like.shape) if len(texts) == 1 else texts


def is_missing(x):
    """is.na(x)"""
    return Logical(missing_rows(np.atleast_1d(x) if isinstance(x, float) else x).astype(np.float64))


def _summary(name, function):
    def summarize(x, na_rm=False, state=None):
        if "value" not in state:
            values = np.ravel(numbers(x, f"{name}()"))
            keep = isinstance(na_rm, Logical) and na_rm.values[0] == 1
            state["value"] = float(function(values[~np.isnan(values)] if keep else values))
        return state["value"]

    summarize.__name__ = name
    return summarize


def quantile(x, probs, na_rm=False, state=None):
    """quantile(x, probs): R's type 7."""
    if "value" not in state:
        values = np.ravel(numbers(x, "quantile()"))
        state["value"] = np.quantile(values[~np.isnan(values)], numbers(probs, "quantile()"))
    return float(state["value"]) if np.ndim(state["value"]) == 0 else state["value"]


def _parallel(name, function):
    def apply(*values):
        result = numbers(values[0], f"{name}()")
        for value in values[1:]:
            result = function(result, numbers(value, f"{name}()"))
        return result

    apply.__name__ = name
    return apply


_ELEMENTWISE = {
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "expm1": np.expm1, "sqrt": np.sqrt, "abs": np.abs,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "floor": np.floor, "ceiling": np.ceil, "trunc": np.trunc, "sign": np.sign,
    "plogis": lambda x: 1 / (1 + np.exp(-x)), "qlogis": lambda x: np.log(x / (1 - x)),
}
_SUMMARIES = {
    "min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "sum": np.sum, "length": np.size,
    "sd": lambda x: np.std(x, ddof=1), "var": lambda x: np.var(x, ddof=1),
}
MATH_FUNCTIONS = {
    **{name: _elementwise(name, function) for name, function in _ELEMENTWISE.items()},
    **{name: _summary(name, function) for name, function in _SUMMARIES.items()},
    "I": identity, "log": logarithm, "round": round_to, "signif": significant, "c": combine, "cbind": bind_columns,
    "ifelse": if_else, "is.na": is_missing, "quantile": quantile, "as.vector": identity, "identity": identity,
    "pmin": _parallel("pmin", np.minimum), "pmax": _parallel("pmax", np.maximum),
}
