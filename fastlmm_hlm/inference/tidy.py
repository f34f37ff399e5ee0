"""tidy, glance and augment: the results of a fit as plain data frames, with broom.mixed's columns."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.inference.leverage import leverages
from fastlmm_hlm.inference.rowdiagnostics import cooks_distances

EFFECTS = ("fixed", "ran_pars", "ran_vals", "ran_coefs")
COLUMNS = ("effect", "group", "level", "term", "estimate", "std.error", "statistic", "df", "p.value", "conf.low", "conf.high")
SCALES = {"sdcor": ("sd", "cor"), "vcov": ("var", "cov")}
METHODS = ("Wald", "profile", "boot")


def tidy(
    fit,
    effects=("ran_pars", "fixed"),
    scales="sdcor",
    conf_int=False,
    conf_level=0.95,
    conf_method="Wald",
    ddf_method=None,
    **confint,
):
    """The parameters of a fit as a data frame.

    Parameters
    ----------
    fit : LinearMixedModel
    effects : str or sequence of str
        "fixed": the coefficients; "ran_pars": standard deviations and correlations
        of the random effects; "ran_vals": conditional modes; "ran_coefs":
        coefficients of every level.  Their order here does not matter.
    scales : {"sdcor", "vcov"}
        How "ran_pars" are given.
    conf_int : bool
        Add conf.low and conf.high.
    conf_level : float
    conf_method : {"Wald", "profile", "boot"}
        Wald intervals exist for fixed effects and modes; the others come from
        ``fit.confint`` and cover standard deviations and correlations too.
    ddf_method : {None, "Satterthwaite", "Kenward-Roger", "lme4"}
        Add df and p.value; None and "lme4" do not.
    **confint
        More arguments of ``fit.confint`` with "profile" and "boot", such as nsim=.

    Returns
    -------
    DataFrame
        Of the columns effect, group, level, term, estimate, std.error,
        statistic, df, p.value, conf.low, conf.high those that the effects have.

    Raises
    ------
    ArgumentError
        If an argument has no such value.
    """
    wanted = [effects] if isinstance(effects, str) else list(effects)
    for effect in wanted:
        if effect not in EFFECTS:
            raise ArgumentError(f"tidy: effects has {effect!r}; use one or several of {', '.join(map(repr, EFFECTS))}.")
    if not wanted:
        raise ArgumentError(f"tidy: effects is empty; use one or several of {', '.join(map(repr, EFFECTS))}.")
    if scales not in SCALES:
        raise ArgumentError(f"tidy: scales = {scales!r}; use 'sdcor' or 'vcov'.")
    if conf_method not in METHODS:
        raise ArgumentError(f"tidy: conf_method = {conf_method!r}; use one of {', '.join(map(repr, METHODS))}.")
    if not 0 < conf_level < 1:
        raise ArgumentError(f"tidy: conf_level = {conf_level!r}; expected a number between 0 and 1, such as 0.95.")
    limits = None
    if conf_int and conf_method != "Wald" and {"fixed", "ran_pars"} & set(wanted):
        limits = _limits(fit, conf_level, conf_method, confint)
    level = conf_level if conf_int else None
    parts = []
    for effect in EFFECTS:
        if effect not in wanted:
            continue
        if effect == "fixed":
            parts.append(_fixed(fit, ddf_method, level, limits))
        elif effect == "ran_pars":
            parts.append(_parameters(fit, scales, level, limits))
        elif effect == "ran_vals":
            parts.append(_modes(fit, level))
        else:
            parts.append(_coefficients(fit, level))
    have = [name for name in COLUMNS if any(name in part for part in parts)]
    return pd.concat([_with_columns(part, have) for part in parts], ignore_index=True)


def _with_columns(part, names):
    """The part with all of the columns, missing ones filled."""
    out = {}
    for name in names:
        if name in part:
            out[name] = part[name]
        else:
            words = name in ("group", "level", "term")
            out[name] = pd.Series([None] * len(part), dtype=object) if words else np.full(len(part), np.nan)
    return pd.DataFrame(out)


def _fixed(fit, ddf_method, level, limits):
    from scipy import stats

    beta = fit._estimates.beta
    method = None
    if ddf_method not in (None, "lme4", "asymptotic"):
        from fastlmm_hlm.inference.ddf import method_of

        method = method_of(fit, ddf_method)
    V = fit.vcov().to_numpy() if method is None else np.asarray(method.vcov)
    se = np.sqrt(np.diagonal(V))
    out = {"effect": "fixed", "term": list(fit._x_names), "estimate": beta, "std.error": se, "statistic": beta / se}
    df = np.full(len(beta), np.inf)
    if method is not None:
        df = np.asarray(method.df(np.eye(len(beta))))
        out["df"] = df
        out["p.value"] = 2.0 * stats.t.sf(np.abs(out["statistic"]), df)
    if level is not None:
        if limits is not None:
            low, high = limits[1]
        else:
            width = stats.t.ppf(0.5 + level / 2.0, df) * se
            low, high = beta - width, beta + width
        out["conf.low"], out["conf.high"] = low, high
    return pd.DataFrame(out)


def _parameters(fit, scales, level, limits):
    frame = fit.VarCorr().to_frame(order="lower.tri")
    one, two = SCALES[scales]
    terms = []
    for first, second in zip(frame["var1"], frame["var2"]):
        terms.append(f"{one}__Observation" if first is None else
                     f"{one}__{first}" if second is None else f"{two}__{first}.{second}")
    out = {"effect": "ran_pars", "group": list(frame["grp"]), "term": terms,
           "estimate": frame["sdcor" if scales == "sdcor" else "vcov"].to_numpy()}
    if level is not None:
        low = high = np.full(len(frame), np.nan)
        if limits is not None:
            low, high = limits[0]
            if len(low) != len(frame):
                raise ArgumentError(
                    f"tidy: confint gave {len(low)} intervals for {len(frame)} standard deviations and correlations of a "
                    "structured covariance; ask for conf_method='Wald', or use fit.confint() itself."
                )
            if scales == "vcov":
                single = np.array([second is None for second in frame["var2"]])
                low, high = (np.where(single, x**2, np.nan) for x in (low, high))
        out["conf.low"], out["conf.high"] = low, high
    return pd.DataFrame(out)


def _limits(fit, level, method, arguments):
    """Limits of the random parameters (sigma last), and of the fixed effects, from confint."""
    if not hasattr(fit, "confint"):
        raise ArgumentError(f"tidy: this fit has no confint(), which conf_method = {method!r} needs.")
    table = fit.confint(level=level, method=method, **arguments).to_numpy(dtype=float)
    own = len(table) - fit._estimates.p
    return (table[:own, 0], table[:own, 1]), (table[own:, 0], table[own:, 1])


def _modes(fit, level):
    from scipy import stats

    frame = fit.ranef(condVar=True).to_frame()
    out = {"effect": "ran_vals", "group": frame["grpvar"].to_numpy(dtype=object), "level": frame["grp"].to_numpy(dtype=object),
           "term": frame["term"].to_numpy(dtype=object), "estimate": frame["condval"], "std.error": frame["condsd"]}
    if level is not None:
        width = stats.norm.ppf(0.5 + level / 2.0) * frame["condsd"]
        out["conf.low"], out["conf.high"] = frame["condval"] - width, frame["condval"] + width
    return pd.DataFrame(out)


def _coefficients(fit, level):
    parts = []
    for group, frame in fit.coef().items():
        nl, names = len(frame), list(frame.columns)
        parts.append(pd.DataFrame({
            "effect": "ran_coefs", "group": pd.Series([group] * (nl * len(names)), dtype=object),
            "level": np.tile(frame.index.to_numpy(dtype=object), len(names)),
            "term": np.repeat(np.array(names, dtype=object), nl), "estimate": frame.to_numpy().ravel(order="F"),
        }))
    out = pd.concat(parts, ignore_index=True)
    if level is not None:
        warn_user("tidy: there are no confidence intervals for the coefficients of the levels; giving NaN", FastlmmWarning)
        out["conf.low"] = out["conf.high"] = np.nan
    return out


def glance(fit):
    """Measures of the whole fit, a data frame of one row.

    Returns
    -------
    DataFrame
        nobs, sigma, logLik, AIC, BIC, REMLcrit (deviance for ML), df.residual.
    """
    criterion = "REMLcrit" if fit.isREML() else "deviance"
    return pd.DataFrame([{
        "nobs": fit._estimates.n,
        "sigma": fit._estimates.sigma,
        "logLik": float(fit.logLik()),
        "AIC": fit.AIC(),
        "BIC": fit.BIC(),
        criterion: fit._estimates.criterion,
        "df.residual": fit.df_residual(),
    }])


def augment(fit, data=None):
    """The data of a fit with its predictions and residuals.

    Parameters
    ----------
    fit : LinearMixedModel
    data : data frame, optional
        What the columns are added to, one row per row of the fit or of its data;
        by default the response and the columns that the formula uses.

    Returns
    -------
    DataFrame
        The rows used, with .fitted .resid .hat .cooksd .fixed (random effects
        zero) .mu .offset .sqrtXwt .sqrtrwt .weights .wtres.

    Raises
    ------
    ArgumentError
        If `data` has neither number of rows.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    rows = fit._rows_or_raise("augment")
    design, e = rows.design, fit._estimates
    mu, fixed = fit._linear_predictor(), fit._linear_predictor(with_random=False)
    w = np.ones(e.n) if design.weights is None else np.asarray(design.weights)
    r, h, root = design.y - mu, leverages(fit, "augment"), np.sqrt(w)
    out = own_columns(fit, rows) if data is None else _given_columns(data, rows)
    added = {
        ".fitted": mu, ".resid": r, ".hat": h, ".cooksd": cooks_distances(root * r, h, e.p, e.sigma), ".fixed": fixed,
        ".mu": mu, ".offset": np.zeros(e.n) if design.offset is None else design.offset, ".sqrtXwt": root, ".sqrtrwt": root,
        ".weights": w, ".wtres": root * r,
    }
    return pd.concat([out, pd.DataFrame(added, index=out.index)], axis=1)


