"""The variables of R's model frame: columns of a data frame, and values of calls with what their transforms learned."""

import inspect

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator, Known, find_function
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Call, Name, column_names, unwrap, walk
from fastlmm_hlm.formula.values import Factor, Logical, Matrix

# Two evaluations of one variable, here and in R, differ by less than this of its largest value.
SAME_VALUES = 1e-8
# A raw value that was recovered from a basis and lies this close to a whole number, relative to the largest, is one.
WHOLE = 1e-9
OTHER_VALUES = "{caller}: {text} has other values in the data than in the model; give the data of the fit."
LEVELS_AS_STATE = ("factor", "as.factor", "ordered", "as.ordered", "droplevels")
INVERSES = {"log": np.exp, "log2": np.exp2, "log10": lambda v: 10.0**v, "exp": np.log, "log1p": np.expm1, "expm1": np.log1p,
            "sqrt": np.square, "identity": lambda v: v, "as.numeric": lambda v: v, "as.vector": lambda v: v, "I": lambda v: v}


def node_of(variable):
    """The expression of a variable of R's model frame."""
    text = variable["text"][0]
    return Name(text) if variable["is_name"][0] else parse_expression(text)


def value_of(described):
    """A described R vector as a value of an expression."""
    kind = described["kind"][0]
    if kind == "factor":
        coding = described["coding"]
        contrasts = None if coding is None else _matrix(coding["values"], coding["names"])
        return Factor(described["codes"].astype(np.int32), tuple(described["levels"]), bool(described["ordered"][0]),
                      contrasts=contrasts)
    if kind == "logical":
        return Logical(described["values"].astype(float))
    if kind == "matrix":
        table = _matrix(described["values"], described["names"])
        return Matrix(table.to_numpy(), tuple(table.columns))
    return described["values"].astype(float)


def _matrix(values, names):
    return pd.DataFrame(np.reshape(values, (-1, len(names)), order="F"), columns=list(names))


def column_of(described):
    """A described R vector as a column of a data frame; None for a matrix."""
    kind = described["kind"][0]
    if kind == "factor":
        dtype = pd.CategoricalDtype(described["levels"], ordered=bool(described["ordered"][0]))
        return pd.Categorical.from_codes(described["codes"], dtype=dtype)
    if kind == "matrix":
        return None
    values = described["values"]
    if "whole" in described:                 # whole numbers or truth values with gaps, which R sent as numbers
        return pd.array([pd.NA if np.isnan(v) else int(v) for v in values], dtype="Int64" if described["whole"][0] == "integer" else "boolean")
    if kind == "logical":
        return values.astype(bool)
    if kind == "date":
        return pd.to_datetime(values, unit="D", origin="unix").to_numpy()
    return values.astype(np.int64) if kind == "integer" else values


# --- what transforms learned --------------------------------------------------------


def learned(node, remembered, value):
    """State of the outermost call of a variable, or None where the model does not hold it.

    Parameters
    ----------
    node : Node
    remembered : dict or None
        Arguments that R's predvars keep.
    value : value
        The variable in the rows of the model.

    Returns
    -------
    dict or None
    """
    node, remembered = unwrap(node), remembered or {}
    if not isinstance(node, Call):
        return None
    name = node.function.rpartition(":")[2]
    if name == "poly":
        coefs = remembered.get("coefs")
        several = [coefs] if isinstance(coefs, dict) and "alpha" in coefs else list(coefs.values()) if isinstance(coefs, dict) else coefs or []
        return {str(i): {"alpha": one["alpha"], "norm": one["norm2"]} for i, one in enumerate(several)}
    if name in ("ns", "bs") and "Boundary.knots" in remembered:
        knots = remembered.get("knots")
        return {"boundary": np.sort(remembered["Boundary.knots"]), "knots": np.zeros(0) if knots is None else np.sort(knots)}
    if name == "scale" and remembered:
        return {"center": _number_or(remembered.get("center"), 0.0), "scale": _number_or(remembered.get("scale"), 1.0)}
    if name in LEVELS_AS_STATE and isinstance(value, Factor) and not any(a.name == "labels" for a in node.args) and len(node.args) < 3:
        return {"levels": value.levels}
    return None


def _number_or(value, neutral):
    return neutral if value is None or value.dtype == bool else value


def _learning_calls(node):
    """Calls within an expression that learn from the data."""
    out = []
    for part in walk(node):
        try:
            if isinstance(part, Call) and "state" in inspect.signature(find_function(part)).parameters:
                out.append(part)
        except FastlmmError:                 # a function of the user's own: its values are known, new data will be refused
            continue
    return out


def _fixed_breaks(call):
    """cut() at given points learns nothing from the data."""
    return call.function.rpartition(":")[2] == "cut" and len(call.args) > 1 and isinstance(unwrap(call.args[1].value), Call)


# --- all variables ------------------------------------------------------------------


def known_variables(variables, data, caller):
    """Values and states of the variables that are no plain columns.

    Parameters
    ----------
    variables : list of dict
        From R's ``variables_of``.
    data : DataFrame or None
        All rows that the model was fitted to, with the rows used in ``data.attrs["used"]``; for transforms within
        calls, whose state R does not keep.
    caller : str

    Returns
    -------
    Known

    Raises
    ------
    DataError
        If a state is not in the model and cannot be found from data.
    """
    values, state = {}, {}
    for variable in variables:
        node, value = node_of(variable), value_of(variable["value"])
        text = deparse(node)
        if variable["is_name"][0]:
            if isinstance(value, Factor) and value.contrasts is not None:
                values[text] = value
            continue
        values[text] = value
        calls = [call for call in _learning_calls(node) if not _fixed_breaks(call)]
        own = learned(node, variable["remembered"], value)
        outermost = unwrap(node)
        if own is not None:
            state[text] = {deparse(outermost): own}
            calls = [call for call in calls if call is not outermost]
        if calls:
            state[text] = _learn_from(data, node, value, calls, caller)
        elif data is not None:
            _check_values(data, node, value, state.get(text, {}), caller)
    return Known(values, state)


