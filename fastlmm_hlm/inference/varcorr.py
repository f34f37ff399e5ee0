"""Variance components: covariance matrix of the random effects, term by term."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.report.html import varcorr_html
from fastlmm_hlm.report.parts import VarCorrTerm
from fastlmm_hlm.report.varcorr import correlations, varcorr_text


class CovarianceFrame(pd.DataFrame):
    """Covariance matrix of one term, with R's attributes ``stddev`` and ``correlation``."""

    @property
    def _constructor(self):
        return pd.DataFrame

    @property
    def stddev(self):
        """Standard deviations, Series of length c."""
        return pd.Series(np.sqrt(np.diagonal(self.to_numpy())), index=self.index, name="stddev")

    @property
    def correlation(self):
        """Correlation matrix, DataFrame (c, c)."""
        return pd.DataFrame(correlations(self.to_numpy()), index=self.index, columns=self.columns)


class VarCorr(Mapping):
    """Covariances of the random effects by term, printed as in R.

    A mapping from the term's name ("Subject", "Subject.1", ...) to a DataFrame
    (c, c) that also has ``.stddev`` and ``.correlation``.

    Attributes
    ----------
    sc : float
        Residual standard deviation.
    stddev : dict of Series
    correlation : dict of DataFrame
    """

    def __init__(self, names, columns, covariances, sigma, correlated):
        self._frames = {
            name: CovarianceFrame(S, index=list(c), columns=list(c)) for name, c, S in zip(names, columns, covariances)
        }
        self._correlated = dict(zip(names, correlated))
        self.sc = float(sigma)

    def __getitem__(self, name):
        try:
            return self._frames[name]
        except KeyError:
            raise UnknownNameError(
                f"VarCorr: no random-effects term is called {name!r}; there are {', '.join(self._frames)}."
            ) from None

    def __iter__(self):
        return iter(self._frames)

    def __len__(self):
        return len(self._frames)

    @property
    def stddev(self):
        return {name: frame.stddev for name, frame in self._frames.items()}

    @property
    def correlation(self):
        return {name: frame.correlation for name, frame in self._frames.items()}

    def parts(self):
        """What the printed tables need: list of VarCorrTerm."""
        return [
            VarCorrTerm(name, list(frame.columns), frame.to_numpy(), self._correlated[name])
            for name, frame in self._frames.items()
        ]

    def to_frame(self, order="cov.last"):
        """R's as.data.frame(VarCorr(fit)): columns grp, var1, var2, vcov, sdcor.

        Parameters
        ----------
        order : {"cov.last", "lower.tri"}
            Variances of a term before its covariances, or the lower triangle
            column by column.
        """
        if order not in ("cov.last", "lower.tri"):
            raise ArgumentError(f"VarCorr.to_frame: order = {order!r}; use 'cov.last' or 'lower.tri'.")
        rows = []
        for name, frame in self._frames.items():
            S, R, labels = frame.to_numpy(), frame.correlation.to_numpy(), list(frame.columns)
            c = len(labels)
            variances = [(name, labels[i], None, S[i, i], np.sqrt(S[i, i])) for i in range(c)]
            covariances = {
                (i, j): (name, labels[j], labels[i], S[i, j], R[i, j]) for j in range(c) for i in range(j + 1, c)
            }
            if not self._correlated[name]:
                covariances = {}
            if order == "cov.last":
                rows += variances + list(covariances.values())
            else:
                for j in range(c):
                    rows.append(variances[j])
                    rows += [covariances[i, j] for i in range(j + 1, c) if (i, j) in covariances]
        rows.append(("Residual", None, None, self.sc**2, self.sc))
        columns = dict(zip(["grp", "var1", "var2", "vcov", "sdcor"], zip(*rows)))
        words = {name: pd.Series(columns[name], dtype=object) for name in ("grp", "var1", "var2")}
        return pd.DataFrame({**words, "vcov": columns["vcov"], "sdcor": columns["sdcor"]})

    def __str__(self):
        return varcorr_text(self.parts(), self.sc)

    __repr__ = __str__

    def _repr_html_(self):
        return varcorr_html(self.parts(), self.sc)
