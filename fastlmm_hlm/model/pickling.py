"""Copies and pickles of a fit, and the data given back to a pickle."""

import copy
from dataclasses import replace

import numpy as np

from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError
from fastlmm_hlm.model import rows as rowwise
from fastlmm_hlm.model.fitting import frame_of, with_changes

VECTORS = ("weights", "offset", "subset")
# Stands for an argument that was a vector and is not in the pickle.
NOT_KEPT = "(a vector that was not kept)"


class Pickling:
    """How a fit is copied, pickled without its rows, and given them again."""

    def _rows_or_raise(self, caller):
        if self._rows is None and self._source is not None:
            raise RowsNotKeptError(
                f"{caller}: this fit was made from {self._source.description}, whose rows were read block by block and are "
                "not in memory. fit.stream(what, out=path) writes fitted values, residuals or predictions to a Parquet file."
            )
        if self._rows is None and self._plan is not None and not self._plan.names:      # no source had columns: sums of sites
            raise RowsNotKeptError(
                f"{caller}: this fit has no rows: it was made from {self._data_name}. Give rows to fit.predict(newdata); those of "
                "a site as study.prepare(data, site) makes them."
            )
        if self._rows is None:
            raise RowsNotKeptError(
                f"{caller}: this fit was pickled without its rows. Fit with keep_data=True to keep them, or "
                "attach them again with fit.attach_data(data)."
            )
        return self._rows

    def __getstate__(self):
        state = self.__dict__.copy()
        state["_criterion_object"] = state["_condVar"] = None
        state["_ddf_methods"] = {}
        if not self._settings.keep_data:
            if self._rows is not None:
                state["_quantiles"] = self._residual_quantiles()
                state["_grid_facts"] = _facts_for_pickle(self)
            state["_rows"] = None
            lasting = self._source is not None and self._source.lasts
            state["_source"] = self._source if lasting else None
            vectors = {k: NOT_KEPT for k in VECTORS if _is_vector(getattr(self._settings, k))}
            state["_settings"] = with_changes(self._settings, data=self._settings.data if lasting else None, **vectors)
        return state

    def __copy__(self):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __deepcopy__(self, memo):
        new = object.__new__(type(self))
        shared = ("_rows", "_settings", "_products", "_criterion_object", "_spec")
        for name, value in self.__dict__.items():
            new.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
        new._criterion_object = None
        return new

    def attach_data(self, data):
        """Give the rows back to a fit that was pickled without them.

        Parameters
        ----------
        data : data frame
            The data of the fit; arguments that were vectors must be given by fitting again.

        Returns
        -------
        LinearMixedModel
            This fit.

        Raises
        ------
        ArgumentError
            If the data do not give the rows and levels of the fit.
        """
        from fastlmm_hlm.design.crossprod import cross_products
        from fastlmm_hlm.design.design import build_design

        refuse_lost_vectors("attach_data", self._settings)
        settings = with_changes(self._settings, data=data)
        frame = frame_of(settings)
        design = build_design(frame)
        if self._dropped_columns:
            design = design.with_fixed_columns(self._kept_columns)
        factors = [replace(f, centring=c) for f, c in zip(design.factors, self._centrings)]
        design = replace(design, x_centring=self._x_centring, factors=factors)      # the bases of the stored sums
        same = design.n == self._estimates.n and all(
            f.levels.equals(levels) for f, (_, levels, _) in zip(design.factors, self._factor_labels)
        )
        if not same:
            raise ArgumentError(
                f"attach_data: the data give {design.n} rows, or other levels, where the fit had {self._estimates.n}."
            )
        if not _same_products(cross_products(design, self._products.beta0), self._products):
            raise ArgumentError(
                "attach_data: the data have the rows and levels of the fit, but other values of the response, the "
                "predictors, the weights or the groups. Give the data that were fitted."
            )
        self._settings = settings
        self._rows = rowwise.Rows(design, frame.index, frame.rows, frame.n_input, frame.padded, frame.padded_index)
        return self


def _facts_for_pickle(fit):
    """What marginal means need of the rows."""
    from fastlmm_hlm.inference.emmeans.facts import facts_for_pickle

    return facts_for_pickle(fit)


def _is_vector(value):
    return value is not None and not isinstance(value, str)


def refuse_lost_vectors(caller, settings):
    """Refuse to fit or align without a vector that the first fit had."""
    for name in VECTORS:
        if isinstance(getattr(settings, name), str) and getattr(settings, name) == NOT_KEPT:
            raise RowsNotKeptError(
                f"{caller}: {name} was a vector, which the pickle of this fit does not hold. Give it again, as in "
                f"fit.update(data=data, {name}=...), or pickle a fit made with keep_data=True."
            )


def _same_products(ours, theirs):
    """Whether two sets of cross-products with the same beta0 come from the same rows, but for rounding."""
    pairs = [(ours.XyWXy, theirs.XyWXy), *zip(ours.ZtWZ, theirs.ZtWZ), *zip(ours.ZtWXy, theirs.ZtWXy)]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max(initial=0.0)) for a, b in pairs)
