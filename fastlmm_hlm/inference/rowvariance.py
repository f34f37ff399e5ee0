"""Variances of predictions, block by block."""

import numpy as np

from fastlmm_hlm.inference.jointrows import JointRows
from fastlmm_hlm.inference.simulation import template_of_factor


class RowVariance:
    """sigma^2 [x z] C^-1 [x z]', and the prior variance of levels without effects.

    Parameters
    ----------
    fit : LinearMixedModel
    wanted : dict
        Grouping factor -> random-effects columns in the prediction.  Without any the variance is
        sigma^2 x (X'H^-1 X)^-1 x'.

    Attributes
    ----------
    at_a_time : int
        Rows per block that keep temporaries small.
    """

    def __init__(self, fit, wanted):
        e = fit._estimates
        self.sigma, self.p, self.RX = e.sigma, e.p, e.RX
        self.sizes = [part.shape[1] for part in e.b]
        self.joint = JointRows(fit) if wanted else None
        self.prior = {f: template_of_factor(fit._terms, e.templates, f, self.sizes[f]) for f in wanted}
        self.at_a_time = self.joint.at_a_time if wanted else max(1, 4_000_000 // max(1, self.p))

    def __call__(self, block):
        """Variances of the rows of a PredictionBlock, (n,); NaN where a value is missing."""
        x, extra = block.x(self.p), np.zeros(block.n)
        z = [np.zeros((block.n, c)) for c in self.sizes]
        codes = [np.zeros(block.n, dtype=np.int32) for _ in self.sizes]
        missing = np.isnan(x).any(axis=1)
        for part in block.factors:
            own = z[part.factor]
            for j, column in zip(part.which, part.columns):
                own[:, j] = 1.0 if column is None else column
            missing |= np.isnan(own).any(axis=1)
            new = part.codes < 0
            if new.any():
                extra[new] += ((own[new] @ self.prior[part.factor]) ** 2).sum(axis=1)
                own[new] = 0.0
            codes[part.factor] = np.where(new, 0, part.codes)
            own[missing] = 0.0
        x[missing] = 0.0
        if self.joint is None:
            h = (np.linalg.solve(self.RX.T, x.T) ** 2).sum(axis=0)
        else:
            h = self.joint(x, codes, z)
        h = self.sigma**2 * (h + extra)
        h[missing] = np.nan
        return h
