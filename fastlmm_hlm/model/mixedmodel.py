"""LinearMixedModel: the fitted model that `lmer` returns."""

import pandas as pd

from fastlmm_hlm.criterion.estimates import conditional_variances
from fastlmm_hlm.errors import UnknownNameError
from fastlmm_hlm.inference.labels import varcorr_names
from fastlmm_hlm.inference.ranef import coefficients, random_effects
from fastlmm_hlm.inference.repca import RePCA, principal_components
from fastlmm_hlm.inference.varcorr import VarCorr
from fastlmm_hlm.inference.vcov import vcov_fixed
from fastlmm_hlm.model import rows as rowwise
from fastlmm_hlm.model.delegation import InferenceMethods
from fastlmm_hlm.model.fitting import make_criterion
from fastlmm_hlm.model.foreignnames import ForeignNames
from fastlmm_hlm.model.getme import component
from fastlmm_hlm.model.likelihood import Likelihood
from fastlmm_hlm.model.pickling import Pickling
from fastlmm_hlm.model.presentation import Presentation
from fastlmm_hlm.model.refitting import Refitting
from fastlmm_hlm.model.rowresults import RowResults


# What a fit knows beside its results and rows.
SHARED = ("_settings", "_response_replaced", "_data_name", "_formula_text", "_spec", "_dropped", "_missing", "_kept_columns",
          "_all_x_names", "_source", "_plan", "_grid_facts")


def fit_model(settings):
    """Fit the model that the settings describe.

    Returns
    -------
    LinearMixedModel
    """
    return LinearMixedModel._fitted_by(settings)


