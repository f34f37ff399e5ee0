"""Influence of rows and groups on the estimates: what a fit becomes without each of them."""

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.bootstrap import blocks_of, positive_count, run_blocks
from fastlmm_hlm.inference.casegroups import cases_of
from fastlmm_hlm.inference.deletionmeasures import Influence
from fastlmm_hlm.inference.deletions import Deleted, Deleter
from fastlmm_hlm.inference.leverage import leverages
from fastlmm_hlm.inference.onestep import at_fixed_theta
from fastlmm_hlm.inference.progress import ProgressBar
from fastlmm_hlm.inference.rowdiagnostics import cooks_distances, pearson

METHODS = ("full", "onestep")
# Deletions between two reports of progress.
AT_A_TIME = 50


def influence(fit, groups=None, method="full", maxfun=1000, progress=False, processes=1):
    """What the estimates become without each row, or without each group of rows.

    Parameters
    ----------
    fit : LinearMixedModel
    groups : None, str, list of str, or one value per row
        None leaves out every row in turn.  A grouping factor or any column of the data:
        every level in turn with all its rows.  "a:b", or a list of columns: their
        combinations.
    method : {"full", "onestep"}
        "full" fits the rest again, exactly what ``influence()`` of lme4 does; the data
        are not looked at again, since the cross-products of the rows left out are
        subtracted.  "onestep" holds theta and gives fixed effects and sigma in closed form.
    maxfun : int
        Evaluations of the criterion per fit, at most.
    progress : bool
        Show a progress bar; needs tqdm.
    processes : int
        How many to use; the results do not depend on it.

    Returns
    -------
    Influence

    Raises
    ------
    ArgumentError
        For a method or groups that do not exist, or a single group.
    UnknownNameError
        If `groups` names nothing.
    RowsNotKeptError
        If the fit was pickled without its rows: what a group contributes to X'X is
        nowhere else.

    Notes
    -----
    Bases of ``poly()``, ``scale()`` and contrasts stay those of the fit, where lme4 makes
    them again from the rows left.

    References
    ----------
    .. [1] Demidenko, Stukel (2005), Statistics in Medicine 24(6), 893-909.
    .. [2] Christensen, Pearson, Johnson (1992), Technometrics 34(1), 38-45.
    .. [3] Loy, Hofmann (2014), HLMdiag, JSS 56(5).
    """
    return _influence(fit, groups, method, "influence", maxfun, progress, processes)


def _influence(fit, groups, method, caller, maxfun=1000, progress=False, processes=1):
    if method not in METHODS:
        raise ArgumentError(f"{caller}: method = {method!r}; use 'full' or 'onestep'.")
    maxfun, processes = positive_count(maxfun, "maxfun", caller), positive_count(processes, "processes", caller)
    cases = cases_of(fit, groups, caller)
    if method == "onestep":
        found = at_fixed_theta(fit, cases, caller)
    else:
        found = _refitted(fit, cases, maxfun, progress, processes, caller)
    made = Influence(fit, cases, method, found)
    _warn(made, found, caller)
    return made


def _refitted(fit, cases, maxfun, progress, processes, caller):
    e, k = fit._estimates, len(cases)
    out = Deleted.empty(k, e.p, e.templates)
    deleter = Deleter(fit, cases, True, maxfun)
    blocks = blocks_of(k, processes, AT_A_TIME)
    with ProgressBar(progress, k, caller, "fit") as bar:
        for first, block in run_blocks(deleter, blocks, processes, caller):
            out.put(first, block)
            if bar is not None:
                bar.update(len(block.sigma))
    return out


def _warn(made, found, caller):
    """One warning for all deletions whose estimates are incomplete."""
    if made.messages:
        label, text = next(iter(made.messages.items()))
        incomplete = int((~found.comparable.all(axis=1)).sum())
        warn_user(
            f"{caller}: {len(made.messages)} of {len(made)} deletions are incomplete or did not converge ({incomplete} "
            f"without some fixed effects, which are NaN); the first, {made.groups} {label}: {text}. See .messages.",
            FastlmmWarning,
        )


def cooks_distance(fit, groups=None, method="onestep"):
    """Cook's distances.

    Parameters
    ----------
    fit : LinearMixedModel
    groups : None, str, list of str, or one value per row
        As for `influence`.
    method : {"onestep", "full"}
        By row "onestep" is lme4's ``cooks.distance(fit)``: from the conditional residuals
        and leverages at the estimated theta, so it measures the change of fitted values
        whose random effects move too.  Everything else is
        ``influence(fit, groups, method).cooks_distance()``: the change of the fixed effects.

    Returns
    -------
    Series
        Aligned with the data, or one number per group.

    Raises
    ------
    ArgumentError, UnknownNameError, RowsNotKeptError
        As for `influence`.
    """
    if groups is not None or method != "onestep":
        return _influence(fit, groups, method, "cooks_distance").cooks_distance()
    rows, e = fit._rows_or_raise("cooks_distance"), fit._estimates
    if not e.p:
        raise ArgumentError("cooks_distance: the model has no fixed effects.")
    d = cooks_distances(pearson(fit, rows.design), leverages(fit, "cooks_distance"), e.p, e.sigma)
    return rows.series(d, "cooks_distance")


def dfbeta(fit, groups=None, method="onestep", which="fixed"):
    """Estimates without each row or group less those of the fit, DataFrame.

    Parameters
    ----------
    fit : LinearMixedModel
    groups : None, str, list of str, or one value per row
    method : {"onestep", "full"}
        "onestep" holds theta: the exact generalized least squares fit to the rows left,
        with their covariance matrix.  "full" estimates theta again.
    which : {"fixed", "var.cov"}

    Raises
    ------
    ArgumentError, UnknownNameError, RowsNotKeptError
        As for `influence`.
    """
    return _influence(fit, groups, method, "dfbeta").dfbeta(which)


def dfbetas(fit, groups=None, method="onestep"):
    """`dfbeta` over the standard errors without the row or group, DataFrame; arguments as there."""
    return _influence(fit, groups, method, "dfbetas").dfbetas()
