"""Residuals of a fit: given the random effects or not, as they are, in units of their own deviation, or decorrelated.

    conditional     r_i = y_i - offset_i - x_i'beta - z_i'b       Var r_i = sigma^2 (1 - h_i) / w_i
    marginal        xi_i = y_i - offset_i - x_i'beta              Var xi_i = [V - X (X'V^-1 X)^-1 X']_ii
    decorrelated    V^-1/2 xi, for a triangular or a symmetric root

h are the leverages, V = Var(y) at the estimates.

References
----------
Hilden-Minton (1995), Multilevel diagnostics for mixed and hierarchical linear models.
Nobre, Singer (2007), Biometrical J. 49(6).  Singer, Rocha, Nobre (2017), Int. Stat. Rev. 85(2).
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference import elimination, rowdiagnostics
from fastlmm_hlm.inference.decorrelate import cholesky_residuals, symmetric_residuals
from fastlmm_hlm.inference.leverage import ROWS, centred_columns
from fastlmm_hlm.inference.rowdiagnostics import pearson

LME4_TYPES = ("response", "pearson", "deviance", "working")
TYPES = (*LME4_TYPES, "standardized", "cholesky", "symmetric")
LEVELS = ("conditional", "marginal")
# A residual whose variance is this small a share of sigma^2 is zero whatever the data: it has no standardized value.
NO_VARIANCE = 1e-10


def residuals_of(fit, type="response", scaled=False, level="conditional", caller="residuals"):
    """Residuals, (n,); see `LinearMixedModel.residuals` for the parameters.

    Raises
    ------
    ArgumentError
        For an unknown type or level, or a combination that has no meaning.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    if type not in TYPES:
        raise ArgumentError(f"{caller}: type = {type!r} is not known; use one of {', '.join(TYPES)}.")
    level = "marginal" if isinstance(level, int) and not isinstance(level, bool) and level == 0 else level
    if level not in LEVELS:
        raise ArgumentError(
            f"{caller}: level = {level!r} is not known; use 'conditional' (random effects taken out) or 'marginal'."
        )
    design = fit._rows_or_raise(caller).design
    if type not in LME4_TYPES:
        if scaled:
            raise ArgumentError(f"{caller}: {type} residuals have variance 1 already; leave scaled= out.")
        if type != "standardized":
            return {"cholesky": cholesky_residuals, "symmetric": symmetric_residuals}[type](fit, marginal(fit, design), caller)
        return standardized(fit, level, caller)
    weighted = type in ("pearson", "deviance")
    if level == "conditional":
        r = pearson(fit, design) if weighted else design.y - fit._linear_predictor()
    else:
        r = marginal(fit, design)
        if weighted and design.weights is not None:
            r *= np.sqrt(design.weights)
    return r / fit._estimates.sigma if scaled else r


def marginal(fit, design):
    """y - offset - X beta, (n,)."""
    return design.y - fit._linear_predictor(with_random=False)


def standardized(fit, level, caller):
    """Residuals over their own standard deviation, (n,); NaN where it is zero."""
    if level == "conditional":
        return rowdiagnostics.standardized(fit, caller)
    design, sigma = fit._rows_or_raise(caller).design, fit._estimates.sigma
    w = 1.0 if design.weights is None else design.weights
    r, variance = marginal(fit, design), marginal_variances(fit, design)
    known = variance * w > NO_VARIANCE
    return np.where(known, r, np.nan) / (sigma * np.sqrt(np.where(known, variance, 1.0)))


def marginal_variances(fit, design):
    """Diagonal of (V - X (X'V^-1 X)^-1 X') / sigma^2, (n,)."""
    out = np.full(design.n, 1.0) if design.weights is None else 1.0 / design.weights
    Lambda = elimination.templates(fit)
    root = np.linalg.solve(fit._x_centring.B, np.linalg.solve(fit._estimates.RX, np.eye(design.p)))
    for first in range(0, design.n, ROWS):
        rows = np.arange(first, min(first + ROWS, design.n))
        for factor, L in zip(design.factors, Lambda):
            out[rows] += ((centred_columns(factor.columns, factor.centring, rows) @ L) ** 2).sum(axis=1)
        out[rows] -= ((centred_columns(design.x_columns, fit._x_centring, rows) @ root) ** 2).sum(axis=1)
    return out
