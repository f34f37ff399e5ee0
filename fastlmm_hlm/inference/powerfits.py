"""Tests that a power simulation repeats: from simulated responses to p-values.

Every test here takes a stack of responses, (k, n), fits the models it needs to all of
them side by side, and gives k p-values.
"""

from collections import Counter

import numpy as np

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.reduce import reductions, with_bar_replaced
from fastlmm_hlm.inference.kenward_roger import KenwardRoger
from fastlmm_hlm.inference.manyddf import satterthwaite_of
from fastlmm_hlm.inference.ranova import random_terms_written_out
from fastlmm_hlm.inference.refits import Refitter
from fastlmm_hlm.inference.tails import chisq_pvalue, f_pvalue, t_pvalue

TEXTS = {
    "t": "t-test with Satterthwaite degrees of freedom", "z": "z-test", "lr": "Likelihood ratio", "kr": "Kenward Roger",
    "F": "F-test with Satterthwaite degrees of freedom", "chi": "Wald chi-squared test", "kr F": "Kenward Roger F-test",
}
# A larger model whose deviance exceeds that of the smaller by more than this was not fitted to its optimum.
ROUNDING = 1e-5
NO_MINIMUM = "the criterion has no minimum"
NOT_CONVERGED = "Model failed to converge"
NOT_NESTED_OPTIMA = "the larger model did not reach its optimum"
# Values of the null distribution of the exact test.
EXACT_VALUES = 10_000


def refuse_other_methods(method, allowed, caller, what):
    """Refuse a method that is not for this kind of test.

    Raises
    ------
    ArgumentError
    """
    if method is not None and str(method).lower() not in allowed:
        raise ArgumentError(f"{caller}: method = {method!r} is not for {what}; use {' or '.join(map(repr, allowed))}.")


class Wald:
    """t, z or F: an estimate over its standard error.

    Parameters
    ----------
    fit : LinearMixedModel
    hypothesis : Hypothesis
    method : {"t", "z", "kr", "F"}
    caller : str
    """

    def __init__(self, fit, hypothesis, method, caller):
        self.hypothesis, self.method = hypothesis, method
        self.L = hypothesis.L
        self.refitter = Refitter(fit, caller, True if method == "kr" else None)
        self.predictor, self.effect = f"predictor '{hypothesis.name}'", (hypothesis.name, hypothesis.effect)
        several = len(self.L) > 1
        self.text = TEXTS[{"t": "F", "z": "chi", "kr": "kr F"}.get(method, method) if several else method]

    @property
    def at_a_time(self):
        return self.refitter.at_a_time

    def pvalues(self, y):
        """p-values of responses y, (k, n).

        Returns
        -------
        p : ndarray (k,)
            NaN where there is none.
        warnings, errors : Counter
        """
        responses = self.refitter.responses(y)
        refits = self.refitter.fit(responses)
        said = _said(refits)
        if self.method == "z":
            p = self._normal(refits)
        else:
            if self.method == "kr":
                rules = [self._kenward_roger(refits, i) for i in range(len(y))]
            else:
                rules = satterthwaite_of(self.refitter, responses, refits)
            p = self._with_rules(refits, rules)
        return np.where(refits.usable, p, np.nan), *said

    def _kenward_roger(self, refits, i):
        if not refits.usable[i]:
            return None
        return KenwardRoger(self.refitter.criterion, self.refitter.estimates_of(refits, i), self.refitter.x_basis)

    def _with_rules(self, refits, rules):
        d = refits.beta @ self.L.T
        if len(self.L) == 1:
            at = [i for i, rule in enumerate(rules) if rule is not None]
            t, df = np.full(len(rules), np.nan), np.full(len(rules), np.nan)
            for i in at:
                t[i] = d[i, 0] / np.sqrt(self.L[0] @ rules[i].vcov @ self.L[0])
                df[i] = rules[i].df(self.L)[0]
            return t_pvalue(t, df)
        return np.array([np.nan if rule is None else f_pvalue(*rule.f_test(self.L, one)) for rule, one in zip(rules, d)])

    def _normal(self, refits):
        d = refits.beta @ self.L.T
        RX = np.where(refits.usable[:, None, None], refits.RX, np.eye(refits.RX.shape[1]))
        half = np.linalg.solve(np.swapaxes(RX, 1, 2), np.broadcast_to(self.L.T, (len(RX), *self.L.T.shape)))
        V = refits.sigma[:, None, None] ** 2 * (np.swapaxes(half, 1, 2) @ half)
        if len(self.L) == 1:
            return t_pvalue(d[:, 0] / np.sqrt(V[:, 0, 0]), np.inf)
        V = np.where(refits.usable[:, None, None], V, np.eye(len(self.L)))
        return chisq_pvalue((d * np.linalg.solve(V, d[:, :, None])[:, :, 0]).sum(axis=1), np.full(len(d), float(len(self.L))))


