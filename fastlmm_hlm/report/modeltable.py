"""ModelTable: regressions side by side, shown and saved in any format."""

import pathlib

import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.regressions import numbers_of_regressions, sheet_of_regressions
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.latex import sheet_latex
from fastlmm_hlm.report.sheet.markdown import sheet_markdown
from fastlmm_hlm.report.sheet.text import sheet_text

FORMATS = ("text", "html", "latex", "markdown", "frame")
SUFFIXES = {
    ".txt": "text", ".html": "html", ".htm": "html", ".tex": "latex", ".md": "markdown", ".csv": "csv", ".docx": "word",
}


class ModelTable:
    """Several models side by side: what `model_table` returns.

    Prints as text (or as the format it was made for), shows as HTML in a notebook.

    Attributes
    ----------
    sheet : Sheet
        The words.
    models : list of Regression
        The numbers.
    format : str
    """

    def __init__(self, models, statistics, stars, digits, labels, title, notes, format):
        self.models, self.format = models, format
        self._statistics, self._labels = statistics, labels
        self.sheet = sheet_of_regressions(models, statistics, stars, digits, labels, title, notes)

    def to_text(self):
        """The table as text, lines ending in a newline."""
        return sheet_text(self.sheet)

    def to_html(self):
        """The table as one HTML ``<table>``, without style sheets or colours."""
        return sheet_html(self.sheet, ruled=True)

    def to_latex(self, label=None, floating=True):
        """The table as LaTeX for ``\\usepackage{booktabs}``.

        Parameters
        ----------
        label : str, optional
            For ``\\ref``.
        floating : bool
            A table environment with the title as its caption, or the tabular alone.
        """
        return sheet_latex(self.sheet, label, floating)

    def to_markdown(self):
        """The table as a pipe table."""
        return sheet_markdown(self.sheet)

    def to_frame(self):
        """The numbers behind the words, unrounded.

        Returns
        -------
        DataFrame
            Rows by part ("coefficients", "random effects", "fit"), term and statistic; a column
            for each model, NaN where it has no such number.
        """
        rows = numbers_of_regressions(self.models, self._statistics, self._labels)
        index = pd.MultiIndex.from_tuples([(r.part, r.term, r.statistic) for r in rows], names=["part", "term", "statistic"])
        return pd.DataFrame([r.values for r in rows], index=index, columns=[m.name for m in self.models], dtype=float)

    def to_csv(self):
        """The words as comma-separated values, with the names of the models above."""
        words = [[name, *(cell.text + cell.mark for cell in cells)] for name, cells in self.sheet.rows()]
        return pd.DataFrame([*self.sheet.header, *words]).to_csv(index=False, header=False, lineterminator="\n")

    def save(self, path):
        """Write the table to a file; the end of its name decides how.

        Parameters
        ----------
        path : str or path
            Ending in .txt, .html, .tex, .md, .csv or .docx (Word; needs the package python-docx).

        Raises
        ------
        ArgumentError
            For another ending, or without python-docx.
        """
        path = pathlib.Path(path)
        kind = SUFFIXES.get(path.suffix.lower())
        if kind is None:
            raise ArgumentError(
                f"model_table.save: {path.name!r} ends in {path.suffix!r}; use one of {', '.join(SUFFIXES)}."
            )
        if kind == "word":
            from fastlmm_hlm.report.sheet.word import save_word

            save_word(self.sheet, path)
            return
        text = self._page() if kind == "html" else getattr(self, f"to_{kind}")()
        path.write_text(text, encoding="utf-8", newline="\n")

    def _page(self):
        """A whole HTML page, which follows the reader's choice of light or dark."""
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                '<meta name="color-scheme" content="light dark">\n'
                f"<title>Models</title>\n</head>\n<body>\n{self.to_html()}</body>\n</html>\n")

    def __str__(self):
        return getattr(self, f"to_{self.format}")()

    __repr__ = __str__

    def _repr_html_(self):
        return self.to_html()