def _check_values(data, node, value, state, caller):
    """Refuse data in which a variable has other values than in the model, as far as they can be computed here."""
    if not all(name in data for name in column_names(node)):
        return
    try:
        again = Evaluator(DataColumns(data), state={deparse(node): state}).variable(node)
    except FastlmmError:                     # a function of the user's own
        return
    if not _same(again, value, data.attrs["used"]):
        raise DataError(OTHER_VALUES.format(caller=caller, text=deparse(node)))


def _learn_from(data, node, value, calls, caller):
    """State of calls within calls, from the rows that R was given."""
    text, which = deparse(node), ", ".join(dict.fromkeys(deparse(call) for call in calls))
    missing = [] if data is None else [name for name in column_names(node) if name not in data]
    if data is None or missing:
        raise DataError(
            f"{caller}: {text} uses {which}, which depends on all rows that R was given, and the model does not hold "
            f"{'them' if data is None else ', '.join(missing)}; give the data of the fit, as in {caller}(..., data=data)."
        )
    evaluator = Evaluator(DataColumns(data))
    again = evaluator.variable(node)
    if not _same(again, value, data.attrs["used"]):
        raise DataError(OTHER_VALUES.format(caller=caller, text=text))
    return evaluator.state[text]


def _same(here, there, used):
    if isinstance(here, Factor) or isinstance(there, Factor):
        if not (isinstance(here, Factor) and isinstance(there, Factor)):
            return False
        here = here.take(used)
        return [here.levels[i] for i in here.codes] == [there.levels[i] for i in there.codes]
    here, there = (np.asarray(getattr(v, "values", v), dtype=float) for v in (here, there))
    here = here[used]
    return here.size == there.size and np.allclose(here.ravel(), there.ravel(), rtol=0, atol=SAME_VALUES * np.abs(there).max(initial=1e-300))


# --- raw values out of transformed ones -------------------------------------------------


def recovered_columns(variables, known, have):
    """Raw columns that the frame holds only transformed, where the transform can be undone.

    The identity lies in the span of a constant and the columns of scale(), poly(), ns() and bs(), and of expressions
    such as I(x - 10), so that its coefficients follow from these columns on a grid.  Values are good to rounding.

    Parameters
    ----------
    variables : list of dict
    known : Known
    have : collection of str
        Columns that are there.

    Returns
    -------
    dict of str to column
    """
    out = {}
    for variable in variables:
        node, names = node_of(variable), column_names(node_of(variable))
        if isinstance(node, Name) or len(set(names)) != 1 or names[0] in have or names[0] in out:
            continue
        value, state = known.values[deparse(node)], known.state.get(deparse(node), {})
        try:
            raw = _levels_as_column(unwrap(node), value) if isinstance(value, Factor) else _undone(node, names[0], value, state)
        except FastlmmError:                 # a function of the user's own
            continue
        if raw is not None:
            out[names[0]] = raw
    return out


def _levels_as_column(node, value):
    """The column in factor(x): numbers where all levels are, else categories."""
    if not (isinstance(node, Call) and node.function in LEVELS_AS_STATE and len(node.args) == 1 and isinstance(node.args[0].value, Name)):
        return None
    try:
        return _tidied(np.array([float(text) for text in value.levels])[value.codes])
    except ValueError:
        return pd.Categorical.from_codes(value.codes, categories=list(value.levels), ordered=value.ordered)


def _undone(node, name, value, state):
    outer = unwrap(node)
    if isinstance(value, Logical):
        return None
    if isinstance(outer, Call) and outer.function in INVERSES and len(outer.args) == 1 and isinstance(outer.args[0].value, Name):
        with np.errstate(all="ignore"):
            raw = INVERSES[outer.function](np.asarray(value))
        return _tidied(raw) if np.isfinite(raw).all() else None
    grid = np.linspace(*_range(state.get(deparse(outer), {})), 200)
    basis = Evaluator(DataColumns({name: grid}), state={deparse(node): state}).variable(node)
    if isinstance(basis, (Factor, Logical)):
        return None
    table, rows = (np.reshape(getattr(v, "values", v), (len(v), -1)) for v in (basis, value))
    table = np.column_stack([np.ones(len(grid)), table])
    if not np.isfinite(table).all():
        return None
    size = np.abs(table).max(axis=0)
    coefficients = np.linalg.lstsq(table / size, grid, rcond=None)[0] / size
    if np.abs(table @ coefficients - grid).max() > SAME_VALUES * np.abs(grid).max():
        return None
    return _tidied(np.column_stack([np.ones(len(rows)), rows]) @ coefficients)


def _range(state):
    """Where a grid for a basis lies."""
    if "boundary" in state:
        return state["boundary"]
    if "center" in state:
        centre, spread = float(np.ravel(state["center"])[0]), float(np.ravel(state["scale"])[0])
    elif "0" in state and state["0"]:
        one = state["0"]
        centre, spread = one["alpha"][0], np.sqrt(one["norm"][2] / one["norm"][1])
    else:
        centre, spread = 0.0, 1.0
    return centre - 2 * spread, centre + 2 * spread


def _tidied(values):
    """Values that are whole numbers but for rounding as whole numbers."""
    whole = np.round(values)
    return whole if np.abs(values - whole).max(initial=0.0) <= WHOLE * max(np.abs(values).max(initial=0.0), 1.0) else values