def _said(*several):
    """Warnings and errors of refits of the same responses."""
    usable = np.logical_and.reduce([refits.usable for refits in several])
    converged = np.logical_and.reduce([refits.converged for refits in several])
    warned, failed = int((usable & ~converged).sum()), int((~usable).sum())
    return Counter({NOT_CONVERGED: warned} if warned else {}), Counter({NO_MINIMUM: failed} if failed else {})


class LikelihoodRatio:
    """Two models fitted to the same responses; subclasses say which."""

    effect = (None, None)
    text = TEXTS["lr"]

    @property
    def at_a_time(self):
        return min(one.at_a_time for one in (self.large, self.small) if one is not None)

    def pvalues(self, y):
        """As `Wald.pvalues`."""
        responses = self.large.responses(y)
        above = self.large.fit(responses)
        if self.small is None:
            below, fits = linear_criteria(self.large, responses), [above]
        else:
            fitted = self.small.fit(self.small.responses(y))
            below, fits = fitted.criterion, [above, fitted]
        warned, failed = _said(*fits)
        statistic = below - above.criterion
        off = statistic < -ROUNDING * np.maximum(1.0, np.abs(above.criterion) * 1e-3)
        if off.any():
            failed[NOT_NESTED_OPTIMA] += int(off.sum())
        return self._p(np.where(off, np.nan, np.maximum(statistic, 0.0))), warned, failed

    def _p(self, statistic):
        p = chisq_pvalue(np.nan_to_num(statistic), np.full(len(statistic), float(self.df)))
        return np.where(np.isnan(statistic), np.nan, p)


def linear_criteria(refitter, responses):
    """Criterion of the model without random effects for every response, (k,).

    `fastlmm_hlm.design.restrict.linear_model_criterion` for many responses.
    """
    products, reml = refitter.products, refitter.estimates.reml
    p = products.p
    XtX, Xtr, rss = products.XyWXy[:p, :p], responses.XrWr[:, :p], responses.XrWr[:, p]
    log_det = 0.0
    if p:
        L = np.linalg.cholesky(XtX)
        rss = rss - (np.linalg.solve(L, Xtr.T) ** 2).sum(axis=0)
        log_det = 2.0 * np.log(np.diagonal(L)).sum()
    N = products.n - p if reml else products.n
    value = N * (1.0 + np.log(2.0 * np.pi * rss / N)) - products.sum_log_weights
    return value + log_det if reml else value


class WithoutColumns(LikelihoodRatio):
    """The model against the one without the columns of a term, both by maximum likelihood."""

    def __init__(self, fit, hypothesis, caller):
        kept = np.setdiff1d(np.arange(len(fit.fixef())), hypothesis.columns)
        self.large = Refitter(fit, caller, False)
        self.small = Refitter(fit, caller, False, kept)
        self.df = len(hypothesis.columns)
        self.predictor, self.effect = f"predictor '{hypothesis.name}'", (hypothesis.name, hypothesis.effect)


class ModelComparison(LikelihoodRatio):
    """The model against another, both by maximum likelihood."""

    def __init__(self, fit, formula, caller):
        asked, own = parse_formula(formula), random_terms_written_out(fit)
        if asked.response not in (None, own.response):
            raise ArgumentError(
                f"{caller}: the formula to compare with has the response {asked.response}, the model {own.response}."
            )
        right = asked.text.partition("~")[2].strip()
        bars = [] if asked.bars else [bar.text for bar in own.bars]
        other = fit._submodel(f"{own.response} ~ {' + '.join([right, *bars])}", False)
        if other.npar == fit.npar:
            raise ArgumentError(
                f"{caller}: '{other.formula}' has as many parameters as the model ({fit.npar}); there is nothing to test."
            )
        large, small = (fit, other) if fit.npar > other.npar else (other, fit)
        self.large, self.small = Refitter(large, caller, False), Refitter(small, caller, False)
        self.df = large.npar - small.npar
        self.predictor, self.text = "model comparison", f"{TEXTS['lr']}\n      Comparison to {formula}"


