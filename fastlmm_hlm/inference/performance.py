"""Variance explained and other one-row measures of a fit, named as R's performance names them."""

import numpy as np
import pandas as pd

from fastlmm_hlm.criterion.estimates import spherical_effects
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.report.measures import aligned_pairs, measures_html, pairs_html, piped_table

MEASURES = {"R2_conditional": "R2 (cond.)", "R2_marginal": "R2 (marg.)"}


def variances(fit, caller):
    """Variance of the fixed part over rows, of the random part, and of the residual.

    The fixed part is X beta without offset.  The random part is the mean over
    rows of z'Sigma z, which for random slopes depends on where the rows lie
    (Johnson 2014).  Rows count alike, whatever their prior weights.

    Returns
    -------
    fixed, random, residual : float
    by_term : list of float
        The random part term by term.
    """
    e, products = fit._estimates, fit._products
    p, n = e.p, e.n
    XtX, ZtZ = products.XyWXy[:p, :p], [G.sum(axis=0) for G in products.ZtWZ]
    names = list(fit._x_names)
    if fit._weighted or "(Intercept)" not in names:
        design = fit._rows_or_raise(caller).design
        fixed = float(np.var(design.fixed_part(e.beta), ddof=1))
        ZtZ = [_second_moments(f, n) for f in design.factors]
    else:
        beta = np.linalg.solve(fit._x_centring.B, e.beta)
        mean = XtX[names.index("(Intercept)")] / n
        fixed = max(0.0, float(beta @ (XtX / n - np.outer(mean, mean)) @ beta)) * n / (n - 1)
    by_term = []
    for term, T in zip(fit._terms, e.templates):
        root = np.linalg.solve(fit._centrings[term.factor].B[term.columns, term.columns], T)
        block = ZtZ[term.factor][term.columns, term.columns]
        by_term.append(float(e.sigma**2 * np.trace(root.T @ block @ root) / n))
    return fixed, sum(by_term), float(e.sigma**2), by_term


def _second_moments(factor, n):
    """z'z summed over rows, (c, c), in the centred columns."""
    columns = [np.ones(n) if c is None else c - m for c, m in zip(factor.columns, factor.centring.centre)]
    return np.array([[a @ b for b in columns] for a in columns])


class Icc(dict):
    """Intraclass correlations, printed as performance prints them.

    Keys "ICC_adjusted" and "ICC_unadjusted"; also as attributes.
    """

    adjusted = property(lambda self: self["ICC_adjusted"])
    unadjusted = property(lambda self: self["ICC_unadjusted"])

    def _rows(self):
        return {"Adjusted ICC": self.adjusted, "Unadjusted ICC": self.unadjusted}

    def __str__(self):
        return "# Intraclass Correlation Coefficient\n\n" + aligned_pairs(self._rows())

    __repr__ = __str__

    def _repr_html_(self):
        return pairs_html(self._rows(), "Intraclass Correlation Coefficient")


class R2(dict):
    """Explained variance, printed as performance prints it.

    Keys "R2_conditional" and "R2_marginal"; also as attributes.
    """

    conditional = property(lambda self: self["R2_conditional"])
    marginal = property(lambda self: self["R2_marginal"])

    def _rows(self):
        return {"Conditional R2": self.conditional, "Marginal R2": self.marginal}

    def __str__(self):
        return "# R2 for Mixed Models\n\n" + aligned_pairs(self._rows())

    __repr__ = __str__

    def _repr_html_(self):
        return pairs_html(self._rows(), "R2 for Mixed Models")


class Table(pd.DataFrame):
    """A DataFrame that prints under a heading, columns separated by bars."""

    _metadata = ["heading"]
    heading = ""

    @property
    def _constructor(self):
        return pd.DataFrame

    def __str__(self):
        return f"{self.heading}\n\n{piped_table(self, MEASURES)}"

    __repr__ = __str__

    def _repr_html_(self):
        return measures_html(self, self.heading, MEASURES)


def _table(frame, heading):
    table = Table(frame)
    table.heading = heading
    return table


def icc(fit, by_group=False):
    """Intraclass correlation coefficients.

    Adjusted: random over random plus residual variance; unadjusted: also over the
    variance of the fixed part [1]_.  With random slopes the random variance is
    its mean over the rows [2]_.

    Parameters
    ----------
    fit : LinearMixedModel
    by_group : bool
        The share of each grouping factor's intercepts instead.

    Returns
    -------
    Icc, or with by_group a DataFrame with columns Group and ICC

    Raises
    ------
    RowsNotKeptError
        If the fit has prior weights, or no intercept, and was pickled without its rows.

    References
    ----------
    .. [1] Nakagawa, Johnson, Schielzeth (2017), J. R. Soc. Interface 14: 20170213.
    .. [2] Johnson (2014), Methods Ecol. Evol. 5, 944-946.
    """
    fixed, random, residual, _ = variances(fit, "icc")
    if not by_group:
        return Icc(ICC_adjusted=random / (random + residual), ICC_unadjusted=random / (fixed + random + residual))
    shares, sloped = {}, False
    for term, S in zip(fit._terms, fit.VarCorr().values()):
        sloped |= list(S.columns) != ["(Intercept)"]
        if "(Intercept)" in S.columns:
            name = fit._factor_labels[term.factor][0]
            shares[name] = shares.get(name, 0.0) + float(S.loc["(Intercept)", "(Intercept)"])
    if sloped:
        warn_user("icc: the model has random slopes, so the shares of the groups hold where the slopes' predictors are 0.",
                  FastlmmWarning)
    frame = pd.DataFrame({"Group": list(shares), "ICC": [v / (random + residual) for v in shares.values()]})
    return _table(frame, "# ICC by Group")


