"""Calls of a formula that depend on all rows, and what the first pass must know for them.

scale(x) needs a mean and a standard deviation, poly(x, k) moments up to 2k, a natural
spline the range of its column, factor(x) the distinct values.  Quantiles cannot be
added up over blocks, so calls that need them are refused by name.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.errors import DataError, FormulaError
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import find_function, match_arguments
from fastlmm_hlm.formula.operators import numbers
from fastlmm_hlm.formula.syntax import Call, Constant, Name, Number, children, column_names
from fastlmm_hlm.formula.values import Logical
from fastlmm_hlm.ingest.moments import orthogonal_polynomials

MOMENT_CALLS = {"scale", "poly", "bs", "ns", "mean", "sd", "var", "sum", "length", "min", "max"}
LEVEL_CALLS = {"factor", "as.factor", "ordered", "as.ordered", "droplevels", "relevel", "interaction", "dummy", "C"}
ORDER_CALLS = {"median", "quantile"}
# Above it the moments of a polynomial's column have lost their digits.
HIGHEST_DEGREE = 6


@dataclass(frozen=True)
class WholeCall:
    """A call that depends on all rows.

    Attributes
    ----------
    variable : str
        The variable of the formula in which it stands.
    node : Call
    kind : "moments" or "levels"
    inner : tuple of Node
        Expressions whose moments it needs.
    order : int
        Of the moments.
    """

    variable: str
    node: Call
    kind: str
    inner: tuple = ()
    order: int = 2

    @property
    def text(self):
        return deparse(self.node)


def whole_calls(variable, node):
    """The outermost calls of a variable that depend on all rows.

    Parameters
    ----------
    variable : str
    node : Node

    Returns
    -------
    list of WholeCall

    Raises
    ------
    FormulaError
        For a call that blocks of rows cannot serve, saying what to do instead.
    """
    if isinstance(node, Call):
        call = _whole(variable, node)
        if call is not None:
            _refuse_nested(call)
            return [call]
    return [call for child in children(node) for call in whole_calls(variable, child)]


def _name_of(call):
    return call.function.rpartition("::")[2]


def _argument(call, name, place=None):
    """An argument's node by its name (or a beginning of it), or by its place; None if it is not given."""
    named = [a.value for a in call.args if a.name is not None and a.name != "" and name.startswith(a.name.replace(".", "_"))]
    unnamed = [a.value for a in call.args if a.name is None]
    if named:
        return named[0]
    return unnamed[place] if place is not None and place < len(unnamed) else None


def _is_true(node):
    return isinstance(node, Constant) and node.text == "TRUE" or isinstance(node, Name) and node.text == "T"


def _whole(variable, call):
    name = _name_of(call)
    if name in ORDER_CALLS:
        raise _refusal(call, "needs all values in order; write its value as a number, or make the column first")
    if name == "cut" and isinstance(_argument(call, "breaks", 1), Number):
        raise _refusal(call, "divides the range of all rows; give the points between the intervals, as in cut(x, c(0, 10, 20))")
    if name in LEVEL_CALLS:
        given = name in ("factor", "ordered") and _argument(call, "levels", 1) is not None
        return None if given else WholeCall(variable, call, "levels")
    if name not in MOMENT_CALLS:
        return None
    if name == "poly":
        return _poly(variable, call)
    if name in ("bs", "ns"):
        return _spline(variable, call)
    x = _argument(call, "x", 0)
    return None if x is None else WholeCall(variable, call, "moments", (x,))


def _poly(variable, call):
    if _is_true(_argument(call, "raw")):
        return None
    unnamed = [a.value for a in call.args if a.name is None or a.name == "x"]
    inner = tuple(node for node in unnamed if not isinstance(node, Number))
    degrees = [node for node in [_argument(call, "degree"), *unnamed] if isinstance(node, Number)]
    degree = int(degrees[0].value) if degrees else 1
    if degree > HIGHEST_DEGREE:
        raise _refusal(call, f"has a degree above {HIGHEST_DEGREE}; use raw = TRUE on a scaled column, or make the columns first")
    return WholeCall(variable, call, "moments", inner, max(2, 2 * degree))


