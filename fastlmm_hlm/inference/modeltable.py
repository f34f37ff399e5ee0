"""Several fits side by side in one table, for print and for notebooks."""

from collections.abc import Mapping

import numpy as np

from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference.boot_intervals import check_level
from fastlmm_hlm.inference.comparison import require_fit, variable_name
from fastlmm_hlm.inference.ddf import canonical_name, fit_for, method_of
from fastlmm_hlm.inference.performance import variances
from fastlmm_hlm.report.modeltable import FORMATS, ModelTable
from fastlmm_hlm.report.regressions import Regression

STATISTICS = {"se": "standard errors", "ci": "confidence limits", "t": "t values", "p": "p-values"}
STARS = {"*": 0.05, "**": 0.01, "***": 0.001}
GOF = ("nobs", "groups", "ICC", "R2 marg.", "R2 cond.", "AIC", "BIC", "logLik", "REML")
MORE_GOF = ("deviance", "npar")
FROM_VARIANCES = ("ICC", "R2 marg.", "R2 cond.")
MOST_DIGITS = 15


def model_table(fits, names=None, *, statistic="se", stars=True, digits=3, coef_map=None, ddf="Satterthwaite", level=0.95,
                random=True, gof=GOF, format="text", title=None, notes=None):
    """Fits side by side: coefficients, random effects and measures of fit.

    Nothing is computed from rows, unless the fits have prior weights and their ICC or R2 is asked for.

    Parameters
    ----------
    fits : LinearMixedModel, sequence of LinearMixedModel, or mapping of str to LinearMixedModel
    names : sequence of str, optional
        Names of the models; by default the keys of the mapping, or the caller's variables, or "Model 1", ...
    statistic : {"se", "ci", "t", "p"}, a list of these, or None
        What stands below each estimate.
    stars : bool or mapping of str to float
        Marks for p-values below 0.05, 0.01 and 0.001, or marks with levels of one's own.
    digits : int
        Decimals of coefficients, standard deviations and shares.  A coefficient whose standard error is small gets as
        many as show two digits of it.
    coef_map : mapping of str to str, or list of str, optional
        Coefficients to show, in this order, and what to call them; all by default.
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
        Degrees of freedom of p-values and limits; "lme4" takes the normal distribution.
    level : float
        Of the limits of ``statistic="ci"``.
    random : bool
        Show standard deviations and correlations of the random effects.
    gof : sequence of str, or None
        Of "nobs", "groups", "ICC", "R2 marg.", "R2 cond.", "AIC", "BIC", "logLik", "REML" (the criterion), "deviance", "npar".
    format : {"text", "html", "latex", "markdown", "frame"}
        How the result prints; "frame" gives the DataFrame of its numbers instead.
    title : str, optional
    notes : str or list of str, optional
        Lines below the table, after those it has by itself.

    Returns
    -------
    ModelTable
        With ``.to_text() .to_html() .to_latex() .to_markdown() .to_frame() .to_csv() .save(path)``.

    Raises
    ------
    ArgumentError
        For something that is no fit, or an argument out of range.
    UnknownNameError
        If `coef_map` names a coefficient that no fit has.
    """
    fits, names = _named(fits, names)
    statistics = _statistics(statistic)
    marks = _marks(stars)
    wanted = _measures_wanted(gof)
    level = check_level(level, "model_table")
    if not isinstance(digits, (int, np.integer)) or isinstance(digits, bool) or not 0 <= digits <= MOST_DIGITS:
        raise ArgumentError(f"model_table: digits = {digits!r}; expected a whole number from 0 to {MOST_DIGITS}.")
    if format not in FORMATS:
        raise ArgumentError(f"model_table: format = {format!r}; use one of {', '.join(map(repr, FORMATS))}.")
    method = canonical_name(ddf, "model_table")
    fits = [fit_for(fit, method) for fit in fits]
    tested = bool(marks) or bool(set(statistics) & {"p", "ci"})
    models, without_rows = [], []
    for fit, name in zip(fits, names, strict=True):
        shares = _shares(fit) if set(wanted) & set(FROM_VARIANCES) else {}
        without_rows += [name] * (shares is None)
        models.append(Regression(name, fit._spec.formula.response, _coefficients(fit, method, level, tested),
                                 _random_part(fit) if random else {}, _measures(fit, wanted, shares or {})))
    labels = _labels(coef_map, models)
    said = [*_legend(statistics, marks, method, level), *_warnings(fits, names, wanted, without_rows), *_own_notes(notes)]
    table = ModelTable(models, statistics, marks, int(digits), labels, title, said, format)
    return table.to_frame() if format == "frame" else table


