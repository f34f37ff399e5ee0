"""LaTeX, Markdown and HTML of what can say its words as one sheet."""

from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.latex import sheet_latex
from fastlmm_hlm.report.sheet.markdown import sheet_markdown


class SheetOutputs:
    """Methods of a printed table with a ``_sheet()``; stands before `pandas.DataFrame` among the bases."""

    def to_latex(self, label=None, floating=True):
        """The printed table as LaTeX for ``\\usepackage{booktabs}``; see `ModelTable.to_latex`."""
        return sheet_latex(self._sheet(), label, floating)

    def to_markdown(self):
        """The printed table as a pipe table."""
        return sheet_markdown(self._sheet())

    def _repr_html_(self):
        return sheet_html(self._sheet())
