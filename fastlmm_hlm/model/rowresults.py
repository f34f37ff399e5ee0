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
        if self._quantiles is None and self._rows is None and self._source is not None:
            from fastlmm_hlm.model.streaming import residual_quantiles

            self._quantiles = residual_quantiles(self)
        if self._quantiles is None and self._rows is None and self._plan is not None:
            return None                       # made from a function, which no pickle holds
        if self._quantiles is None:
            from fastlmm_hlm.inference.residuals import residuals_of

            r = residuals_of(self, "pearson", scaled=True, caller="summary")
            self._quantiles = np.quantile(r, [0, 0.25, 0.5, 0.75, 1])
        return self._quantiles

    def fitted(self):
        """Fitted values, fixed and random part, Series aligned with the data."""
        return self._rows_or_raise("fitted").series(self._linear_predictor(), "fitted")

    def residuals(self, type="response", scaled=False, level="conditional"):
        """Residuals, Series aligned with the data.

        Parameters
        ----------
        type : str
            lme4's "response", "pearson", "deviance" and "working": pearson and deviance
            residuals are response residuals times the root of the prior weight.

            "standardized": divided by their own standard deviation, which is
            sigma sqrt((1 - leverage) / weight) for conditional residuals and the root of the
            diagonal of V - X (X'V^-1 X)^-1 X' for marginal ones (Singer et al. 2017); NaN for a row
            that the model reproduces whatever its response.

            "cholesky", "symmetric": marginal residuals decorrelated by V^-1/2, with the lower triangular
            or the symmetric root, so that they are independent and of variance 1 under the model but
            for the estimation of beta; see `fastlmm_hlm.inference.decorrelate` for their order and cost.
        scaled : bool
            Divide by sigma.
        level : {"conditional", "marginal"}
            Whether the random effects are taken out: y - offset - X beta - Z b, or
            y - offset - X beta (nlme's level 0).
        """
        from fastlmm_hlm.inference.residuals import residuals_of

        return self._rows_or_raise("residuals").series(residuals_of(self, type, scaled, level), "residuals")

    def stream(self, what="fitted", *, out, **options):
        """Write fitted values, residuals or predictions of a fit from a source to a Parquet file; see `model.streaming.stream`."""
        from fastlmm_hlm.model.streaming import stream

        return stream(self, what, out=out, **options)

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