def _given_columns(data, rows):
    """The rows of the fit of a data frame of the user's."""
    source = DataColumns(data)
    n = len(rows.index)
    if source.n not in (n, rows.n_input):
        raise ArgumentError(
            f"augment: data has {source.n} rows; expected {n}, the rows of the fit"
            + (f", or {rows.n_input}, the rows of its data." if rows.n_input != n else ".")
        )
    positions = rows.positions if source.n != n else None
    return _frame(source, source.names, positions, source.index)


def own_columns(fit, rows):
    """Response, predictors, grouping columns and weights, of the rows of the fit."""
    design, response = rows.design, fit._spec.formula.response
    out = pd.DataFrame({response: design.y}, index=rows.index)
    if fit._settings.data is not None:
        source = DataColumns(fit._settings.data)
        names = [name for name in fit._spec.variables if name in source and name != response]
        used = _frame(source, names, rows.positions, source.index)
        out = pd.concat([out, used.set_axis(rows.index)], axis=1)
    if design.weights is not None:
        out["(weights)"] = design.weights
    return out


def _frame(source, names, positions, index):
    """Columns of any data frame as pandas ones, some rows only."""
    out = {}
    for name in names:
        column = source.column(name)
        if column.kind == "category":
            values = pd.Categorical.from_codes(column.values, categories=column.levels, ordered=column.ordered)
        elif column.levels is not None:
            values = np.append(np.asarray(column.levels, dtype=object), None)[np.asarray(column.values)]
        else:
            values = np.asarray(column.own if column.own is not None else column.values)
            if column.missing is not None:
                values = pd.Series(values).where(~np.asarray(column.missing)).to_numpy()
        out[name] = values if positions is None else values[positions]
    return pd.DataFrame(out, index=index if positions is None else index[positions])