def _spline(variable, call):
    knots, boundary, df = _argument(call, "knots", 2), _argument(call, "Boundary_knots"), _argument(call, "df", 1)
    if knots is None and df is not None:
        x = column_names(call)[0] if column_names(call) else "x"
        raise _refusal(call, f"puts its knots at quantiles of all rows; give them, as in {_name_of(call)}({x}, knots = c(...), Boundary.knots = c(..., ...))")
    if knots is not None and boundary is not None:
        return None
    return WholeCall(variable, call, "moments", (_argument(call, "x", 0),))


def _refusal(call, why):
    return FormulaError(f"{deparse(call)} {why}. Rows that are read block by block are never all in memory.")


def _refuse_nested(call):
    for part in call.inner if call.kind == "moments" else children(call.node):
        for inside in whole_calls(call.variable, part):
            if call.kind == "moments" or inside.kind == "moments":
                raise _refusal(call.node, f"holds {inside.text}, which itself depends on all rows; make the column of {inside.text} first")


def learned_state(call, moments, evaluator):
    """The state of a call that depends on moments, as `formula.transforms` would have learned it.

    Parameters
    ----------
    call : WholeCall
    moments : dict of str to Moments
        By the text of the expression.
    evaluator : Evaluator
        Of any rows, for the call's other arguments.

    Returns
    -------
    dict

    Raises
    ------
    DataError, FormulaError
        As the transforms themselves.
    """
    own = [moments[deparse(node)] for node in call.inner]
    name = _name_of(call.node)
    if any(m.count == 0 for m in own):
        raise DataError(f"{call.text} has no observed values to learn from.")
    if name == "poly":
        return {str(i): _poly_state(call, m) for i, m in enumerate(own)}
    if name not in ("scale", "bs", "ns"):
        return {"value": _summary(call, name, own[0])}
    arguments = _other_arguments(call, evaluator)
    return _scale_state(call, own[0], arguments) if name == "scale" else _spline_state(own[0], arguments)


def _poly_state(call, moments):
    degree = (len(moments.sums) - 1) // 2
    alpha, norm = orthogonal_polynomials(moments, degree)
    size = np.array([float(moments.sums[2]) ** k for k in range(degree + 1)]) * float(moments.sums[0]) ** (1.0 - np.arange(degree + 1))
    if moments.low == moments.high or (norm[1:] <= 1e-13 * size).any():
        raise FormulaError(f"{call.text}: the degree is {degree} and the column has no more than {degree} different values; the degree must be less.")
    return {"alpha": alpha, "norm": norm}


def _other_arguments(call, evaluator):
    given = [(a.name, evaluator.evaluate(a.value)) for a in call.node.args if a.value is not call.inner[0]]
    bound = match_arguments(find_function(call.node), [("x", np.zeros(1)), *given], call.text, {"state": {}})
    bound.apply_defaults()
    return bound.arguments


def _wanted(value):
    return bool(value.values[0]) if isinstance(value, Logical) else bool(value)


def _scale_state(call, m, arguments):
    center, scale = arguments["center"], arguments["scale"]
    if isinstance(center, (bool, Logical)):
        center = np.array([float(m.mean)]) if _wanted(center) else 0.0
    if isinstance(scale, (bool, Logical)):
        about = m.sums[2] + m.sums[0] * (m.mean - np.longdouble(np.ravel(center)[0])) ** 2
        scale = np.array([float(np.sqrt(about / max(m.count - 1, 1)))]) if _wanted(scale) else 1.0
    if np.any(np.asarray(scale) == 0) or (m.low == m.high and np.ndim(scale) and np.ndim(center)):
        raise DataError(f"{call.text}: scale() found a constant column, whose standard deviation is 0; leave it out of the formula.")
    return {"center": center, "scale": scale}


def _spline_state(m, arguments):
    knots, boundary = arguments["knots"], arguments["Boundary_knots"]
    boundary = np.array([m.low, m.high]) if boundary is None else np.sort(np.atleast_1d(numbers(boundary, "Boundary.knots")))
    knots = np.empty(0) if knots is None else np.sort(np.atleast_1d(numbers(knots, "knots")).astype(np.float64))
    return {"boundary": boundary, "knots": knots}


def _summary(call, name, m):
    if m.missing and name != "length" and not _is_true(_argument(call.node, "na_rm", 1)):
        return float("nan")
    n = m.sums[0]
    return float({
        "mean": m.mean, "sum": m.mean * n, "length": n + m.missing, "min": m.low, "max": m.high,
        "var": m.sums[2] / max(n - 1, 1), "sd": np.sqrt(m.sums[2] / max(n - 1, 1)),
    }[name])