# --- arguments --------------------------------------------------------------------


def _named(fits, names):
    """Fits and their names as lists."""
    if isinstance(fits, Mapping):
        names, fits = list(fits) if names is None else names, list(fits.values())
    elif hasattr(fits, "isLMM"):
        fits = [fits]
    elif isinstance(fits, (str, bytes)) or not hasattr(fits, "__iter__"):
        raise ArgumentError(f"model_table: expected fits from lmer() in a list or a dict, got {type(fits).__name__}.")
    fits = list(fits)
    if not fits:
        raise ArgumentError("model_table: got no fit; give one or more.")
    for fit in fits:
        require_fit(fit, "model_table")
    if names is None:
        found = [variable_name(fit) for fit in fits]
        usable = None not in found and len(set(found)) == len(found)
        names = found if usable else [f"Model {k}" for k in range(1, len(fits) + 1)]
    names = [str(name) for name in ([names] if isinstance(names, str) else names)]
    if len(names) != len(fits):
        raise ArgumentError(f"model_table: {len(names)} name{'s'[: len(names) != 1]} for {len(fits)} "
                            f"fit{'s'[: len(fits) != 1]}; give one each.")
    return fits, names


def _statistics(statistic):
    if statistic is None:
        return []
    given = [statistic] if isinstance(statistic, str) else list(statistic)
    for one in given:
        if one not in STATISTICS:
            raise ArgumentError(
                f"model_table: statistic = {one!r}; use {', '.join(map(repr, STATISTICS))}, a list of these, or None."
            )
    return list(dict.fromkeys(given))


def _marks(stars):
    if isinstance(stars, Mapping):
        for mark, limit in stars.items():
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= 1:
                raise ArgumentError(f"model_table: stars gives {mark!r} the level {limit!r}; expected a probability.")
        return {str(mark): float(limit) for mark, limit in stars.items()}
    return dict(STARS) if stars else {}


def _measures_wanted(gof):
    wanted = [] if gof is None else [gof] if isinstance(gof, str) else list(gof)
    for one in wanted:
        if one not in GOF + MORE_GOF:
            raise ArgumentError(f"model_table: gof names {one!r}; use {', '.join(map(repr, GOF + MORE_GOF))}.")
    return list(dict.fromkeys(wanted))


def _labels(coef_map, models):
    """Coefficients to show with their labels, or None for all."""
    if coef_map is None:
        return None
    labels = dict(coef_map) if isinstance(coef_map, Mapping) else {name: name for name in coef_map}
    known = dict.fromkeys(name for model in models for name in model.coefficients)
    unknown = [name for name in labels if name not in known]
    if unknown:
        raise UnknownNameError(f"model_table: coef_map names {', '.join(map(repr, unknown))}, which no fit has; there are "
                               f"{', '.join(known)}.")
    return {name: str(label) for name, label in labels.items()}


def _own_notes(notes):
    return [] if notes is None else [notes] if isinstance(notes, str) else [str(note) for note in notes]


# --- numbers of one fit --------------------------------------------------------------


def _coefficients(fit, method, level, tested):
    """Estimates and what belongs to them by name; tests only where they are shown, as they cost most."""
    beta = fit.fixef()
    if not len(beta):
        return {}
    if not tested:
        V = method_of(fit, method).vcov if method == "Kenward-Roger" else fit.vcov().to_numpy()
        se = np.sqrt(np.diagonal(V))
        columns = {"estimate": beta, "se": se, "t": beta / se}
    else:
        columns = _tests(fit, method, level)
    return {
        name: {key: float(np.asarray(values)[j]) for key, values in columns.items()} for j, name in enumerate(beta.index)
    }


def _tests(fit, method, level):
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    rule, beta = method_of(fit, method), fit.fixef().to_numpy()
    se, df = np.sqrt(np.diagonal(rule.vcov)), np.asarray(rule.df(np.eye(len(beta))), dtype=float)
    t, finite = beta / se, np.isfinite(df)
    some = np.where(finite, df, 1.0)
    reach = np.where(finite, stdtrit(some, (1.0 + level) / 2.0), ndtri((1.0 + level) / 2.0)) * se
    p = 2.0 * np.where(finite, stdtr(some, -np.abs(t)), ndtr(-np.abs(t)))
    return {"estimate": beta, "se": se, "t": t, "p": p, "lower": beta - reach, "upper": beta + reach}


