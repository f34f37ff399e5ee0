"""F tests of a smaller fixed part: pbkrtest's KRmodcomp() and SATmodcomp()."""

import numpy as np
import pandas as pd

from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.ddf import method_of
from fastlmm_hlm.inference.restriction import smaller_model
from fastlmm_hlm.inference.tails import f_pvalue
from fastlmm_hlm.report.anovatable import CoefficientTable
from fastlmm_hlm.report.rformat import format_numbers


def KRmodcomp(large, small):  # noqa: N802 - pbkrtest's name
    """F test of the smaller of two models with Kenward & Roger's approximation.

    Parameters
    ----------
    large : LinearMixedModel
        A fit by maximum likelihood is fitted again by REML.
    small : LinearMixedModel, str or array (q, p)
        A model with the same random part and a smaller fixed part, a change of the
        formula such as ". ~ . - x", or L of the hypothesis L beta = 0.

    Returns
    -------
    CoefficientTable
        Rows Ftest (scaled) and FtestU (as it is); columns stat, ndf, ddf, F.scaling,
        p.value.

    Raises
    ------
    ArgumentError
        If the models are not nested.

    References
    ----------
    Kenward & Roger (1997), Biometrics 53, 983-997.  Halekoh & Hojsgaard (2014), JSS 59(9).
    """
    require_fit(large, "KRmodcomp")
    small, L = smaller_model(large, small, "KRmodcomp")
    large = large._with_criterion(True)
    method = method_of(large, "Kenward-Roger")
    F, ndf, ddf = method.f_test(L)
    unscaled = _wald(L, large.fixef().to_numpy(), method.vcov)
    table = pd.DataFrame(
        {"stat": [F, unscaled], "ndf": ndf, "ddf": ddf, "F.scaling": [F / unscaled, np.nan],
         "p.value": [f_pvalue(F, ndf, ddf), f_pvalue(unscaled, ndf, ddf)]},
        index=["Ftest", "FtestU"],
    )
    return CoefficientTable.make(table, _models(large, small, L), [0, 1, 2])


def SATmodcomp(large, small):  # noqa: N802 - pbkrtest's name
    """F test of the smaller of two models with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    large : LinearMixedModel
    small : LinearMixedModel, str or array (q, p)
        As for `KRmodcomp`.

    Returns
    -------
    CoefficientTable
        One row; columns statistic, ndf, ddf, p.value.

    Raises
    ------
    ArgumentError
        If the models are not nested.
    """
    require_fit(large, "SATmodcomp")
    small, L = smaller_model(large, small, "SATmodcomp")
    F, ndf, ddf = method_of(large, "Satterthwaite").f_test(L)
    table = pd.DataFrame({"statistic": [F], "ndf": ndf, "ddf": ddf, "p.value": f_pvalue(F, ndf, ddf)}, index=["[1,]"])
    return CoefficientTable.make(table, _models(large, small, L), [0, 1])


def _wald(L, beta, vcov):
    """F = (L beta)'(L V L')^-1 L beta / rank."""
    values, vectors = np.linalg.eigh(L @ vcov @ L.T)
    kept = values > np.sqrt(np.finfo(float).eps) * values.max()
    along = vectors[:, kept].T @ (L @ beta)
    return float((along**2 / values[kept]).mean())


def _models(large, small, L):
    """Lines that say what is compared."""
    lines = [f"large : {large.formula}"]
    if small is not None:
        return [*lines, f"small : {small.formula}"]
    rows = [" ".join(format_numbers(row, 5)) for row in L]
    return [*lines, "small (restriction matrix) : ", *(f" {row}" for row in rows)]
