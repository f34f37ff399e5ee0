"""Names under which other packages look for results: statsmodels' attributes, maketables' questions."""


class ForeignNames:
    """A fit under the names of statsmodels and maketables."""

    @property
    def params(self):
        """Fixed-effects estimates."""
        return self.fixef()

    @property
    def fittedvalues(self):
        """Fitted values."""
        return self.fitted()

    @property
    def resid(self):
        """Response residuals."""
        return self.residuals()

    @property
    def df_resid(self):
        """n - npar."""
        return self.df_residual()

    @property
    def bse(self):
        """Standard errors of the fixed effects, Series."""
        return self._coefficient_table()["Std. Error"].rename("bse")

    @property
    def tvalues(self):
        """Estimates over standard errors, Series."""
        return self._coefficient_table()["t value"].rename("tvalues")

    @property
    def pvalues(self):
        """p-values of the coefficients' t-tests with Satterthwaite's degrees of freedom, Series."""
        return self._t_table()["Pr(>|t|)"].rename("pvalues")

    def conf_int(self, alpha=0.05):
        """Limits estimate -/+ t se with Satterthwaite's degrees of freedom, DataFrame with columns 0 and 1.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        """
        from fastlmm_hlm.inference.contest import check_level

        check_level(1.0 - alpha if isinstance(alpha, (int, float)) else alpha, "conf_int")
        limits = self._t_table(confint=True, level=1.0 - alpha)[["lower", "upper"]]
        return limits.set_axis([0, 1], axis=1)

    @property
    def llf(self):
        """Log-likelihood."""
        return float(self.logLik())

    @property
    def aic(self):
        """AIC."""
        return self.AIC()

    @property
    def bic(self):
        """BIC."""
        return self.BIC()

    def cov_params(self):
        """Covariance matrix of the fixed-effects estimates."""
        return self.vcov()

    # --- maketables -----------------------------------------------------------------

    @property
    def __maketables_coef_table__(self):
        return _maketables().coefficient_table(self)

    @property
    def __maketables_depvar__(self):
        return _maketables().response(self)

    @property
    def __maketables_default_stat_keys__(self):
        return _maketables().default_statistics(self)

    @property
    def __maketables_stat_labels__(self):
        return _maketables().statistic_labels(self)

    def __maketables_stat__(self, key):
        return _maketables().statistic(self, key)


def _maketables():
    """What answers the package maketables."""
    from fastlmm_hlm.interop import maketables

    return maketables
