"""Transformations of the response, and the way back."""

from dataclasses import dataclass
from math import log

import numpy as np

from fastlmm_hlm.formula.deparse import number_text
from fastlmm_hlm.formula.syntax import Binary, Call, Number, unwrap


@dataclass(frozen=True)
class Transformation:
    """A function of the response that was modelled.

    Attributes
    ----------
    label : str
        As it is printed: "log", "log(mu + 1)", "sqrt".
    kind : str
        "log", "sqrt", "exp" or "log1p".
    base : float
        Of logarithms.
    shift : float
        c of log(mu + c).
    """

    label: str
    kind: str
    base: float = np.e
    shift: float = 0.0

    @property
    def gives_ratios(self):
        """Whether differences turn back into ratios."""
        return self.kind == "log"

    def ratios(self):
        """The transformation of a difference, on whose way back the shift has no part."""
        return Transformation("log" if self.shift else self.label, "log", self.base)

    def back(self, eta):
        """The response at eta."""
        if self.kind == "log":
            return np.exp(eta * log(self.base)) - self.shift
        if self.kind == "log1p":
            return np.expm1(eta)
        with np.errstate(all="ignore"):
            return np.square(eta) if self.kind == "sqrt" else np.log(eta)

    def slope(self, eta):
        """Derivative of the response with respect to eta."""
        if self.kind == "log":
            return np.exp(eta * log(self.base)) * log(self.base)
        if self.kind == "log1p":
            return np.exp(eta)
        with np.errstate(all="ignore"):
            return 2.0 * np.asarray(eta) if self.kind == "sqrt" else 1.0 / np.asarray(eta)


_CALLS = {"log": ("log", np.e), "log2": ("log", 2.0), "log10": ("log", 10.0), "log1p": ("log1p", np.e),
          "sqrt": ("sqrt", np.e), "exp": ("exp", np.e)}


def response_transformation(node):
    """The transformation that a response such as log(y + 1) has, or None.

    Parameters
    ----------
    node : Node
        Left side of the formula.
    """
    node = unwrap(node)
    if not isinstance(node, Call) or node.function not in _CALLS or len(node.args) != 1:
        return None
    kind, base = _CALLS[node.function]
    inside = unwrap(node.args[0].value)
    if isinstance(inside, Binary) and inside.op == "+" and kind in ("log", "sqrt"):
        shift = next((unwrap(side).value for side in (inside.right, inside.left) if isinstance(unwrap(side), Number)), None)
        if shift is None:
            return Transformation(node.function, kind, base)
        if kind == "sqrt":
            return None
        return Transformation(f"{node.function}(mu + {number_text(shift)})", kind, base, float(shift))
    if isinstance(inside, (Binary, Call)):
        return None
    return Transformation(node.function, kind, base)
