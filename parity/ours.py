"""Fit a case with fastlmm_hlm and collect the answers in lme4_reference.R's shape."""

import time

import numpy as np

SHOWN_ROWS = 10


def answers(case, reference):
    """Fit one case and ask the fit for all that is compared.

    Parameters
    ----------
    case : Case
    reference : dict
        lme4's answers; only the thetas at which the criterion is to be
        evaluated are read.

    Returns
    -------
    dict
        As lme4_reference.R writes, with all levels in "ranef", and with
        "evaluations" and "seconds".
    """
    import fastlmm_hlm as flmm

    data = case.frame()
    began = time.perf_counter()
    fit = flmm.lmer(case.formula, data=data, **case.arguments())
    seconds = time.perf_counter() - began
    variances = flmm.vcov(fit)
    beta = flmm.fixef(fit)
    criterion = flmm.getME(fit, "devfun")
    return {
        "criterion": float(flmm.REMLcrit(fit) if case.REML else flmm.deviance(fit)),
        "fixef": {"names": list(beta.index), "values": beta.to_numpy()},
        "se": np.sqrt(np.diag(variances)),
        "vcov": variances.to_numpy(),
        "sigma": float(flmm.sigma(fit)),
        "theta": np.asarray(fit.theta),
        "varcorr": flmm.VarCorr(fit).to_frame().to_dict("list"),
        "ranef": modes_summary(flmm.ranef(fit, condVar=True).to_frame()),
        "fitted": _vector_summary(flmm.fitted(fit)),
        "residuals": _vector_summary(flmm.residuals(fit)),
        "logLik": float(flmm.logLik(fit)),
        "AIC": float(flmm.AIC(fit)),
        "BIC": float(flmm.BIC(fit)),
        "nobs": int(flmm.nobs(fit)),
        "ngrps": {str(name): int(count) for name, count in flmm.ngrps(fit).items()},
        "df_residual": int(flmm.df_residual(fit)),
        "is_singular": bool(flmm.isSingular(fit)),
        "at": [{"theta": point["theta"], "criterion": float(criterion(np.asarray(point["theta"])))} for point in reference["at"]],
        "evaluations": int(fit.optinfo["evaluations"]),
        "seconds": seconds,
    }


def modes_summary(long):
    """The conditional modes as lme4_reference.R lists them, but with every level.

    Parameters
    ----------
    long : pandas.DataFrame
        Columns grpvar, term, grp, condval, condsd; rows in any order.

    Returns
    -------
    list of dict
        One per grouping factor; "condval" and "condsd" have shape
        (levels, terms), in the order of first appearance.
    """
    parts = []
    for grpvar, rows in long.assign(grp=long["grp"].map(_as_r_writes)).groupby("grpvar", sort=False, observed=True):
        terms, levels = list(dict.fromkeys(rows["term"])), list(dict.fromkeys(rows["grp"]))
        part = {"grpvar": str(grpvar), "terms": terms, "levels": levels}
        for name in ("condval", "condsd"):
            wide = rows.pivot(index="grp", columns="term", values=name)
            part[name] = wide.loc[levels, terms].to_numpy(dtype=float)
            part[f"{name}_sum_of_squares"] = (part[name] ** 2).sum(axis=0)
        parts.append(part)
    return parts


def _as_r_writes(level):
    """The name of a level: R writes the number 1.0 as 1."""
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)


def _vector_summary(series):
    values = np.asarray(series, dtype=float)
    return {"first": values[:SHOWN_ROWS], "sum_of_squares": float((values**2).sum())}