def _random_part(fit):
    """Standard deviations and correlations by group and label; (1 | g) + (0 + x | g) has the labels of (x | g)."""
    frame = fit.VarCorr().to_frame()
    groups = dict(zip(fit.VarCorr(), [fit._factor_labels[t.factor][0] for t in fit._terms]))
    out = {}
    for row in frame.itertuples(index=False):
        if row.grp == "Residual" and row.var1 is None:
            continue
        for group in (groups[row.grp], row.grp):
            label = f"{group}: SD {row.var1}" if row.var2 is None else f"{group}: Corr {row.var1}, {row.var2}"
            if (groups[row.grp], label) not in out:
                break
        out[groups[row.grp], label] = float(row.sdcor)
    return out | {("", "Residual SD"): float(fit.sigma())}


def _shares(fit):
    """ICC and R2, or None where they need rows that are not there."""
    try:
        fixed, random, residual, _ = variances(fit, "model_table")
    except RowsNotKeptError:
        return None
    total = fixed + random + residual
    return {"ICC": random / (random + residual), "R2 marg.": fixed / total, "R2 cond.": (fixed + random) / total}


def _measures(fit, wanted, shares):
    reml = fit.isREML()
    made = {
        "AIC": fit.AIC, "BIC": fit.BIC, "logLik": fit.logLik,
        "REML": lambda: fit.REMLcrit() if reml else None, "deviance": lambda: None if reml else fit.deviance(),
    }
    out = {}
    for name in wanted:
        if name == "nobs":
            out[name, "Observations"] = (int(fit.nobs), "count")
        elif name == "groups":
            out |= {(name, f"Groups: {group}"): (int(count), "count") for group, count in fit.ngrps().items()}
        elif name == "npar":
            out[name, "Parameters"] = (fit.npar, "count")
        elif name in FROM_VARIANCES:
            out[name, name] = (shares.get(name), "share")
        else:
            value = made[name]()
            if value is not None:                        # no row for what no fit has
                out[name, "REML criterion" if name == "REML" else name] = (float(value), "likelihood")
    return out


# --- notes ----------------------------------------------------------------------------


def _legend(statistics, marks, method, level):
    """What stands below the estimates, and what the marks mean."""
    lines = []
    words = [
        f"{100 * level:g}% {STATISTICS[s]} in brackets" if s == "ci" else f"{STATISTICS[s]} in parentheses"
        for s in statistics
    ]
    if words:
        joined = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        lines.append(joined[0].upper() + joined[1:] + ".")
    tests = [word for word, used in (("p-values", marks or "p" in statistics), ("limits", "ci" in statistics)) if used]
    if tests:
        how = "the normal distribution" if method == "lme4" else f"t distributions with {method}'s degrees of freedom"
        what = " and ".join(tests)
        lines.append(f"{what[0].upper() + what[1:]} by {how}.")
    if marks:
        lines.append(", ".join(f"{mark} p < {limit:g}" for mark, limit in sorted(marks.items(), key=lambda one: -one[1])))
    return lines


def _warnings(fits, names, wanted, without_rows):
    """What a reader who compares the columns must know."""
    lines = []
    shown = [name for name in ("AIC", "BIC", "logLik") if name in wanted]
    beware = ": their likelihoods are not comparable." if shown else "."
    reml = [name for fit, name in zip(fits, names) if fit.isREML()]
    ml = [name for fit, name in zip(fits, names) if not fit.isREML()]
    if reml and ml:
        lines.append(f"{_all(reml)} by REML, {_all(ml)} by maximum likelihood{beware}")
    elif shown and len({tuple(sorted(fit.fixef().index)) for fit in fits}) > 1 and reml:
        lines.append(f"{', '.join(shown)} of REML fits are not comparable across different fixed effects; "
                     "fit with REML=False for that.")
    if len({int(fit.nobs) for fit in fits}) > 1:
        sizes = ", ".join(f"{name} {int(fit.nobs)}" for fit, name in zip(fits, names))
        lines.append(f"The models use different rows ({sizes}){beware}")
    if len({fit._spec.formula.response for fit in fits}) > 1:
        lines.append(f"The models have different responses{beware}")
    for fit, name in zip(fits, names):
        if fit._dropped_columns:
            lines.append(f"{name}: dropped as linearly dependent: {', '.join(map(str, fit._dropped_columns))}.")
        if fit.optinfo["status"] == "failed":
            lines.append(f"{name}: the optimizer did not converge.")
    singular = [name for fit, name in zip(fits, names) if fit.isSingular()]
    if singular:
        lines.append(f"Singular fit (a variance is zero, or a correlation is -1 or 1): {_all(singular)}.")
    if without_rows:
        lines.append(f"ICC and R2 of weighted fits need their rows, which are not kept: {_all(without_rows)}.")
    return lines


def _all(names):
    return ", ".join(names)