def r2(fit):
    """Marginal and conditional R2 of Nakagawa and Schielzeth (2013), with random slopes as Johnson (2014).

    Parameters
    ----------
    fit : LinearMixedModel

    Returns
    -------
    R2

    Raises
    ------
    RowsNotKeptError
        As for `icc`.
    """
    fixed, random, residual, _ = variances(fit, "r2")
    total = fixed + random + residual
    return R2(R2_conditional=(fixed + random) / total, R2_marginal=fixed / total)


def _measures(fit, caller, reml):
    """One row of measures; likelihoods restricted or not."""
    fixed, random, residual, _ = variances(fit, caller)
    total = fixed + random + residual
    n, k = fit._estimates.n, fit.npar
    deviance = -2.0 * float(fit.logLik(REML=reml))
    aic = deviance + 2 * k
    if fit._weighted:
        r = fit._rows_or_raise(caller).design.y - fit._linear_predictor()
        squares = float(r @ r)
    else:
        effects = spherical_effects(fit._criterion, fit._estimates)
        squares = fit._estimates.pwrss - sum(float((u**2).sum()) for u in effects)
    return {
        "AIC": aic,
        "AICc": aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.nan,
        "BIC": deviance + np.log(n) * k,
        "R2_conditional": (fixed + random) / total,
        "R2_marginal": fixed / total,
        "ICC": random / (random + residual),
        "RMSE": float(np.sqrt(max(squares, 0.0) / n)),
        "Sigma": float(fit._estimates.sigma),
    }


def model_performance(fit):
    """AIC, AICc, BIC, R2, ICC, root mean squared residual and sigma.

    Parameters
    ----------
    fit : LinearMixedModel

    Returns
    -------
    DataFrame, one row
        Columns AIC, AICc, BIC, R2_conditional, R2_marginal, ICC, RMSE, Sigma; the
        criteria of a REML fit are restricted ones.

    Raises
    ------
    RowsNotKeptError
        As for `icc`.
    """
    return _table(pd.DataFrame([_measures(fit, "model_performance", None)]), "# Indices of model performance")


def compare_performance(*fits, names=None):
    """Measures of several fits of the same data, a row each.

    The criteria are those of the likelihood at the estimates, whether or not
    the fit maximized it, so fits with different fixed parts can be compared.

    Parameters
    ----------
    *fits : LinearMixedModel
    names : list of str, optional
        "Model 1", "Model 2", ... by default.

    Returns
    -------
    DataFrame
        Columns Name, Model, AIC, AIC_wt (Akaike weight), AICc, AICc_wt, BIC, BIC_wt and
        those of `model_performance`.

    Raises
    ------
    ArgumentError
        Without fits, with a wrong number of names, or if the fits have other numbers of rows.
    RowsNotKeptError
        As for `icc`.
    """
    if not fits:
        raise ArgumentError("compare_performance: got no fit; give one or more.")
    for k, fit in enumerate(fits):
        if not hasattr(fit, "isLMM"):
            raise ArgumentError(f"compare_performance: argument {k + 1} is {type(fit).__name__}; expected a fit from lmer().")
    names = [f"Model {k + 1}" for k in range(len(fits))] if names is None else list(names)
    if len(names) != len(fits):
        raise ArgumentError(f"compare_performance: {len(names)} names for {len(fits)} fits; give one each.")
    sizes = [fit._estimates.n for fit in fits]
    if len(set(sizes)) > 1:
        raise ArgumentError(f"compare_performance: the fits have {', '.join(map(str, sizes))} rows; fit all to the same rows.")
    frame = pd.DataFrame([_measures(fit, "compare_performance", False) for fit in fits])
    for name in ("AIC", "AICc", "BIC"):
        relative = np.exp(-0.5 * (frame[name] - frame[name].min()))
        frame.insert(frame.columns.get_loc(name) + 1, f"{name}_wt", relative / relative.sum())
    frame.insert(0, "Name", names)
    frame.insert(1, "Model", [type(fit).__name__ for fit in fits])
    return _table(frame, "# Comparison of Model Performance Indices")
