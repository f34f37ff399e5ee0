"""How far a fit is from what lme4 says, relative to the largest value of each kind."""

import numpy as np

WHAT = ("fixef", "theta", "sigma", "vcov", "VarCorr", "condval", "condsd", "logLik", "fitted")


def distance(here, there):
    """Largest difference over the largest value; infinite for another number of values."""
    here, there = (np.ravel(values).astype(float) for values in (here, there))
    if here.shape != there.shape:
        return np.inf
    return np.abs(here - there).max(initial=0.0) / max(np.abs(there).max(initial=0.0), 1e-300)


def distances(fit, answers, rows=None, offset=0.0):
    """Distances by kind of result.

    Parameters
    ----------
    fit : LinearMixedModel
    answers : dict
        Of r_models.R's ``answers``.
    rows : DataFrame, optional
        Where to predict.
    offset : array
        What offset= adds in these rows; lme4's predict() leaves it out there.
    """
    assert list(fit.fixef().index) == answers["names"]
    modes = fit.ranef().to_frame()
    labels = modes["grpvar"].astype(str) + " " + modes["term"].astype(str) + " " + modes["grp"].astype(str)
    by_label = modes.set_axis(labels.to_numpy(), axis=0).loc[answers["modes"]]
    ours = {"fixef": fit.fixef(), "theta": fit.theta, "sigma": fit.sigma(), "vcov": fit.vcov(), "logLik": float(fit.logLik()),
            "VarCorr": fit.VarCorr().to_frame()["vcov"], "condval": by_label["condval"], "condsd": by_label["condsd"],
            "fitted": fit.fitted().dropna()}
    out = {what: distance(ours[what], answers[what]) for what in WHAT}
    if rows is not None:
        out["predict"] = distance(fit.predict(rows, allow_new_levels=True) - offset, answers["predict"])
        out["marginal"] = distance(fit.predict(rows, re_form="NA") - offset, answers["marginal"])
    return out
