"""Evaluating the expressions of a formula by walking their trees.

Nothing of the user's text ever reaches Python's eval().  Transforms such as
poly() and scale() keep what they learned in a state, so that new data are
put on the same basis.
"""
import inspect
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fastlmm_hlm.errors import FastlmmError, FormulaError
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.factors import CONTRAST_NAMES, FACTOR_FUNCTIONS
from fastlmm_hlm.formula.functions import MATH_FUNCTIONS, bind_columns
from fastlmm_hlm.formula.operators import apply_binary, apply_unary
from fastlmm_hlm.formula.syntax import Binary, Constant, Name, Number, Paren, Text, Unary
from fastlmm_hlm.formula.transforms import TRANSFORMS
from fastlmm_hlm.formula.values import Factor, Logical

FUNCTIONS = {**MATH_FUNCTIONS, **TRANSFORMS, **FACTOR_FUNCTIONS}
_PACKAGES = {"base", "stats", "splines", "lme4", "Matrix"}
_CONSTANTS = {"TRUE": 1.0, "FALSE": 0.0, "NA": np.nan, "NaN": np.nan, "Inf": np.inf}


@dataclass(frozen=True)
class Known:
    """Variables that were evaluated elsewhere, as in a model frame of R.

    Attributes
    ----------
    values : dict of str to value
        Text of the variable, as `deparse` writes it, -> what it is in the rows of the data.
    state : dict
        What its transforms learned; see `Evaluator`.
    """

    values: dict
    state: dict


