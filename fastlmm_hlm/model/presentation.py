"""How a fit shows itself: its formula, its printed text, its HTML, its summary."""

import numpy as np
import pandas as pd

from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.model.summary import Summary, rows_left_out
from fastlmm_hlm.report.html import summary_html
from fastlmm_hlm.report.parts import SummaryParts, lmm_title
from fastlmm_hlm.report.tables import fit_text


class FormulaText(str):
    """Formula text that may also be called, so that fit.formula and fit.formula() agree."""

    def __call__(self, fixed_only=False, random_only=False):
        parsed = parse_formula(str(self))
        if fixed_only:
            return parsed.fixed_text
        if random_only:
            return "~" + " + ".join(parsed.random_texts)
        return str(self)


class Presentation:
    """What a fit shows, as methods."""

    @property
    def formula(self):
        """The formula; callable, with fixed_only= and random_only=."""
        return FormulaText(self._formula_text)

    def _parts(self, table, ddf=None, with_residuals=True):
        e, settings = self._estimates, self._settings
        if e.reml:
            criterion = {"REML": e.criterion}
        else:
            criterion = {"AIC": self.AIC(), "BIC": self.BIC(), "logLik": float(self.logLik()),
                         "deviance": e.criterion, "df.resid": self.df_residual()}
        V = self.vcov().to_numpy()
        sd = np.sqrt(np.diagonal(V))
        failed = self.optinfo["status"] == "failed"
        return SummaryParts(
            formula=self._formula_text,
            varcorr=self.VarCorr().parts(),
            sigma=e.sigma,
            nobs=e.n,
            ngroups=self.ngrps().to_dict(),
            coefficients=table,
            criterion=criterion,
            title=lmm_title(e.reml, self._given, self._origin),
            given=self._given,
            ddf=ddf,
            class_name="lmerMod" if ddf is None else "lmerModLmerTest",
            data=self._data_name,
            weights=_argument_text(settings.weights) if self._weighted else None,
            offset=_argument_text(settings.offset),
            subset=_argument_text(settings.subset),
            control=None if settings.control == type(settings.control)() else repr(settings.control),
            residual_quantiles=self._residual_quantiles() if with_residuals else None,
            correlation=V / np.outer(sd, sd),
            left_out=rows_left_out(self._dropped, self._missing),
            fit_warnings=self._fit_warnings(),
            optimizer=self.optinfo["optimizer"],
            convergence_code=int(failed),
            convergence_message=self.optinfo["message"] or "not converged",
            messages=self._messages,
        )

    def _fit_warnings(self):
        from fastlmm_hlm.design.rank import rank_message

        return [rank_message(self._dropped_columns)] if self._dropped_columns else []

    def _coefficient_table(self):
        beta, se = self._estimates.beta, np.sqrt(np.diagonal(self.vcov().to_numpy()))
        return pd.DataFrame(
            {"Estimate": beta, "Std. Error": se, "t value": beta / se}, index=pd.Index(self._x_names)
        )

    def summary(self, correlation=None, ddf="Satterthwaite"):
        """Summary in lmerTest's layout, or in lme4's.

        Parameters
        ----------
        correlation : bool, optional
            Whether to print the correlations of the estimates; by default up to 12 of them.
        ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
            Method for the degrees of freedom of the t-tests; "lme4" leaves them out, with the p-values.

        Returns
        -------
        Summary
        """
        from fastlmm_hlm.inference.ddf import canonical_name, fit_for

        method = canonical_name(ddf, "summary")
        if fit_for(self, method) is not self:
            return fit_for(self, method).summary(correlation, method)
        table = self._coefficient_table() if method == "lme4" else self._t_table(method)
        parts = self._parts(table, None if method == "lme4" else method)
        quantiles = pd.Series(parts.residual_quantiles, dtype=float, index=["Min", "1Q", "Median", "3Q", "Max"])
        made = Summary(table, self.VarCorr(), self.vcov(), self._estimates.sigma, self.ngrps(), quantiles,
                       self.logLik(), pd.Series(parts.criterion), self.optinfo, parts)
        return made if correlation is None else made.with_correlation(correlation)

    def _t_table(self, ddf="Satterthwaite", **how):
        """t-tests of the coefficients, DataFrame."""
        from fastlmm_hlm.inference.contest import T_COLUMNS, t_table

        if not self._estimates.p:
            return pd.DataFrame(columns=T_COLUMNS, dtype=float)
        L = pd.DataFrame(np.eye(self._estimates.p), index=self._x_names)
        return t_table(self, L, 0.0, ddf=ddf, **how)

    def __str__(self):
        return fit_text(self._parts(self._coefficient_table(), with_residuals=False))

    __repr__ = __str__

    def _repr_html_(self):
        return summary_html(self._parts(self._coefficient_table()))


def _argument_text(value):
    """An argument as the printed call shows it."""
    if value is None:
        return None
    return value if isinstance(value, str) else f"(vector of length {len(value)})"
