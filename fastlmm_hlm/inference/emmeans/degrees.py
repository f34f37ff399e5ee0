"""Which method gives standard errors and degrees of freedom."""

from fastlmm_hlm.errors import ArgumentError

# Kenward-Roger solves with matrices as large as the number of random effects.
MOST_RANDOM_EFFECTS = 3000
METHODS = {
    "kenward-roger": "Kenward-Roger", "kr": "Kenward-Roger", "satterthwaite": "Satterthwaite", "asymptotic": "asymptotic",
    "lme4": "asymptotic", "z": "asymptotic",
}


def choose_method(fit, ddf, caller):
    """The method asked for; by default Kenward-Roger where it is affordable, else Satterthwaite.

    Kenward-Roger's adjustment is for REML estimates, so that fits by maximum likelihood take
    Satterthwaite's method unless they are asked for the other.

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : str or None
    caller : str

    Returns
    -------
    object
        With ``name``, ``vcov`` and ``df(L)``; see `fastlmm_hlm.inference.ddf.method_of`.

    Raises
    ------
    ArgumentError
        For an unknown name.
    """
    from fastlmm_hlm.inference.ddf import method_of

    if ddf is None:
        affordable = fit.isREML() and sum(b.size for b in fit._estimates.b) <= MOST_RANDOM_EFFECTS
        return method_of(fit, "Kenward-Roger" if affordable else "Satterthwaite")
    name = METHODS.get(ddf.lower()) if isinstance(ddf, str) else None
    if name is None:
        raise ArgumentError(f"{caller}: ddf = {ddf!r} is not known; use 'Kenward-Roger', 'Satterthwaite' or 'asymptotic'.")
    return method_of(fit, name)
