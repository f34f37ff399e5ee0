"""Checks of a fit in a line or a few, named as R's performance names them."""

from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.leverage import leverages
from fastlmm_hlm.inference.rowdiagnostics import cooks_distances, pearson, standardized
from fastlmm_hlm.report.html import table_html
from fastlmm_hlm.report.layout import string_matrix_text

# Beyond this many residuals Shapiro and Wilk's approximation does not hold.
SHAPIRO_MOST = 5000
# Bounds of low and of moderate variance inflation.
LOW_VIF, HIGH_VIF = 5.0, 10.0
# A p-value below this is reported as a problem.
ALARM = 0.05


@dataclass(frozen=True)
class Check:
    """What a check found; prints as a sentence, and is true as R's answer is.

    Attributes
    ----------
    answer : bool
        For `check_singularity` whether the fit is singular, for
        `check_convergence` whether it converged, for tests whether all is well.
    text : str
    numbers : dict
        What was measured, by name; also as attributes.
    """

    answer: bool
    text: str
    numbers: dict = field(default_factory=dict)

    def __bool__(self):
        return self.answer

    def __getattr__(self, name):
        try:
            return self.__dict__["numbers"][name]
        except KeyError:
            raise AttributeError(f"this check has no {name!r}; it has {', '.join(self.__dict__.get('numbers', {}))}") from None

    def __str__(self):
        return self.text

    __repr__ = __str__

    def _repr_html_(self):
        return "<p>" + "<br>\n".join(map(escape, self.text.split("\n"))) + "</p>\n"


def p_text(p):
    """A p-value as easystats writes it: "p < .001", "p > .999" or "p = 0.123"."""
    return "p < .001" if p < 0.001 else "p > .999" if p > 0.999 else f"p = {p:.3f}"


def check_singularity(fit, tolerance=1e-4):
    """Whether a random-effects covariance has lost rank.

    Parameters
    ----------
    fit : LinearMixedModel
    tolerance : float
        Smallest standard deviation along any direction, in units of sigma; see `isSingular`.

    Returns
    -------
    Check
        True for a singular fit; ``.terms`` names the terms, ``.deviations`` has the
        smallest deviation of each term.
    """
    deviations = dict(zip([t.text for t in fit._terms], map(float, fit._deviations)))
    terms = [text for text, d in deviations.items() if d < tolerance]
    least = min(deviations.values())
    if terms:
        text = (f"Warning: the fit is singular: the covariance of {', '.join(terms)} has lost rank (a variance is zero, or a "
                "correlation is -1 or 1).")
    else:
        text = f"OK: no random-effects covariance has lost rank (smallest standardized deviation {least:.3g} sigma)."
    return Check(bool(terms), text, {"terms": terms, "deviations": deviations})


def check_convergence(fit):
    """Whether the optimum is certified: a fact about the point that was found.

    Returns
    -------
    Check
        ``.gradient_norm``, ``.predicted_decrease`` (of the criterion, by a Newton step),
        ``.min_eigenvalue`` (of the Hessian), ``.status``.
    """
    info = fit.optinfo
    numbers = {name: info[name] for name in ("status", "gradient_norm", "predicted_decrease", "min_eigenvalue")}
    facts = (f"gradient norm {info['gradient_norm']:.2g}, predicted decrease {info['predicted_decrease']:.2g}, "
             f"smallest eigenvalue of the Hessian {info['min_eigenvalue']:.3g}")
    good = info["status"] != "failed"
    text = f"OK: the optimum is certified ({facts})." if good else f"Warning: this is not an optimum ({facts})."
    return Check(good, text, numbers)


class Collinearity(pd.DataFrame):
    """Variance inflation by term, printed in groups as performance does."""

    @property
    def _constructor(self):
        return pd.DataFrame

    def _groups(self):
        """Heading and rows of each group that has rows."""
        bounds = (("Low", 0.0, LOW_VIF), ("Moderate", LOW_VIF, HIGH_VIF), ("High", HIGH_VIF, np.inf))
        for word, low, high in bounds:
            rows = self[(self["VIF"] >= low) & (self["VIF"] < high)]
            if len(rows):
                yield f"{word} Correlation", rows

    def __str__(self):
        lines = ["# Check for Multicollinearity"]
        for heading, rows in self._groups():
            heads, columns = _inflation_words(rows)
            table = string_matrix_text([""] * len(rows), heads, columns, width=200).rstrip("\n")
            lines += ["", heading, "", table]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        pieces = ["<p>Check for Multicollinearity</p>\n"]
        for heading, rows in self._groups():
            heads, columns = _inflation_words(rows)
            pieces.append(table_html(heads[1:], list(zip(*columns[1:])), heading, columns[0]))
        return "".join(pieces)


