"""What marginal means are asked for: R's `~ a * b | c`, `pairwise ~ a`, or names."""

from dataclasses import dataclass

from fastlmm_hlm.errors import ArgumentError, FormulaError
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Binary, Name, Number, Unary, unwrap


@dataclass(frozen=True)
class Specs:
    """Names whose combinations are estimated, names of groups, and contrasts asked for.

    Attributes
    ----------
    names, by : tuple of str
    method : str or None
        From the left side of a formula.
    """

    names: tuple
    by: tuple
    method: str | None = None


def read_specs(specs, by, known, caller):
    """Read specs and by.

    Parameters
    ----------
    specs : str or list of str
        "a", ["a", "b"], "~ a * b", "~ a | b", "pairwise ~ a | b".
    by : str, list of str or None
    known : collection of str
        Names of the predictors.
    caller : str

    Returns
    -------
    Specs

    Raises
    ------
    ArgumentError
        If it is nothing of this kind, or a name is no predictor of the model.
    """
    method = None
    if isinstance(specs, str) and (specs in known or "~" not in specs):
        names, groups = [specs], []
    elif isinstance(specs, str):
        names, groups, method = _read_formula(specs, caller)
    elif isinstance(specs, (list, tuple)) and all(isinstance(name, str) for name in specs):
        names, groups = list(specs), []
    else:
        raise ArgumentError(f"{caller}: specs = {specs!r}; give a name, a list of names, or text such as '~ a | b' or 'pairwise ~ a'.")
    if by is not None:
        extra = [by] if isinstance(by, str) else list(by)
        groups += [name for name in extra if name not in groups]
    names = [name for name in dict.fromkeys(names) if name not in groups]
    check_names([*names, *groups], known, caller)
    return Specs(tuple(names), tuple(dict.fromkeys(groups)), method)


def check_names(names, known, caller, where="the model has no predictor {!r} in its fixed part"):
    """Refuse names that are not among the known ones.

    Raises
    ------
    ArgumentError
    """
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ArgumentError(f"{caller}: {where.format(name)}; there are {listed}.")


def _read_formula(text, caller):
    try:
        node = parse_expression(text)
    except FormulaError as error:
        raise ArgumentError(f"{caller}: specs = {text!r} cannot be read. {error}") from None
    method = None
    if isinstance(node, Binary) and node.op == "~":
        method, right = deparse(node.left), node.right
    elif isinstance(node, Unary) and node.op == "~":
        right = node.operand
    else:
        raise ArgumentError(f"{caller}: specs = {text!r}; write '~ a | b', with '~' in front.")
    groups = []
    if isinstance(right, Binary) and right.op == "|":
        right, groups = right.left, _names(right.right, text, caller)
    return _names(right, text, caller), groups, method


def _names(node, text, caller):
    node = unwrap(node)
    if isinstance(node, Name):
        return [node.text]
    if isinstance(node, Number) and node.value == 1:
        return []
    if isinstance(node, Binary) and node.op in "+*:":
        return [*_names(node.left, text, caller), *_names(node.right, text, caller)]
    raise ArgumentError(
        f"{caller}: specs = {text!r} has '{deparse(node)}'; only names of predictors joined by '+', '*' or ':' can stand there."
    )
