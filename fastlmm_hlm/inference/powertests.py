"""The test that a user of a power simulation asks for."""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.inference import termcontrasts
from fastlmm_hlm.inference.powerfits import ModelComparison, RandomTerm, UserFunction, Wald, WithoutColumns, refuse_other_methods

METHODS = {
    "t": "t", "satterthwaite": "t", "sa": "t", "z": "z", "lr": "lr", "kr": "kr", "kenward-roger": "kr", "f": "F", "anova": "F",
}


@dataclass(frozen=True)
class Comparison:
    """A comparison with another model; made by `fcompare`."""

    formula: str


def fcompare(formula):
    """A likelihood ratio test against another model, for `power_sim`.

    Parameters
    ----------
    formula : str
        Such as "~ x + z": another fixed part, the random part stays.  With random terms
        it is the whole other model.

    Returns
    -------
    Comparison
    """
    parse_formula(formula)
    return Comparison(str(formula))


def make_test(fit, test=None, method=None, caller="power_sim", rng=None):
    """The test that a user asks for.

    Parameters
    ----------
    fit : LinearMixedModel
    test : None, str, Comparison or callable
        See `fastlmm_hlm.inference.power.power_sim`.
    method : str, optional
    caller : str
    rng : numpy.random.Generator, optional
        For the null distribution of the exact test.

    Returns
    -------
    object with ``pvalues(y)``, ``predictor``, ``text``, ``effect``

    Raises
    ------
    ArgumentError, UnknownNameError
    """
    if isinstance(test, Comparison):
        refuse_other_methods(method, ("lr",), caller, "a comparison of models")
        return ModelComparison(fit, test.formula, caller)
    if callable(test):
        if method is not None:
            raise ArgumentError(f"{caller}: method = {method!r} goes with a named test, not with a function.")
        return UserFunction(fit, test, caller)
    if test is not None and not isinstance(test, str):
        raise ArgumentError(f"{caller}: test = {test!r}; expected the name of a fixed effect, 'random:TERM', fcompare(...) or a "
                            "function of a fit.")
    if test is not None and (test == "random" or test.startswith("random:")):
        return RandomTerm(fit, test.partition(":")[2].strip() or None, method, caller, rng)
    hypothesis = Hypothesis.of(fit, test, caller)
    name = None if method is None else METHODS.get(str(method).lower())
    if method is not None and name is None:
        raise ArgumentError(f"{caller}: method = {method!r} is unknown; use 't', 'z', 'lr', 'kr' or 'F'.")
    if name == "lr":
        return WithoutColumns(fit, hypothesis, caller)
    return Wald(fit, hypothesis, name or ("t" if len(hypothesis.L) == 1 else "F"), caller)


@dataclass(frozen=True)
class Hypothesis:
    """L beta = 0.

    Attributes
    ----------
    name : str
    L : ndarray (q, p)
    columns : ndarray of int
        The columns of X that leave in a likelihood ratio test.
    effect : float or None
        The one coefficient that is tested.
    """

    name: str
    L: np.ndarray
    columns: np.ndarray
    effect: float | None

    @classmethod
    def of(cls, fit, name, caller):
        """By the name of a coefficient or a term; the first term by default."""
        names = list(fit.fixef().index)
        terms = termcontrasts.FixedTerms.of(fit)
        if name is None:
            if not terms.labels:
                raise ArgumentError(f"{caller}: the model has no fixed term beside the intercept; say what to test, such as "
                                    f"test='random:{fit._terms[0].text}'.")
            name = terms.labels[0]
        if name in names:
            j = names.index(name)
            return cls(name, np.eye(len(names))[[j]], np.array([j]), float(fit._estimates.beta[j]))
        if name not in terms.labels:
            known = list(dict.fromkeys([*terms.labels, *names]))
            dropped = f" ({name} was dropped: its column depends on others)" if name in fit._dropped_columns else ""
            raise UnknownNameError(
                f"{caller}: no fixed effect is called {name!r}{dropped}; there are {', '.join(map(str, known))}."
            )
        own = np.flatnonzero(terms.kept_assign == 1 + terms.labels.index(name))
        if not len(own):
            raise ArgumentError(f"{caller}: the columns of {name!r} were dropped, since they depend on others.")
        L = np.atleast_2d(termcontrasts.marginal(terms)[terms.labels.index(name)][0])
        return cls(name, L, own, float(fit._estimates.beta[own[0]]) if len(own) == 1 else None)