def _inflation_words(rows):
    """Heads and columns of the printed table."""
    def pair(low, high):
        return [f"[{a:.2f}, {b:.2f}]".replace("inf", "Inf") for a, b in zip(low, high)]

    heads = ["Term", "VIF", "VIF 95% CI", "Increased SE", "Tolerance", "Tolerance 95% CI"]
    columns = [
        list(rows["Term"]), [f"{v:.2f}" for v in rows["VIF"]], pair(rows["VIF_CI_low"], rows["VIF_CI_high"]),
        [f"{v:.2f}" for v in rows["SE_factor"]], [f"{v:.2f}" if v >= 0.01 else f"{v:.2e}" for v in rows["Tolerance"]],
        pair(rows["Tolerance_CI_low"], rows["Tolerance_CI_high"]),
    ]
    return heads, columns


def check_collinearity(fit, ci=0.95):
    """Variance inflation of every term of the fixed part.

    For a term of several columns the generalized factor of Fox and Monette (1992),
    a ratio of determinants of the correlations of the estimates, intercept left
    out.  The interval is made on the logit scale of R2 = 1 - 1/VIF, as performance does.

    Parameters
    ----------
    fit : LinearMixedModel
    ci : float

    Returns
    -------
    DataFrame
        Term, VIF, VIF_CI_low, VIF_CI_high, SE_factor, Tolerance, Tolerance_CI_low, Tolerance_CI_high.

    Raises
    ------
    ArgumentError
        If there are fewer than two terms beside the intercept.
    """
    from scipy import special, stats

    recipe = fit._spec.fixed_recipe
    assign = np.asarray(recipe.assign)[fit._kept_columns]
    labels = recipe.terms.labels
    inside = np.flatnonzero(assign > 0)
    terms = list(dict.fromkeys(assign[inside].tolist()))
    if len(terms) < 2:
        raise ArgumentError(
            f"check_collinearity: the fixed part has {len(terms)} term{'s'[: len(terms) != 1]} beside the intercept; two "
            "are needed for one to inflate another."
        )
    V = fit.vcov().to_numpy()[np.ix_(inside, inside)]
    sd = np.sqrt(np.diagonal(V))
    R, of_term = V / np.outer(sd, sd), assign[inside]
    whole = np.linalg.slogdet(R)[1]
    vif = []
    for term in terms:
        own = of_term == term
        vif.append(np.exp(np.linalg.slogdet(R[np.ix_(own, own)])[1] + np.linalg.slogdet(R[np.ix_(~own, ~own)])[1] - whole))
    vif = np.maximum(np.array(vif), 1.0)
    n, p = fit._estimates.n, fit._estimates.p
    r = 1.0 - 1.0 / vif
    with np.errstate(divide="ignore", invalid="ignore"):
        se = (1.0 - r**2) * (n - p - 1) / np.sqrt((n**2 - 1.0) * (n + 3.0)) / (r * (1.0 - r))
        width = stats.norm.ppf(0.5 + ci / 2.0) * se
        low, high = special.expit(special.logit(r) - width), special.expit(special.logit(r) + width)
        low, high = np.where(r > 0, low, 0.0), np.where(r > 0, high, 1.0)
        out = {"Term": [labels[t - 1] for t in terms], "VIF": vif,
               "VIF_CI_low": 1.0 / (1.0 - low), "VIF_CI_high": 1.0 / (1.0 - high), "SE_factor": np.sqrt(vif), "Tolerance": 1.0 / vif, "Tolerance_CI_low": 1.0 - high, "Tolerance_CI_high": 1.0 - low}
    return Collinearity(out)


def _pearson(fit, caller):
    """Residuals with the root of their weight, and fitted values: (n,) each."""
    design = fit._rows_or_raise(caller).design
    mu = fit._linear_predictor()
    return pearson(fit, design, mu), mu


