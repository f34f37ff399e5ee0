"""The likelihood of a fit and the numbers that go with it."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import FastlmmWarning, warn_user
from fastlmm_hlm.inference.vcov import LogLik
from fastlmm_hlm.model.fitting import checked_templates


class Count(int):
    """A number that may also be called, so that fit.nobs and fit.nobs() agree."""

    def __call__(self):
        return int(self)


class Likelihood:
    """What a fit says of its likelihood, as methods."""

    def isREML(self):  # noqa: N802
        """Whether the fit maximizes the restricted likelihood."""
        return self._estimates.reml

    def isLMM(self):  # noqa: N802
        """True."""
        return True

    def isGLMM(self):  # noqa: N802
        """False."""
        return False

    @property
    def npar(self):
        """Number of parameters (fixed effects, covariance parameters, sigma)."""
        return self._estimates.p + sum(t.covariance.size for t in self._terms) + 1

    def logLik(self, REML=None):  # noqa: N802, N803
        """Log-likelihood with ``.df`` and ``.nobs``; the restricted one for REML fits.

        Parameters
        ----------
        REML : bool, optional
            Evaluate the other likelihood at the estimates.
        """
        reml = self._estimates.reml if REML is None else bool(REML)
        return LogLik(-0.5 * self._estimates.profiled(reml), self.npar, self._estimates.n)

    def deviance(self, REML=None):  # noqa: N803
        """-2 log-likelihood; for a REML fit say which with REML=."""
        if REML is None and self._estimates.reml:
            warn_user(
                "deviance() of a REML fit: use REMLcrit() for the REML criterion or deviance(REML=False) for the "
                "deviance at the REML estimates; giving the REML criterion",
                FastlmmWarning,
            )
        return self._estimates.profiled(self._estimates.reml if REML is None else bool(REML))

    def REMLcrit(self):  # noqa: N802
        """REML criterion at convergence (of an ML fit: evaluated at its estimates)."""
        return self._estimates.profiled(True)

    def AIC(self, k=2.0):  # noqa: N802
        """-2 logLik + k npar."""
        return -2.0 * float(self.logLik()) + k * self.npar

    def BIC(self):  # noqa: N802
        """-2 logLik + log(n) npar."""
        return self.AIC(np.log(self._estimates.n))

    def sigma(self):
        """Residual standard deviation."""
        return self._estimates.sigma

    def df_residual(self):
        """n - npar."""
        return self._estimates.n - self.npar

    @property
    def nobs(self):
        """Rows used."""
        return Count(self._estimates.n)

    def ngrps(self):
        """Levels by grouping factor, Series of int."""
        return pd.Series({name: len(levels) for name, levels, _ in self._factor_labels}, dtype=int, name="ngrps")

    @property
    def theta(self):
        """Relative covariance parameters in lme4's order and sign, ndarray."""
        return self._estimates.theta.copy()

    def devfun(self):
        """The criterion as a function of theta (lme4's devFunOnly)."""
        criterion = self._criterion
        sizes = [len(t.names) for t in self._terms]
        return lambda theta: criterion.evaluate_templates(checked_templates(theta, sizes, "devfun"))[3]