class RandomTerm(LikelihoodRatio):
    """The model against the one without a random term, on the criterion of the fit."""

    def __init__(self, fit, name, method, caller, rng):
        refuse_other_methods(method, ("lr", "exact"), caller, "a random term")
        formula = random_terms_written_out(fit)
        label, smaller, bar = _reduction(formula, name, caller)
        exact = method is not None and str(method).lower() == "exact"
        reml = True if exact else None
        self.large = Refitter(fit, caller, reml)
        self.small, npar = None, len(fit.fixef()) + 1
        if smaller.bars:
            other = fit._submodel(smaller, reml)
            self.small, npar = Refitter(other, caller, reml), other.npar
        self.df = fit.npar - npar
        self.predictor, self.null = f"random effect '{label}'", None
        if exact:
            self.null = _null_distribution(fit, formula, bar, caller, rng)
            self.text = "Exact restricted likelihood ratio (RLRT)"

    def _p(self, statistic):
        if self.null is None:
            return super()._p(statistic)
        above = len(self.null) - np.searchsorted(self.null, statistic, side="right")
        p = np.where(statistic > 0.0, above / len(self.null), 1.0)
        return np.where(np.isnan(statistic), np.nan, p)


def _plain(text):
    return "".join(str(text).split()).strip("()")


def _reduction(formula, name, caller):
    """The random term that a name means: label, formula without it, its bar.

    Raises
    ------
    UnknownNameError, ArgumentError
    """
    known = {}
    for bar in formula.bars:
        known[bar.text] = (with_bar_replaced(formula, bar, None), bar)
        for label, left in reductions(bar):
            known[f"{label} in {bar.text}"] = (with_bar_replaced(formula, bar, left), bar)
    labels = ", ".join(map(repr, known))
    if name is None:
        if len(formula.bars) > 1:
            raise ArgumentError(f"{caller}: the model has several random terms; write 'random:TERM' with one of {labels}.")
        name = formula.bars[0].text
    found = [label for label in known if _plain(label) == _plain(name)]
    found = found or [bar.text for bar in formula.bars if bar.group_name == name]
    if not found:
        raise UnknownNameError(f"{caller}: no random term is called {name!r}; there are {labels}.")
    if len(found) > 1:
        raise ArgumentError(f"{caller}: {name!r} may be any of {', '.join(map(repr, found))}; write the term in full.")
    return found[0], *known[found[0]]


def _null_distribution(fit, formula, bar, caller, rng):
    """Values of the statistic under the null hypothesis, sorted; see `rlrt.exactRLRT`."""
    from fastlmm_hlm.inference.rlrt import _one_variance, _projected
    from fastlmm_hlm.inference.spectral import simulated_statistics, spectrum_of_residuals

    alone = fit
    if len(formula.bars) > 1:
        smaller = formula
        for other in formula.bars:
            if other.text != bar.text:
                smaller = with_bar_replaced(smaller, other, None)
        alone = fit._submodel(smaller, True)
    _one_variance(alone, caller, "use method='lr'")
    products = alone._products
    mu, counts = spectrum_of_residuals(*_projected(products))
    free = products.n - products.p
    return np.sort(simulated_statistics(mu, counts, mu, counts, free, free, rng or np.random.default_rng(), EXACT_VALUES))


class UserFunction:
    """Any function of a fit that gives a p-value."""

    effect = (None, None)

    def __init__(self, fit, function, caller):
        self.fit, self.function, self.caller = fit, function, caller
        self.refitter = Refitter(fit, caller)
        self.predictor, self.text = "a user's test", getattr(function, "__name__", str(function))

    @property
    def at_a_time(self):
        return self.refitter.at_a_time

    def pvalues(self, y):
        """As `Wald.pvalues`; whatever the function raises is counted as an error."""
        import warnings

        from fastlmm_hlm.inference.bootstrap import SINGULAR

        refitter = self.refitter
        responses = refitter.responses(y)
        refits = refitter.fit(responses)
        warned, failed = _said(refits)
        p = np.full(len(y), np.nan)
        for i in np.flatnonzero(refits.usable):
            new = self.fit._refitted(
                refitter.design.with_response(y[i]), refitter.products_with(responses, i), refitter.estimates_of(refits, i),
                refits.deviations[i], refitter.optinfo_of(refits, i), [SINGULAR] if refits.singular[i] else [],
            )
            try:
                with warnings.catch_warnings(record=True) as given:
                    warnings.simplefilter("always")
                    value = float(self.function(new))
                if not 0.0 <= value <= 1.0:
                    raise ArgumentError(f"the test gave {value}, which is no p-value")
            except Exception as problem:  # noqa: BLE001 - whatever a user's function raises is a failed run
                failed[str(problem) or problem.__class__.__name__] += 1
                continue
            p[i] = value
            warned.update({str(warning.message) for warning in given})
        return p, warned, failed
