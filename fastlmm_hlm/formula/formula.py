"""The Formula object: one parsed model formula and its parts as text."""
from dataclasses import dataclass
from functools import lru_cache

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.bars import plain_bars, split_bars
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Binary, Unary, walk


@dataclass(frozen=True, init=False, eq=False)
class Formula:
    """A mixed-model formula in R's language.

    Parameters
    ----------
    text : str
        Such as "y ~ x + (1 | g)"; one-sided formulas such as "~ (1 | g)" are
        allowed here and have no response.

    Attributes
    ----------
    text : str
        The whole formula as R deparses it.
    response : str or None
    fixed_text : str
        The formula without random terms, e.g. "y ~ x".
    random_texts : list of str
        The random terms after `||`, `/` and `*` are written out, in the order
        of the formula, e.g. ["(1 | b:a)", "(1 | a)"].
    response_node, rhs_node, fixed_node : Node
    bars : tuple of Bar

    Raises
    ------
    FormulaError
        If the text is not a formula that this package understands.
    """

    text: str

    def __init__(self, text):
        node = parse_expression(text)
        if isinstance(node, Binary) and node.op == "~":
            response, rhs = node.left, node.right
        elif isinstance(node, Unary) and node.op == "~":
            response, rhs = None, node.operand
        else:
            raise FormulaError(f"'{deparse(node)}' has no '~'; write the response on its left and the predictors on its right, as in y ~ x + (1 | g).")
        for side in (response, rhs):
            if side is not None and any(isinstance(part, (Binary, Unary)) and part.op == "~" for part in walk(side)):
                raise FormulaError(f"'{deparse(node)}' has more than one '~'; a formula has one.")
        fixed, random = split_bars(rhs)
        bars = tuple(bar for term in random for bar in plain_bars(term))
        values = dict(
            text=deparse(node), response=None if response is None else deparse(response), response_node=response,
            fixed_node=fixed, fixed_text=_formula_text(response, fixed), bars=bars, random_texts=[bar.text for bar in bars],
            rhs_node=rhs,
        )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __str__(self):
        return self.text

    def __eq__(self, other):
        return isinstance(other, Formula) and self.text == other.text

    def __hash__(self):
        return hash(self.text)

    def __reduce__(self):
        return Formula, (self.text,)

    def nobars(self):
        """Return the formula without its random terms, as a Formula."""
        return Formula(self.fixed_text)

    def findbars(self):
        """Return the random terms without parentheses, e.g. ["Days | Subject"]."""
        return [f"{deparse(bar.lhs)} | {deparse(bar.group)}" for bar in self.bars]


def parse_formula(formula):
    """Return a Formula from text, or the Formula that is given.

    Parameters
    ----------
    formula : str or Formula

    Returns
    -------
    Formula
    """
    return _read(formula) if isinstance(formula, str) else formula if isinstance(formula, Formula) else Formula(formula)


# A Formula never changes, so that the same text needs to be read only once.
_read = lru_cache(maxsize=256)(Formula)


def _formula_text(response, rhs):
    return deparse(Unary("~", rhs) if response is None else Binary("~", response, rhs))
