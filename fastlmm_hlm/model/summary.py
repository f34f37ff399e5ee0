"""The summary of a fit: DataFrames that also print as R does."""

from dataclasses import dataclass, replace

import pandas as pd

from fastlmm_hlm.report.anovatable import coefficients_sheet
from fastlmm_hlm.report.html import summary_html
from fastlmm_hlm.report.parts import SummaryParts
from fastlmm_hlm.report.sheet.latex import sheet_latex
from fastlmm_hlm.report.sheet.markdown import sheet_markdown
from fastlmm_hlm.report.tables import DIGITS, summary_text
from fastlmm_hlm.report.varcorr import varcorr_sheet


@dataclass(frozen=True)
class Summary:
    """What `summary(fit)` returns.

    Attributes
    ----------
    coefficients : DataFrame (p, 5)
        Estimate, Std. Error, df, t value, Pr(>|t|); without df and p-values for ddf="lme4".
    varcor : VarCorr
    vcov : DataFrame (p, p)
    sigma : float
    ngrps : Series
    residuals : Series
        Quantiles of the scaled residuals.
    logLik : LogLik
    AICtab : Series
        REML criterion, or AIC, BIC, logLik, deviance, df.resid.
    optinfo : dict
    parts : SummaryParts
        What is printed.
    """

    coefficients: pd.DataFrame
    varcor: object
    vcov: pd.DataFrame
    sigma: float
    ngrps: pd.Series
    residuals: pd.Series
    logLik: float
    AICtab: pd.Series
    optinfo: dict
    parts: SummaryParts

    def __str__(self):
        return summary_text(self.parts)

    __repr__ = __str__

    def _repr_html_(self):
        return summary_html(self.parts)

    def _sheets(self):
        """Fixed effects and random effects as sheets, the formula above the first and the rows below the second."""
        title = f"{self.parts.summary_title()}: {self.parts.formula}"
        groups = "; ".join(f"{name}, {int(count)}" for name, count in self.ngrps.items())
        notes = [f"Number of obs: {int(self.parts.nobs)}, groups: {groups}"]
        fixed = [coefficients_sheet(self.coefficients, title, DIGITS)] if len(self.coefficients) else []
        return [*fixed, varcorr_sheet(self.parts.varcorr, self.parts.sigma, ("Variance", "Std.Dev."), DIGITS, "Random effects", notes)]

    def to_latex(self):
        """Coefficients and variance components as two LaTeX tables for ``\\usepackage{booktabs}``."""
        return "\n".join(sheet_latex(sheet) for sheet in self._sheets())

    def to_markdown(self):
        """Coefficients and variance components as two pipe tables."""
        return "\n".join(sheet_markdown(sheet) for sheet in self._sheets())

    def with_correlation(self, show):
        """The same summary with the table of correlations shown or not."""
        return replace(self, parts=replace(self.parts, show_correlation=show))


def rows_left_out(dropped, missing):
    """What the summary says about rows that were not used, or None.

    Parameters
    ----------
    dropped : dict reason -> rows
    missing : dict variable -> rows in which it is missing
    """
    total = sum(dropped.values())
    if not total:
        return None
    reasons = []
    for reason, count in dropped.items():
        if count and reason == "missing values":
            where = ", ".join(f"{name} {k}" for name, k in missing.items())
            reasons.append(f"{count} with missing values ({where})" if where else f"{count} with missing values")
        elif count:
            reasons.append(f"{count} by {reason}")
    return f"{total} row{'s' if total > 1 else ''} left out: {'; '.join(reasons)}"
