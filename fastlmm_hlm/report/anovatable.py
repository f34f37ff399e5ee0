"""Tables of tests: data frames that print under R's heading."""

import pandas as pd

from fastlmm_hlm.report.coefmat import LEGEND, anova_roles, anova_text, coefmat_columns, printcoefmat
from fastlmm_hlm.report.sheet.outputs import SheetOutputs
from fastlmm_hlm.report.sheet.sheet import sheet_of

TEST_STATISTICS = ("F value", "Chisq")


class _HeadedTable(SheetOutputs, pd.DataFrame):
    """A data frame with lines above it; a selection of it is an ordinary DataFrame."""

    _metadata = ["heading", "tested"]

    @classmethod
    def _with(cls, frame, heading, tested):
        table = cls(frame)
        table.heading, table.tested = list(heading), list(tested)
        return table

    @property
    def _constructor(self):
        return pd.DataFrame

    def _sheet(self):
        """The printed words as a sheet."""
        return coefficients_sheet(self, "\n".join(line.strip() for line in self.heading if line.strip()), **self._roles())


class AnovaTable(_HeadedTable):
    """A table of tests with R's column names, printed as R prints an anova.

    Attributes
    ----------
    heading : list of str
        Lines above the table.
    """

    @classmethod
    def make(cls, columns, index, heading):
        """The table of some columns under a heading.

        Parameters
        ----------
        columns : dict of str to sequence
        index : sequence of str
        heading : list of str
        """
        tested = [j for j, name in enumerate(columns) if name in TEST_STATISTICS]
        return cls._with(pd.DataFrame(columns, index=pd.Index(index, dtype=object)), heading, tested)

    def _roles(self):
        return anova_roles(self)

    def __str__(self):
        return anova_text(self, self.heading)

    __repr__ = __str__


class CoefficientTable(_HeadedTable):
    """A table of tests printed as R's printCoefmat prints it.

    Attributes
    ----------
    heading : list of str
    tested : list of int
        Columns of test statistics.
    """

    @classmethod
    def make(cls, frame, heading, tested):
        """A data frame under a heading."""
        return cls._with(frame, heading, tested)

    def _roles(self):
        return {"tst_ind": self.tested, "has_pvalue": True, "na_print": ""}

    def __str__(self):
        above = "".join(f"{line}\n" for line in self.heading)
        return above + printcoefmat(self, **self._roles())

    __repr__ = __str__


def coefficients_sheet(frame, title=None, digits=5, **roles):
    """A table of coefficients or tests as a sheet, with the legend of the stars below.

    Parameters
    ----------
    frame : DataFrame
    title : str, optional
    digits : int
    **roles
        As for `coefmat_columns`.

    Returns
    -------
    Sheet
    """
    if not frame.shape[1]:
        return sheet_of([], [], [str(name) for name in frame.index], [], title)
    names, columns, starred = coefmat_columns(frame, digits, **roles)
    align = ["r"] * (len(names) - starred) + ["l"] * starred
    notes = [LEGEND.strip("-\n")] if starred else []
    return sheet_of(columns, names, [str(name) for name in frame.index], align, title or None, notes)
