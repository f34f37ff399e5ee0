"""Tables of tests: data frames that print under R's heading."""

import pandas as pd

from fastlmm_hlm.report.coefmat import anova_text, coefmat_columns, printcoefmat, significance_star
from fastlmm_hlm.report.html import table_html

TEST_STATISTICS = ("F value", "Chisq")


class _HeadedTable(pd.DataFrame):
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

    def _repr_html_(self):
        has_pvalue = str(self.columns[-1]).startswith(("Pr(", "p."))
        names, columns, _ = coefmat_columns(self, 5, signif_stars=False, has_pvalue=has_pvalue, cs_ind=(),
                                            tst_ind=self.tested, na_print="")
        if has_pvalue:
            names = [*names, ""]
            columns = [*columns, [significance_star(p) for p in self.iloc[:, -1]]]
        caption = " ".join(line.strip() for line in self.heading if line.strip())
        return table_html(names, list(zip(*columns)), caption, [str(name) for name in self.index])


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

    def __str__(self):
        above = "".join(f"{line}\n" for line in self.heading)
        return above + printcoefmat(self, tst_ind=self.tested, has_pvalue=True, na_print="")

    __repr__ = __str__
