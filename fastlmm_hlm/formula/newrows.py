"""New data under the recipes of a fit, some rows at a time.

What a column is, and which level of the fit each of its levels is, is found
out once for the whole data; matrices are made of blocks of rows, so that
nothing but level codes of interactions is as long as the data.
"""
from dataclasses import dataclass, replace


from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import GroupMatcher, unmatched_levels
from fastlmm_hlm.formula.kinds import Column
from fastlmm_hlm.formula.rows import as_numbers
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.values import missing_rows


class ColumnsOfRows:
    """Some rows of the columns of a data set; an Evaluator takes it for the data.

    Parameters
    ----------
    source : DataColumns
    rows : slice
    """

    def __init__(self, source, rows):
        self.source, self.rows = source, rows
        self.n = len(range(*rows.indices(source.n)))

    def __contains__(self, name):
        return name in self.source

    def check(self, names, role="the formula"):
        """As `DataColumns.check`."""
        self.source.check(names, role)

    def column(self, name):
        """The rows of one column; text as codes of the levels of the whole column."""
        whole, rows = self.source.column(name), self.rows
        if whole.kind == "text":
            codes, levels = whole.numbered
            return Column(name, "text", codes[rows], levels=levels)
        missing = None if whole.missing is None else whole.missing[rows]
        return replace(whole, values=whole.values[rows], missing=missing, own=None if whole.own is None else whole.own[rows])


@dataclass(frozen=True)
class BlockOfRows:
    """The matrices of some rows.

    Attributes
    ----------
    n : int
    x_columns : list of (ndarray of float64, shape (n,), or None)
        All columns of the recipe; empty where they are not wanted.
    z_columns : list of such lists, one per random term that is wanted
    codes : list of ndarray of int32, shape (n,), likewise
        -1 for a level that the fit did not see, or a missing one.
    offset : ndarray, shape (n,), or None
    """

    n: int
    x_columns: list
    z_columns: list
    codes: list
    offset: object


class NewRows:
    """New data for a fitted formula.

    Parameters
    ----------
    spec : DesignSpec
    newdata : data frame or mapping
    terms : sequence of int
        Random terms that are wanted, positions in ``spec.random_terms``.
    fixed : bool
        Whether the fixed part and the offset are wanted.
    offset : bool
        False where the offset comes from elsewhere.
    caller : str
        Whose name an error bears.

    Raises
    ------
    DataError
        If the data are no table, or have no rows.
    UnknownColumnError
        If a column is missing.
    """

    def __init__(self, spec, newdata, terms=(), fixed=True, caller="predict", offset=True):
        try:
            self.source = DataColumns(newdata)
        except FastlmmError as error:
            raise type(error)(f"{caller}: newdata cannot be used: {error}") from None
        self.n, self.index = self.source.n, self.source.index
        if self.n == 0:
            raise DataError(f"{caller}: newdata has 0 rows; give at least one.")
        if fixed and offset:
            spec.refuse_vector_offset()
        self.spec, self.fixed, self.caller = spec, fixed, caller
        self.offset_nodes = spec.offset_nodes if fixed and offset else ()
        self.random = [spec.random_terms[i] for i in terms]
        self._read_columns()
        whole, self.matchers = self.whole(), {}
        for term in self.random:
            name = deparse(term.group_node)
            if name not in self.matchers:
                self.matchers[name] = GroupMatcher(term.group_node, whole, term.levels)

    def _read_columns(self):
        """Read each column once, before threads ask for it."""
        nodes = [node for recipe in self._recipes() for node in recipe.variables()]
        nodes += self.offset_nodes
        groups = [part for term in self.random for part in group_components(term.group_node)]
        for name in dict.fromkeys(name for node in [*nodes, *groups] for name in column_names(node)):
            if name in self.source or name not in ("T", "F", "pi"):
                self.source.check([name], role="the model")
                column = self.source.column(name)
                if column.kind == "text":
                    column.numbered  # noqa: B018 - computed now and kept

    def missing_columns(self):
        """Names of the columns of the predictors in which some value is missing."""
        nodes = [node for recipe in self._recipes() for node in recipe.variables()]
        names = dict.fromkeys(name for node in nodes for name in column_names(node) if name in self.source)
        return [name for name in names if missing_rows(self.whole().column(Name(name))).any()]

    def _recipes(self):
        return [*([self.spec.fixed_recipe] if self.fixed else []), *(term.recipe for term in self.random)]

    def whole(self):
        """An evaluator over all rows."""
        return Evaluator(self.source, state=self.spec.state, levels=self.spec.levels)

    def block(self, rows):
        """The matrices of some rows.

        Parameters
        ----------
        rows : slice

        Returns
        -------
        BlockOfRows

        Raises
        ------
        DataError
            For a level of a fixed factor that the fit did not see, or another kind of value.
        """
        try:
            return self._block(Evaluator(ColumnsOfRows(self.source, rows), state=self.spec.state, levels=self.spec.levels), rows)
        except FastlmmError:
            if self.n > len(range(*rows.indices(self.n))):
                self._block(self.whole(), slice(0, self.n))        # its message counts all rows
            raise

    def _block(self, evaluator, rows):
        n = evaluator.n
        x = self.spec.fixed_recipe.columns_of(evaluator) if self.fixed else []
        codes = {name: matcher.codes(rows) for name, matcher in self.matchers.items()}
        return BlockOfRows(
            n, x, [term.recipe.columns_of(evaluator) for term in self.random],
            [codes[deparse(term.group_node)] for term in self.random], self._offset(evaluator),
        )

    def _offset(self, evaluator):
        total = None
        for node in self.offset_nodes:
            part = as_numbers(evaluator.variable(node, asker="the model"), "offset", f"offset({deparse(node)})")
            total = part if total is None else total + part
        return total

    def refuse_unknown(self):
        """Refuse levels of the wanted grouping factors that the fit did not see, and missing ones.

        Raises
        ------
        DataError
            Naming them.
        """
        for term in self.random:
            new, missing = unmatched_levels(term.group_node, self.whole(), term.levels)
            if new or missing:
                self._refuse(deparse(term.group_node), new, missing)

    def _refuse(self, name, new, missing):
        if self.caller == "predict":
            hint = "allow_new_levels=True takes their effects as zero, and re_form='NA' leaves all random effects out"
        else:
            hint = "allow_new_levels=True draws their effects from the model"
        if new:
            shown = ", ".join(new[:10]) + (f" and {len(new) - 10} more" if len(new) > 10 else "")
            raise DataError(
                f"{self.caller}: newdata has the level{'s' if len(new) > 1 else ''} {shown} of the grouping factor {name}, which "
                f"the fit did not see; {hint}."
            )
        raise DataError(
            f"{self.caller}: the grouping factor {name} is missing in {missing} row{'s' if missing > 1 else ''} of newdata; "
            f"leave these rows out, or {hint}."
        )
