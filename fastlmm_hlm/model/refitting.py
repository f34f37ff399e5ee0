"""A fit again: for another response, by the other likelihood, with other arguments."""

import copy

from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError
from fastlmm_hlm.formula import update_formula
from fastlmm_hlm.ingest.source import is_source
from fastlmm_hlm.model import rows as rowwise
from fastlmm_hlm.model.fitting import fit_frame, frame_of, refit_response, report_singular, with_changes
from fastlmm_hlm.model.fromsource import fit_source
from fastlmm_hlm.model.pickling import refuse_lost_vectors
from fastlmm_hlm.model.submodel import from_products, submodel, with_control, with_likelihood


class Refitting:
    """What makes another fit of a fit, as methods."""

    @classmethod
    def _fitted_by(cls, settings):
        """The model that the settings describe."""
        if is_source(settings.data):
            source, plan, fitted = fit_source(settings)
            return cls(settings, plan, fitted, source)
        frame = frame_of(settings)
        return cls(settings, frame, fit_frame(frame, settings))

    def refit(self, newresp=None):
        """The same model for another response, started at this optimum.

        Parameters
        ----------
        newresp : array, Series or one-column DataFrame, optional
            One number per row of the fit, or per row of the data.  Without it the model is
            fitted to its own response: for one with given parameters, or with R's estimates.
        """
        rows = self._rows_or_raise("refit")
        y = rows.design.y if newresp is None else rows.select(newresp, "refit")
        settings = with_changes(self._settings, start=None)
        new = self._with_response(y, settings)
        if newresp is None:
            new._response_replaced = self._response_replaced
        return new

    def _with_response(self, y, settings):
        """The model for response y, (n,), under other settings, started at this optimum."""
        rows = self._rows
        design, products, criterion, estimates, deviations, optinfo, messages = refit_response(
            rows.design, y, settings, self._estimates.templates
        )
        return self._refitted(design, products, estimates, deviations, optinfo, messages, criterion, settings)

    def _refitted(self, design, products, estimates, deviations, optinfo, messages, criterion=None, settings=None):
        """This model with the results for another response; `criterion` is made again when needed."""
        rows, new = self._rows, copy.copy(self)
        new._rows = rowwise.Rows(design, rows.index, rows.positions, rows.n_input, rows.padded, rows.padded_index)
        new._settings = with_changes(self._settings, start=None) if settings is None else settings
        new._response_replaced, new._given, new._origin = True, False, None
        new._products, new._criterion_object, new._estimates = products, criterion, estimates
        new._deviations, new.optinfo, new._messages = deviations, optinfo, messages
        new._quantiles = new._condVar = None
        new._ddf_methods = {}
        return new

    def refitML(self):  # noqa: N802
        """The same model by maximum likelihood."""
        return with_likelihood(self, reml=False)

    def _with_criterion(self, reml):
        """The same model by REML or by maximum likelihood; itself if it is."""
        return with_likelihood(self, reml)

    def _with_control(self, control, templates=None):
        """The same model by another optimizer, from the cross-products; see `model.submodel.with_control`."""
        return with_control(self, control, templates)

    def _submodel(self, formula, REML=None):  # noqa: N803
        """A model with fewer terms, from the cross-products where they allow it; see `model.submodel`."""
        return submodel(self, formula, REML)

    # --- other parameters, other rows --------------------------------------------------------

    def with_parameters(self, fixef=None, VarCorr=None, sigma=None, theta=None):  # noqa: N803
        """The same model with some parameters given: simr's ``fixef(m)["x"] <- 0.5``.

        Parameters
        ----------
        fixef : mapping or sequence, optional
            Coefficient -> number; those left out stay.
        VarCorr : mapping, sequence, matrix or number, optional
            By grouping factor a number or vector of standard deviations, or a covariance
            matrix; terms left out keep their covariances.
        sigma : float, optional
            Residual standard deviation; the covariances of the random effects stay.
        theta : array, optional
            In the place of VarCorr.

        Returns
        -------
        LinearMixedModel
            Not fitted; the response is that of this fit, and the criterion is evaluated there.

        Raises
        ------
        ArgumentError, UnknownNameError
        """
        from fastlmm_hlm.model.given import with_parameters

        return with_parameters(self, fixef, VarCorr, sigma, theta)

    def extend(self, along=None, within=None, n=None, values=None, seed=None):
        """The model on a larger design with the same parameters: simr's ``extend``.

        Give `along` or `within`, and `n` or `values`.

        Parameters
        ----------
        along : str
            A column.  Its number of different values becomes n.  The rows of a new
            value are those of an old one, taken in turn from the first on, with the
            column changed and all else repeated.
        within : str
            Columns joined by "+".  Every combination of their values that occurs gets n rows,
            its own repeated in turn from the first on.
        n : int
            It may be smaller than what there is; then the last ones are left out.
        values : sequence
            With `along`: all values of the column, in the place of n.
        seed : int, optional
            For the response, which is simulated in all rows.

        Returns
        -------
        LinearMixedModel
            With given parameters.  Values are in the order of numbers, of categories, or of
            first appearance for texts.  New values of a column of text or categories are the
            numbers from n_old + 1 on as text, with the letters before the digits that all old ones
            share (s01, s02: s03, s04); of whole numbers the next ones; of other numbers those
            that go on in the last step.

        Raises
        ------
        ArgumentError
            If the column is a factor of the fixed part: new levels have no coefficients.
        RowsNotKeptError
            If the fit was pickled without its data.
        """
        from fastlmm_hlm.model.extend import extend

        return extend(self, along, within, n, values, seed)

    def _smaller_designs(self, along, within, caller):
        """This model, parameters kept, on some of its rows; see `fastlmm_hlm.model.extend.SmallerDesigns`."""
        from fastlmm_hlm.model.extend import SmallerDesigns

        return SmallerDesigns(self, along, within, caller)

    def update(self, formula=None, **changes):
        """Fit again with some arguments changed.

        Parameters
        ----------
        formula : str, optional
            As in R, "." stands for what was there: ". ~ . + x".
        **changes
            Arguments of `lmer`.

        Notes
        -----
        Where the data are read block by block, no row was left out for a missing value, and only the formula
        or REML change, a smaller model is fitted from the cross-products and no row is read.
        """
        if formula is not None:
            changes["formula"] = update_formula(self._formula_text, formula)
        settings = with_changes(self._settings, **changes)
        refuse_lost_vectors("update", settings)
        if self._plan is not None and not self._missing and set(changes) <= {"formula", "REML"}:
            new = from_products(self, settings.formula, settings.REML)       # the same rows, so no need to read them
            if new is not None:
                report_singular(new._settings.control, new.optinfo["boundary"])
                return new
        if self._response_replaced and "data" not in changes:
            raise ArgumentError(
                "update: this fit was made by refit() with a response that its data do not hold; put the response "
                "into the data and give data=."
            )
        if settings.data is None:
            raise RowsNotKeptError("update: this fit was pickled without its data; give data=, or fit with keep_data=True.")
        return self._fitted_by(settings)
