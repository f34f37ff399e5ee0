"""Least squares means, printed as lmerTest prints them."""

import pandas as pd

from fastlmm_hlm.report.anovatable import coefficients_sheet
from fastlmm_hlm.report.coefmat import printcoefmat
from fastlmm_hlm.report.sheet.outputs import SheetOutputs

COLUMNS = ["Estimate", "Std. Error", "df", "t value", "lower", "upper", "Pr(>|t|)"]
TITLE = "Least Squares Means table:"
ROLES = {"cs_ind": [0, 1, 4, 5], "tst_ind": [3], "has_pvalue": True}


class LsMeans(SheetOutputs, pd.DataFrame):
    """Least squares means or their differences; a selection of rows or columns is an ordinary DataFrame.

    Attributes
    ----------
    terms, levels : list of str
        Of each row: the term, and the levels without the names of the factors.
    level : float
    ddf : str
    hypotheses : dict of str to DataFrame
        The weights of the coefficients behind each row, by term.
    """

    _metadata = ["terms", "levels", "level", "ddf", "hypotheses"]

    @property
    def _constructor(self):
        return pd.DataFrame

    @classmethod
    def make(cls, frame, **attributes):
        """A data frame with `COLUMNS` and the attributes."""
        table = cls(frame)
        for name, value in attributes.items():
            object.__setattr__(table, name, value)
        return table

    def to_frame(self):
        """R's as.data.frame: the columns term and levels first."""
        frame = pd.DataFrame(self)
        frame.insert(0, "term", self.terms)
        frame.insert(1, "levels", self.levels)
        return frame

    def _shown(self):
        """As a plain frame, degrees of freedom with one decimal."""
        return pd.DataFrame(self).assign(df=self["df"].round(1))

    def _notes(self):
        return [f"Confidence level: {100 * self.level:g}%", f"Degrees of freedom method: {self.ddf}"]

    def __str__(self):
        level, method = self._notes()
        if len(self):
            table = printcoefmat(self._shown(), **ROLES)
        else:
            table = "     " + " ".join(COLUMNS) + "\n"
        return f"{TITLE}\n\n{table}\n  {level}\n  {method} \n"

    __repr__ = __str__

    def _sheet(self):
        made = coefficients_sheet(self._shown(), TITLE.rstrip(":"), **ROLES)
        made.notes.extend(self._notes())
        return made
