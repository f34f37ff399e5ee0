"""Leverages: the diagonal of the hat matrix of the conditional fit at the estimated theta.

h_i = w_i [x_i z_i] C^-1 [x_i z_i]', see `fastlmm_hlm.inference.jointrows`.
"""

import numpy as np

from fastlmm_hlm.design.columns import rows_of
from fastlmm_hlm.inference.jointrows import JointRows

ROWS = 65_536
# A leverage this near to one is one: that of a row that alone determines an estimate.
ONE = 1.0 - 1e-13


def leverages(fit, caller="hatvalues"):
    """h_i of every row of the fit, ndarray (n,).

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    return hat_parts(fit, caller)[0]


def hat_parts(fit, caller, fixed=False):
    """Leverages, and on request the fixed effects' part of each row.

    Returns
    -------
    h : ndarray (n,)
    t : ndarray (n, p) or None
        t_i = RX'^-1 d_i, RX of the user's columns: h_i = w_i (z_i'V z_i + t_i't_i).

    Raises
    ------
    RowsNotKeptError
    """
    design = fit._rows_or_raise(caller).design
    joint = JointRows(fit)
    order = joint.way.order([f.codes for f in design.factors])
    out, step = np.empty(design.n), min(ROWS, joint.at_a_time)
    parts = np.empty((design.n, design.p)) if fixed else None
    for first in range(0, design.n, step):
        chosen = order[first : first + step]
        z = [rows_of(f.columns, chosen) for f in design.factors]
        h, t = joint.parts(rows_of(design.x_columns, chosen), [f.codes[chosen] for f in design.factors], z)
        out[chosen] = h + (t**2).sum(axis=1)
        if fixed:
            parts[chosen] = t
    h = out if design.weights is None else out * design.weights
    h[h > ONE] = 1.0
    return h, parts


def centred_columns(columns, basis, rows):
    """Centred columns at some rows, (k, c)."""
    return rows_of(columns, rows) - basis.centre


def variances_of(fit, codes, z):
    """Var(z'b | y, beta, theta) of combinations of random effects, (k,).

    Parameters
    ----------
    fit : LinearMixedModel
    codes : list of ndarray of int (k,), per grouping factor
        The level of each factor that a combination meets.
    z : list of ndarray (k, c), per grouping factor
        Its values in the user's columns, all zero where the factor does not count.
    """
    joint, k = JointRows(fit), len(z[0])
    order = joint.way.order(codes)
    out, x = np.empty(k), np.zeros((k, len(fit._x_centring.B)))
    for first in range(0, k, joint.at_a_time):
        chosen = order[first : first + joint.at_a_time]
        out[chosen] = joint.parts(x[chosen], [c[chosen] for c in codes], [u[chosen] for u in z])[0]
    return fit._estimates.sigma**2 * out
