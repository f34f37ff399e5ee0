"""Tables of tests: data frames that print under R's heading."""

import pandas as pd

from fastlmm_hlm.report.coefmat import anova_text, coefmat_columns, significance_star
from fastlmm_hlm.report.html import table_html


class AnovaTable(pd.DataFrame):
    """A table of tests with R's column names that prints as R prints it.

    A selection of rows or columns is an ordinary DataFrame.

    Attributes
    ----------
    heading : list of str
        Lines above the table.
    """

    _metadata = ["heading"]

    @classmethod
    def make(cls, columns, index, heading):
        """The table of some columns under a heading.

        Parameters
        ----------
        columns : dict of str to sequence
        index : sequence of str
        heading : list of str
        """
        table = cls(columns, index=pd.Index(index, dtype=object))
        table.heading = list(heading)
        return table

    @property
    def _constructor(self):
        return pd.DataFrame

    def __str__(self):
        return anova_text(self, getattr(self, "heading", ()))

    __repr__ = __str__

    def _repr_html_(self):
        names = [str(name) for name in self.columns]
        statistics = [j for j, name in enumerate(names) if name in ("F value", "Chisq")]
        has_pvalue = names[-1].startswith("Pr(")
        words, columns, _ = coefmat_columns(self, 5, signif_stars=False, has_pvalue=has_pvalue, cs_ind=(),
                                            tst_ind=statistics, na_print="")
        if has_pvalue:
            words = [*words, ""]
            columns = [*columns, [significance_star(p) for p in self.iloc[:, -1]]]
        caption = " ".join(line.strip() for line in getattr(self, "heading", ()) if line.strip())
        return table_html(words, list(zip(*columns)), caption, [str(name) for name in self.index])