def check_heteroscedasticity(fit):
    """Score test that the residual variance does not depend on the fitted value.

    Breusch and Pagan (1979), Cook and Weisberg (1983): half the explained sum of
    squares of r^2 / mean(r^2) regressed on the fitted values is chi-squared with 1
    degree of freedom; r are the residuals given the random effects.

    Returns
    -------
    Check
        ``.p``, ``.statistic``.
    """
    from scipy import stats

    r, mu = _pearson(fit, "check_heteroscedasticity")
    u = r**2 / np.mean(r**2)
    centred = mu - mu.mean()
    spread = float(centred @ centred)
    # Fitted values that are the same but for rounding explain nothing.
    varies = spread > len(mu) * (1e-12 * np.abs(mu).max(initial=0.0)) ** 2
    statistic = float(0.5 * (centred @ u) ** 2 / spread) if varies else 0.0
    p = float(stats.chi2.sf(statistic, 1))
    good = p >= ALARM
    text = (f"OK: Error variance appears to be homoscedastic ({p_text(p)})." if good else
            f"Warning: Heteroscedasticity (non-constant error variance) detected ({p_text(p)}).")
    return Check(good, text, {"p": p, "statistic": statistic})


def check_normality(fit, effects="fixed"):
    """Test that the residuals, or the random effects, are normal.

    Shapiro and Wilk's test of residuals divided by their standard deviations
    sigma sqrt(1 - h), or of the conditional modes of every random effect; above 5000 values that of D'Agostino and
    Pearson (1973).  Conditional modes look more normal than the effects that they estimate, the more so
    the less reliable they are (Verbeke and Lesaffre 1996).

    Parameters
    ----------
    fit : LinearMixedModel
    effects : {"fixed", "random"}
        The residuals, or the random effects (performance's words).

    Returns
    -------
    Check
        ``.p``, ``.method``; for random effects Series by "group: effect", true if all are normal.
    """
    if effects not in ("fixed", "random"):
        raise ArgumentError(f"check_normality: effects = {effects!r}; use 'fixed' for the residuals or 'random'.")
    if effects == "random":
        return _normality_of_modes(fit)
    p, method = _normality(np.nan_to_num(standardized(fit, "check_normality"), nan=0.0))     # a residual without variance is zero
    good = p >= ALARM
    text = (f"OK: residuals appear as normally distributed ({p_text(p)})." if good else
            f"Warning: Non-normality of residuals detected ({p_text(p)}).")
    return Check(good, text, {"p": p, "method": method})


def _normality(values):
    """p-value and name of the test of normality for this many values; NaN for constants and fewer than three."""
    from scipy import stats

    if len(values) < 3 or np.ptp(values) == 0:
        return float("nan"), "none"
    if len(values) <= SHAPIRO_MOST:
        return float(stats.shapiro(values).pvalue), "Shapiro-Wilk"
    return float(stats.normaltest(values).pvalue), "D'Agostino-Pearson"


def _normality_of_modes(fit):
    found = {
        f"{group}: {name}": _normality(frame[name].to_numpy())
        for group, frame in fit.ranef(condVar=False).items() for name in frame.columns
    }
    lines = []
    for name, (p, _) in found.items():
        if np.isnan(p):
            lines.append(f"Random effects '{name}' are constant or too few to be tested.")
        elif p >= ALARM:
            lines.append(f"OK: Random effects '{name}' appear as normally distributed ({p_text(p)}).")
        else:
            lines.append(f"Warning: Non-normality for random effects '{name}' detected ({p_text(p)}).")
    p = pd.Series({name: p for name, (p, _) in found.items()}, name="p")
    method = pd.Series({name: method for name, (_, method) in found.items()}, name="method")
    return Check(not bool((p < ALARM).any()), "\n".join(lines), {"p": p, "method": method})


def check_outliers(fit):
    """Rows whose Cook's distance is above the median of F(p, n - p).

    Returns
    -------
    Check
        ``.rows`` (labels), ``.cooksd`` (Series), ``.threshold``.
    """
    from scipy import stats

    rows = fit._rows_or_raise("check_outliers")
    e = fit._estimates
    if not e.p:
        raise ArgumentError("check_outliers: the model has no fixed effects, and Cook's distance is about these.")
    r, _ = _pearson(fit, "check_outliers")
    d = cooks_distances(r, leverages(fit, "check_outliers"), e.p, e.sigma)
    threshold = float(stats.f.ppf(0.5, e.p, e.n - e.p))
    found = rows.index[d > threshold]
    if len(found):
        shown = ", ".join(map(str, found[:20])) + (", ..." if len(found) > 20 else "")
        text = f"{len(found)} outlier{'s'[: len(found) != 1]} detected: row{'s'[: len(found) != 1]} {shown}."
    else:
        text = "OK: No outliers detected."
    text += f"\n- Based on the following method and threshold: cook ({threshold:.3g})."
    return Check(not len(found), text, {"rows": list(found), "cooksd": rows.series(d, "cooksd"), "threshold": threshold})
