"""The design of a model without its rows: enough to make the matrices of new data."""
from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import match_groups
from fastlmm_hlm.formula.rows import as_numbers


@dataclass
class RandomTermSpec:
    """One random term without its rows.

    Attributes
    ----------
    group_node : Node
    levels : pandas.Index
    recipe : MatrixRecipe
    """

    group_node: object
    levels: object
    recipe: object


@dataclass
class DesignSpec:
    """Makes the matrices of a fitted formula from new data.

    Attributes
    ----------
    formula : Formula
    variables : list of str
        Columns of the data that the model uses, response and arguments included.
    fixed_recipe : MatrixRecipe
    random_terms : list of RandomTermSpec
        In the order of ModelFrame.random.
    offset_nodes : tuple of Node
        Expressions whose sum is the offset.
    offset_is_vector : bool
        Whether an offset was given as a vector, which new data cannot have.
    state, levels : dict
        What transforms and text columns learned from the rows of the fit.
    """

    formula: object
    variables: list
    fixed_recipe: object
    random_terms: list
    offset_nodes: tuple
    offset_is_vector: bool
    state: dict
    levels: dict

    def fixed(self, newdata):
        """Make the fixed-effects matrix of new data.

        Parameters
        ----------
        newdata : data frame

        Returns
        -------
        ndarray, shape (n, p)
            Rows with missing values are NaN.

        Raises
        ------
        UnknownColumnError
            If a column is missing.
        DataError
            For a level that the fit did not see.
        """
        return self._fixed(self._evaluator(newdata))

    def random(self, newdata, terms=None):
        """Make level codes and raw columns of the random terms of new data.

        Parameters
        ----------
        newdata : data frame
        terms : iterable of int, optional
            Positions in `random_terms`; all by default.

        Returns
        -------
        list of (codes, Z)
            codes (n,) int32, -1 for an unseen or missing level; Z (n, c),
            rows with missing values NaN.

        Raises
        ------
        UnknownColumnError, DataError
            As for `fixed`.
        """
        evaluator = self._evaluator(newdata)
        chosen = range(len(self.random_terms)) if terms is None else terms
        made = []
        for term in (self.random_terms[i] for i in chosen):
            codes = match_groups(term.group_node, evaluator, term.levels)
            made.append((codes, self._rebuild(term.recipe, evaluator)))
        return made

    def offset(self, newdata):
        """Make the offset of new data.

        Parameters
        ----------
        newdata : data frame

        Returns
        -------
        ndarray, shape (n,)
            Zeros if the model has no offset.

        Raises
        ------
        DataError
            If the fit's offset was a vector without a name in the data.
        """
        self.refuse_vector_offset()
        evaluator = self._evaluator(newdata)
        total = np.zeros(evaluator.n)
        for node in self.offset_nodes:
            total = total + as_numbers(evaluator.variable(node, asker="the model"), "offset", f"offset({deparse(node)})")
        return total

    def refuse_vector_offset(self):
        """Refuse new data where the fit's offset was a vector.

        Raises
        ------
        DataError
        """
        if self.offset_is_vector:
            raise DataError("the model was fitted with offset= as a vector, so the offset of new data is not known; fit it with offset= as a column name, or with offset(column) in the formula.")

    def _evaluator(self, newdata):
        return Evaluator(DataColumns(newdata), state=self.state, levels=self.levels)

    def _fixed(self, evaluator):
        return self._rebuild(self.fixed_recipe, evaluator)

    def _rebuild(self, recipe, evaluator):
        needed = {name for term in recipe.terms.terms for name in term}
        values = {name: evaluator.variable(recipe.terms.variables[name], asker="the model") for name in needed}
        return recipe.rebuild(values, evaluator.n)