class Evaluator:
    """Evaluates expressions in the columns of one data set.

    Parameters
    ----------
    source : DataColumns
    state : dict, optional
        What the transforms of each variable learned from earlier data:
        variable text -> call text -> dict.  Given: nothing new is learned.
        Omitted: it is filled.
    levels : dict of str to tuple of str, optional
        Levels of the text columns in earlier data.
    known : Known, optional
        Variables that were evaluated elsewhere.
    """

    def __init__(self, source, state=None, levels=None, known=None):
        self.source = source
        self.n = source.n
        self.learning = state is None
        self.state = {} if state is None else state
        self.levels = {} if levels is None else levels
        self._values, self._columns = {}, {}
        self._variable, self._asker = None, "the formula"
        if known is not None:
            self._values.update(known.values)
            self.state.update(known.state)

    def variable(self, node, asker="the formula"):
        """Evaluate one variable of a formula to a vector with one value per row.

        Parameters
        ----------
        node : Node
        asker : str
            Who needs it, for the message about a missing column.

        Returns
        -------
        ndarray, Factor, Logical or Matrix, n rows

        Raises
        ------
        FormulaError
            If a function is unknown or is called wrongly.
        DataError
            If the values cannot be used by a function.
        UnknownColumnError
            If a column does not exist.
        """
        text = deparse(node)
        if text not in self._values:
            self._variable, self._asker = text, asker
            value = self.evaluate(node)
            self._values[text] = self._as_vector(value, text)
        return self._values[text]

    def _as_vector(self, value, text):
        if value is None or isinstance(value, str):
            raise FormulaError(f"{text} gives {'NULL' if value is None else 'one text'} where one value per row was expected.")
        if isinstance(value, float):
            value = np.array([value])
        if len(value) != self.n:
            raise FormulaError(f"{text} has {len(value)} value{'' if len(value) == 1 else 's'} and the data have {self.n} rows; a variable needs one value per row.")
        return value

    def evaluate(self, node):
        """Evaluate any expression; the result may also be a scalar, a text or None."""
        if isinstance(node, Paren):
            return self.evaluate(node.inner)
        if isinstance(node, Name):
            return self.column(node)
        if isinstance(node, Number):
            return float(node.value)
        if isinstance(node, Text):
            return node.value
        if isinstance(node, Constant):
            return None if node.text == "NULL" else self._constant(node.text)
        with np.errstate(all="ignore"):
            if isinstance(node, Unary):
                return apply_unary(node.op, self.evaluate(node.operand), deparse(node))
            if isinstance(node, Binary):
                return apply_binary(node.op, self.evaluate(node.left), self.evaluate(node.right), deparse(node))
            return self.call(node)

    @staticmethod
    def _constant(text):
        value = _CONSTANTS[text]
        return Logical(np.array([value])) if text in ("TRUE", "FALSE", "NA") else value

    def column(self, node):
        """Return what a name stands for: a column, T, F, pi or the name of a coding."""
        name = node.text
        if name not in self.source:
            if name in ("T", "F"):
                return self._constant("TRUE" if name == "T" else "FALSE")
            if name == "pi":
                return float(np.pi)
            if name in CONTRAST_NAMES:
                return name
            self.source.check([name], role=self._asker)
        if name not in self._columns:
            value = self.source.column(name).value(self.levels.get(name, ()))
            if self.learning and isinstance(value, Factor):
                self.levels[name] = value.levels
            self._columns[name] = value
        return self._columns[name]

    def call(self, node):
        """Evaluate a call of one of the known functions."""
        function = find_function(node)
        shown = deparse(node)
        given = [(a.name, self.evaluate(a.value)) for a in node.args]
        if function is bind_columns:
            names = [a.name or (a.value.text if isinstance(a.value, Name) else "") for a in node.args]
            return bind_columns([value for _, value in given], names)
        hidden = {}
        if "state" in _signature(function).parameters:
            hidden["state"] = self.state.setdefault(self._variable, {}).setdefault(shown, {})
        arguments = match_arguments(function, given, shown, hidden)
        try:
            return function(*arguments.args, **arguments.kwargs)
        except FastlmmError as error:
            raise type(error)(f"{shown}: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise FormulaError(f"{shown} cannot be computed from what it was given ({error}).") from error


_signature = lru_cache(maxsize=None)(inspect.signature)


def find_function(node):
    """Return the Python function behind a call.

    Raises
    ------
    FormulaError
        Naming the known functions.
    """
    package, _, name = node.function.rpartition("::")
    package = package.rstrip(":")
    if name in FUNCTIONS and (not package or package in _PACKAGES):
        return FUNCTIONS[name]
    if name in ("us", "diag", "cs", "ar1"):
        raise FormulaError(f"{deparse(node)} has no bar; write {name}(x | g) for a random term with that covariance.")
    if name == "offset":
        raise FormulaError(f"{deparse(node)} stands inside another expression; an offset enters a model by '+' only.")
    known = ", ".join(sorted(FUNCTIONS, key=str.lower))
    raise FormulaError(f"the function {node.function}() is not known in formulas. Known are: {known}. Make the column in the data first and name it in the formula.")


def match_arguments(function, given, shown, hidden):
    """Match arguments as R does: by full name, by a unique beginning, by place.

    Parameters
    ----------
    function : callable
    given : list of (str or None, value)
    shown : str
        The call, for messages.
    hidden : dict
        Arguments that the user does not see.

    Returns
    -------
    inspect.BoundArguments

    Raises
    ------
    FormulaError
        If an argument is unknown, missing or given twice.
    """
    signature = _signature(function)
    names = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_POSITIONAL and p.name != "state"]
    positional, keywords = [], {}
    for name, value in given:
        python_name = None if name is None else name.replace(".", "_")
        if python_name is None or function.__name__ == "combine":
            positional.append(value)
            continue
        matches = [n for n in names if n == python_name] or [n for n in names if n.startswith(python_name)]
        if len(matches) != 1 or matches[0] in keywords:
            raise FormulaError(f"{shown} has the argument '{name}', which its function does not take; it takes {', '.join(n.replace('_', '.') for n in names)}.")
        keywords[matches[0]] = value
    try:
        return signature.bind(*positional, **keywords, **hidden)
    except TypeError as error:
        raise FormulaError(f"{shown} is called wrongly: its arguments are {', '.join(n.replace('_', '.') for n in names)} ({error}).") from error
