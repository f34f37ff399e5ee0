"""Results with one entry per row: fitted values, residuals, weights, model matrices."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.model import rows as rowwise


class RowResults:
    """What a fit says of its rows, as methods; all need the rows."""

    def _linear_predictor(self, with_random=True):
        design = self._rows_or_raise("fitted").design
        return rowwise.linear_predictor(design, self._estimates.beta, self._estimates.b if with_random else None)

    def _residual_quantiles(self):
        if self._quantiles is None:
            r = rowwise.residuals(self._rows_or_raise("summary").design, self._linear_predictor(),
                                  self._estimates.sigma, "pearson", True)
            self._quantiles = np.quantile(r, [0, 0.25, 0.5, 0.75, 1])
        return self._quantiles

    def fitted(self):
        """Fitted values, fixed and random part, Series aligned with the data."""
        return self._rows_or_raise("fitted").series(self._linear_predictor(), "fitted")

    def residuals(self, type="response", scaled=False):
        """Residuals, Series aligned with the data.

        Parameters
        ----------
        type : {"response", "pearson", "deviance", "working"}
            Pearson and deviance residuals are response residuals times the root
            of the prior weight.
        scaled : bool
            Divide by sigma.
        """
        rows = self._rows_or_raise("residuals")
        values = rowwise.residuals(rows.design, self._linear_predictor(), self._estimates.sigma, type, scaled)
        return rows.series(values, "residuals")

    def weights(self):
        """Prior weights, Series aligned with the data (ones without weights)."""
        rows = self._rows_or_raise("weights")
        w = np.ones(self._estimates.n) if rows.design.weights is None else rows.design.weights
        return rows.series(w, "weights")

    def model_matrix(self, type="fixed"):
        """X as a DataFrame ("fixed"), Z as a sparse array ("random"), or its blocks ("randomListRaw")."""
        rows = self._rows_or_raise("model_matrix")
        if type == "fixed":
            return pd.DataFrame(rows.design.X, index=rows.index, columns=self._x_names)
        if type == "random":
            return rowwise.random_model_matrix(rows.design)[0]
        if type == "randomListRaw":
            return dict(zip([t.text for t in self._terms], rowwise.random_model_matrix(rows.design)[1]))
        raise ArgumentError(f"model_matrix: type = {type!r}; use 'fixed', 'random' or 'randomListRaw'.")