class LinearMixedModel(Likelihood, RowResults, Refitting, Presentation, Pickling, ForeignNames, InferenceMethods):
    """A fitted linear mixed model.

    Made by `lmer`.  Every function of lme4 is a method of the same name, and
    the usual attributes of statsmodels results are there too; those of
    `fastlmm_hlm.inference` are listed in `fastlmm_hlm.model.delegation`.  The rows of the
    data are referred to while the fit lives in memory; a pickle leaves them out
    unless the fit was made with ``keep_data=True``.
    """

    # Whether the parameters were given (`make_lmer`, `with_parameters`, `extend`) and not estimated.
    _given = False
    # The program whose estimates these are, if it was another one (`read_rds`).
    _origin = None

    def __init__(self, settings, frame, fitted, source=None):
        self._settings, self._response_replaced = settings, False
        self._data_name = source.description if source is not None else getattr(settings.data, "attrs", {}).get("name")
        self._formula_text = frame.formula.text
        self._spec = frame.spec
        self._dropped, self._missing = dict(frame.dropped), dict(frame.missing)
        self._kept_columns = fitted.kept_columns
        self._all_x_names = list(frame.x_names)
        self._rows = None if source is not None else rowwise.Rows(
            fitted.design, frame.index, frame.rows, frame.n_input, frame.padded, frame.padded_index
        )
        self._source, self._plan = source, None if source is None else frame
        self._grid_facts = None
        self._adopt(fitted)
        if source is not None:
            self._weighted = settings.weights is not None

    def _adopt(self, fitted):
        """Take over the results of an optimization."""
        design = fitted.design
        self._terms = design.terms
        self._x_names, self._x_centring = design.x_names, design.x_centring
        self._centrings = [f.centring for f in design.factors]
        self._factor_labels = [(f.name, f.levels, f.names) for f in design.factors]
        self._products, self._estimates = fitted.products, fitted.estimates
        self._dropped_columns, self._dependence = fitted.dropped_columns, fitted.dependence
        self._deviations, self._messages = fitted.deviations, fitted.messages
        self._criterion_object = fitted.criterion
        self._weighted = design.weights is not None
        self._quantiles = self._condVar = None
        self._ddf_methods = {}
        self.optinfo = fitted.optinfo

    def _like(self, fitted, rows, **changed):
        """A model with other results that shares all else with this one.

        Parameters
        ----------
        fitted : Fitted
        rows : Rows or None
            Of this model or of another one; those of the result hold the design of `fitted`.
        **changed
            Of `SHARED`, what differs.
        """
        new = object.__new__(type(self))
        new.__dict__.update({name: self.__dict__[name] for name in SHARED} | changed)
        new._rows = None if rows is None else rowwise.Rows(
            fitted.design, rows.index, rows.positions, rows.n_input, rows.padded, rows.padded_index
        )
        new._adopt(fitted)
        new._weighted = self._weighted
        return new

    # --- internals -----------------------------------------------------------

    @property
    def _criterion(self):
        """The criterion with its factorization, made again after unpickling."""
        if self._criterion_object is None:
            self._criterion_object = make_criterion(self._products, self._terms, self._centrings, self._settings)
        return self._criterion_object

    # --- fixed effects ---------------------------------------------------------

    def fixef(self, add_dropped=False):
        """Fixed-effects estimates, Series.

        Parameters
        ----------
        add_dropped : bool
            Also give the columns dropped as linearly dependent, as NaN.
        """
        beta = pd.Series(self._estimates.beta, index=self._x_names, name="fixef")
        return beta.reindex(self._all_x_names) if add_dropped else beta

    def vcov(self):
        """Covariance matrix of the fixed-effects estimates, DataFrame (p, p)."""
        V = vcov_fixed(self._estimates.RX, self._estimates.sigma)
        return pd.DataFrame(V, index=self._x_names, columns=self._x_names)

    # --- random effects ----------------------------------------------------------

    def ranef(self, condVar=True, whichel=None):
        """Conditional modes of the random effects by grouping factor.

        Parameters
        ----------
        condVar : bool
            Also give the conditional variances, as ``.condVar``.
        whichel : str or list of str, optional
            Grouping factors to give; all by default.

        Returns
        -------
        RandomEffects
            Mapping grouping factor -> DataFrame.
        """
        variances = None
        if condVar:
            if self._condVar is None:
                self._condVar = conditional_variances(self._criterion, self._estimates)
            variances = self._condVar
        keep = self._whichel(whichel)
        return random_effects(
            [self._factor_labels[f] for f in keep],
            [self._estimates.b[f] for f in keep],
            None if variances is None else [variances[f] for f in keep],
        )

    def _whichel(self, whichel):
        names = [name for name, _, _ in self._factor_labels]
        if whichel is None:
            return range(len(names))
        wanted = [whichel] if isinstance(whichel, str) else list(whichel)
        for name in wanted:
            if name not in names:
                raise UnknownNameError(f"ranef: no grouping factor is called {name!r}; there are {', '.join(names)}.")
        return [names.index(name) for name in wanted]

    def coef(self):
        """Fixed plus random effects of every level, mapping grouping factor -> DataFrame."""
        return coefficients(self.fixef(), self.ranef(condVar=False))

    def VarCorr(self):  # noqa: N802 - lme4's name
        """Covariances of the random effects, mapping term -> DataFrame; prints as in R."""
        sigma = self._estimates.sigma
        return VarCorr(
            varcorr_names([self._factor_labels[t.factor][0] for t in self._terms]),
            [t.names for t in self._terms],
            [sigma**2 * T @ T.T for T in self._estimates.templates],
            sigma,
            [type(t.covariance).__name__ != "Diagonal" for t in self._terms],
        )

    def rePCA(self):  # noqa: N802
        """Principal components of the random-effects covariance by grouping factor."""
        parts = {}
        for f, (name, _, _) in enumerate(self._factor_labels):
            parts[name] = principal_components(
                [T for t, T in zip(self._terms, self._estimates.templates) if t.factor == f]
            )
        return RePCA(parts)

    def isSingular(self, tol=1e-4):  # noqa: N802
        """Whether a random-effects covariance has lost rank.

        A covariance is singular when the standard deviation along some direction
        of its columns, standardized to unit mean square, is below tol * sigma.
        lme4 compares the elements of theta themselves, which depends on the
        units of the predictors.
        """
        return bool((self._deviations < tol).any())

    def getME(self, name):  # noqa: N802
        """A piece of the fit under lme4's name ("Z", "Lambda", "theta", ...), or a dict of several."""
        return component(self, name)

    # --- tests of fixed effects -----------------------------------------------------------

    def anova(self, *others, type="III", ddf="Satterthwaite", refit=True, model_names=None):
        """F-tests of the fixed terms; with other models, likelihood ratio tests against them.

        See `fastlmm_hlm.inference.anova.anova`, `fastlmm_hlm.inference.comparison.compare_models`.
        """
        if others:
            from fastlmm_hlm.inference.comparison import compare_models

            return compare_models([self, *others], refit, model_names)
        from fastlmm_hlm.inference.anova import anova

        return anova(self, type, ddf)
