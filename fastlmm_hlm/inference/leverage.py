"""Leverages: the diagonal of the hat matrix of the conditional fit at the estimated theta.

h_i = w_i [x_i z_i] C^-1 [x_i z_i]', see `fastlmm_hlm.inference.jointrows`.
"""

import numpy as np

from fastlmm_hlm.design.columns import rows_of
from fastlmm_hlm.inference.jointrows import JointRows

ROWS = 65_536


def leverages(fit, caller="hatvalues"):
    """h_i of every row of the fit, ndarray (n,).

    Raises
    ------
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    design = fit._rows_or_raise(caller).design
    joint = JointRows(fit)
    order = joint.way.order([f.codes for f in design.factors])
    out, step = np.empty(design.n), min(ROWS, joint.at_a_time)
    for first in range(0, design.n, step):
        chosen = order[first : first + step]
        z = [rows_of(f.columns, chosen) for f in design.factors]
        out[chosen] = joint(rows_of(design.x_columns, chosen), [f.codes[chosen] for f in design.factors], z)
    return out if design.weights is None else out * design.weights
