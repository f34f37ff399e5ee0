"""LinearMixedModel: the fitted model that `lmer` returns."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd

from fastlmm_hlm.criterion.estimates import conditional_variances
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, RowsNotKeptError, UnknownNameError, warn_user
from fastlmm_hlm.formula import update_formula
from fastlmm_hlm.inference.labels import make_unique
from fastlmm_hlm.inference.ranef import coefficients, random_effects
from fastlmm_hlm.inference.repca import RePCA, principal_components
from fastlmm_hlm.inference.varcorr import VarCorr
from fastlmm_hlm.inference.vcov import LogLik, vcov_fixed
from fastlmm_hlm.ingest.source import is_source
from fastlmm_hlm.model import rows as rowwise
from fastlmm_hlm.model.delegation import InferenceMethods
from fastlmm_hlm.model.fitting import (
    checked_templates,
    fit_frame,
    frame_of,
    make_criterion,
    refit_response,
    with_changes,
)
from fastlmm_hlm.model.fromsource import fit_source
from fastlmm_hlm.model.getme import component
from fastlmm_hlm.model.submodel import submodel, with_likelihood
from fastlmm_hlm.model.summary import Summary, rows_left_out
from fastlmm_hlm.report.html import summary_html
from fastlmm_hlm.report.parts import SummaryParts, lmm_title
from fastlmm_hlm.report.tables import fit_text


class Count(int):
    """A number that may also be called, so that fit.nobs and fit.nobs() agree."""

    def __call__(self):
        return int(self)


class FormulaText(str):
    """Formula text that may also be called, so that fit.formula and fit.formula() agree."""

    def __call__(self, fixed_only=False, random_only=False):
        from fastlmm_hlm.formula import parse_formula

        parsed = parse_formula(str(self))
        if fixed_only:
            return parsed.fixed_text
        if random_only:
            return "~" + " + ".join(parsed.random_texts)
        return str(self)


def fit_model(settings):
    """Fit the model that the settings describe.

    Returns
    -------
    LinearMixedModel
    """
    if is_source(settings.data):
        source, plan, fitted = fit_source(settings)
        return LinearMixedModel(settings, plan, fitted, source)
    frame = frame_of(settings)
    fitted = fit_frame(frame, settings)
    return LinearMixedModel(settings, frame, fitted)


class LinearMixedModel(InferenceMethods):
    """A fitted linear mixed model.

    Made by `lmer`.  Every function of lme4 is a method of the same name, and
    the usual attributes of statsmodels results are there too; those of
    `fastlmm_hlm.inference` are listed in `fastlmm_hlm.model.delegation`.  The rows of the
    data are referred to while the fit lives in memory; a pickle leaves them out
    unless the fit was made with ``keep_data=True``.
    """

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

    # --- internals -----------------------------------------------------------

    @property
    def _criterion(self):
        """The criterion with its factorization, made again after unpickling."""
        if self._criterion_object is None:
            self._criterion_object = make_criterion(self._products, self._terms, self._centrings, self._settings)
        return self._criterion_object

    def _rows_or_raise(self, caller):
        if self._rows is None and self._source is not None:
            raise RowsNotKeptError(
                f"{caller}: this fit was made from {self._source.description}, whose rows were read block by block and are "
                "not in memory. fit.stream(what, out=path) writes fitted values, residuals or predictions to a Parquet file."
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

        _refuse_lost_vectors("attach_data", self._settings)
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

    def _linear_predictor(self, with_random=True):
        design = self._rows_or_raise("fitted").design
        return rowwise.linear_predictor(design, self._estimates.beta, self._estimates.b if with_random else None)

    def _residual_quantiles(self):
        if self._quantiles is None and self._rows is None and self._source is not None:
            from fastlmm_hlm.model.streaming import residual_quantiles

            self._quantiles = residual_quantiles(self)
        if self._quantiles is None and self._rows is None and self._plan is not None:
            return None                       # made from a function, which no pickle holds
        if self._quantiles is None:
            r = rowwise.residuals(self._rows_or_raise("summary").design, self._linear_predictor(),
                                  self._estimates.sigma, "pearson", True)
            self._quantiles = np.quantile(r, [0, 0.25, 0.5, 0.75, 1])
        return self._quantiles

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
            make_unique([self._factor_labels[t.factor][0] for t in self._terms]),
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

    # --- likelihood ----------------------------------------------------------------

    def isREML(self):  # noqa: N802
        """Whether the fit maximizes the restricted likelihood."""
        return self._estimates.reml

    def isLMM(self):  # noqa: N802
        """True."""
        return True

    def isGLMM(self):  # noqa: N802
        """False."""
        return False

    @property
    def npar(self):
        """Parameters: fixed effects, covariance parameters, sigma."""
        return self._estimates.p + sum(t.covariance.size for t in self._terms) + 1

    def logLik(self, REML=None):  # noqa: N802, N803
        """Log-likelihood with ``.df`` and ``.nobs``; the restricted one for REML fits.

        Parameters
        ----------
        REML : bool, optional
            Evaluate the other likelihood at the estimates.
        """
        reml = self._estimates.reml if REML is None else bool(REML)
        return LogLik(-0.5 * self._estimates.profiled(reml), self.npar, self._estimates.n)

    def deviance(self, REML=None):  # noqa: N803
        """-2 log-likelihood; for a REML fit say which with REML=."""
        if REML is None and self._estimates.reml:
            warn_user(
                "deviance() of a REML fit: use REMLcrit() for the REML criterion or deviance(REML=False) for the "
                "deviance at the REML estimates; giving the REML criterion",
                FastlmmWarning,
            )
        return self._estimates.profiled(self._estimates.reml if REML is None else bool(REML))

    def REMLcrit(self):  # noqa: N802
        """REML criterion at convergence (of an ML fit: evaluated at its estimates)."""
        return self._estimates.profiled(True)

    def AIC(self, k=2.0):  # noqa: N802
        """-2 logLik + k npar."""
        return -2.0 * float(self.logLik()) + k * self.npar

    def BIC(self):  # noqa: N802
        """-2 logLik + log(n) npar."""
        return self.AIC(np.log(self._estimates.n))

    def sigma(self):
        """Residual standard deviation."""
        return self._estimates.sigma

    def df_residual(self):
        """n - npar."""
        return self._estimates.n - self.npar

    @property
    def nobs(self):
        """Rows used."""
        return Count(self._estimates.n)

    def ngrps(self):
        """Levels by grouping factor, Series of int."""
        return pd.Series({name: len(levels) for name, levels, _ in self._factor_labels}, dtype=int, name="ngrps")

    @property
    def theta(self):
        """Relative covariance parameters in lme4's order and sign, ndarray."""
        return self._estimates.theta.copy()

    def devfun(self):
        """The criterion as a function of theta (lme4's devFunOnly)."""
        criterion = self._criterion
        sizes = [len(t.names) for t in self._terms]
        return lambda theta: criterion.evaluate_templates(checked_templates(theta, sizes, "devfun"))[3]

    # --- rows ------------------------------------------------------------------------

    def fitted(self):
        """Fitted values, fixed and random part, Series aligned with the data."""
        return self._rows_or_raise("fitted").series(self._linear_predictor(), "fitted")

    def residuals(self, type="response", scaled=False):
        """Residuals, Series aligned with the data.

        Parameters
        ----------
        type : {"response", "pearson", "deviance", "working"}
            Pearson and deviance residuals are response residuals times the root
            of the prior weight.
        scaled : bool
            Divide by sigma.
        """
        rows = self._rows_or_raise("residuals")
        values = rowwise.residuals(rows.design, self._linear_predictor(), self._estimates.sigma, type, scaled)
        return rows.series(values, "residuals")

    def stream(self, what="fitted", *, out, **options):
        """Write fitted values, residuals or predictions of a fit from a source to a Parquet file; see `model.streaming.stream`."""
        from fastlmm_hlm.model.streaming import stream

        return stream(self, what, out=out, **options)

    def weights(self):
        """Prior weights, Series aligned with the data (ones without weights)."""
        rows = self._rows_or_raise("weights")
        w = np.ones(self._estimates.n) if rows.design.weights is None else rows.design.weights
        return rows.series(w, "weights")

    def model_matrix(self, type="fixed"):
        """X as a DataFrame ("fixed"), Z as a sparse array ("random"), or its blocks ("randomListRaw")."""
        rows = self._rows_or_raise("model_matrix")
        if type == "fixed":
            return pd.DataFrame(rows.design.X, index=rows.index, columns=self._x_names)
        if type == "random":
            return rowwise.random_model_matrix(rows.design)[0]
        if type == "randomListRaw":
            return dict(zip([t.text for t in self._terms], rowwise.random_model_matrix(rows.design)[1]))
        raise ArgumentError(f"model_matrix: type = {type!r}; use 'fixed', 'random' or 'randomListRaw'.")

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

    # --- fitting again ------------------------------------------------------------------

    def refit(self, newresp=None):
        """The same model for another response, started at this optimum.

        Parameters
        ----------
        newresp : array, Series or one-column DataFrame, optional
            One number per row of the fit, or per row of the data.
        """
        rows = self._rows_or_raise("refit")
        y = rows.design.y if newresp is None else rows.select(newresp, "refit")
        settings = with_changes(self._settings, start=None)
        return self._with_response(y, settings)

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
        new._response_replaced = True
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

    def _submodel(self, formula, REML=None):  # noqa: N803
        """A model with fewer terms, from the cross-products where they allow it; see `model.submodel`."""
        return submodel(self, formula, REML)

    def update(self, formula=None, **changes):
        """Fit again with some arguments changed.

        Parameters
        ----------
        formula : str, optional
            As in R, "." stands for what was there: ". ~ . + x".
        **changes
            Arguments of `lmer`.
        """
        if formula is not None:
            changes["formula"] = update_formula(self._formula_text, formula)
        settings = with_changes(self._settings, **changes)
        _refuse_lost_vectors("update", settings)
        if self._response_replaced and "data" not in changes:
            raise ArgumentError(
                "update: this fit was made by refit() with a response that its data do not hold; put the response "
                "into the data and give data=."
            )
        if settings.data is None:
            raise RowsNotKeptError("update: this fit was pickled without its data; give data=, or fit with keep_data=True.")
        return fit_model(settings)

    # --- printing --------------------------------------------------------------------------

    @property
    def formula(self):
        """The formula; callable, with fixed_only= and random_only=."""
        return FormulaText(self._formula_text)

    def _parts(self, table, ddf=None, with_residuals=True):
        e, settings = self._estimates, self._settings
        if e.reml:
            criterion = {"REML": e.criterion}
        else:
            criterion = {"AIC": self.AIC(), "BIC": self.BIC(), "logLik": float(self.logLik()),
                         "deviance": e.criterion, "df.resid": self.df_residual()}
        V = self.vcov().to_numpy()
        sd = np.sqrt(np.diagonal(V))
        failed = self.optinfo["status"] == "failed"
        return SummaryParts(
            formula=self._formula_text,
            varcorr=self.VarCorr().parts(),
            sigma=e.sigma,
            nobs=e.n,
            ngroups=self.ngrps().to_dict(),
            coefficients=table,
            criterion=criterion,
            title=lmm_title(e.reml),
            ddf=ddf,
            class_name="lmerMod" if ddf is None else "lmerModLmerTest",
            data=self._data_name,
            weights=_argument_text(settings.weights) if self._weighted else None,
            offset=_argument_text(settings.offset),
            subset=_argument_text(settings.subset),
            control=None if settings.control == type(settings.control)() else repr(settings.control),
            residual_quantiles=self._residual_quantiles() if with_residuals else None,
            correlation=V / np.outer(sd, sd),
            left_out=rows_left_out(self._dropped, self._missing),
            fit_warnings=self._fit_warnings(),
            optimizer=self.optinfo["optimizer"],
            convergence_code=int(failed),
            convergence_message=self.optinfo["message"] or "not converged",
            messages=self._messages,
        )

    def _fit_warnings(self):
        from fastlmm_hlm.design.rank import rank_message

        return [rank_message(self._dropped_columns)] if self._dropped_columns else []

    def _coefficient_table(self):
        beta, se = self._estimates.beta, np.sqrt(np.diagonal(self.vcov().to_numpy()))
        return pd.DataFrame(
            {"Estimate": beta, "Std. Error": se, "t value": beta / se}, index=pd.Index(self._x_names)
        )

    def summary(self, correlation=None, ddf="Satterthwaite"):
        """Summary in lmerTest's layout, or in lme4's.

        Parameters
        ----------
        correlation : bool, optional
            Whether to print the correlations of the estimates; by default up to 12 of them.
        ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
            Method for the degrees of freedom of the t-tests; "lme4" leaves them out, with the p-values.

        Returns
        -------
        Summary
        """
        from fastlmm_hlm.inference.ddf import canonical_name, fit_for

        method = canonical_name(ddf, "summary")
        if fit_for(self, method) is not self:
            return fit_for(self, method).summary(correlation, method)
        table = self._coefficient_table() if method == "lme4" else self._t_table(method)
        parts = self._parts(table, None if method == "lme4" else method)
        quantiles = pd.Series(parts.residual_quantiles, dtype=float, index=["Min", "1Q", "Median", "3Q", "Max"])
        made = Summary(table, self.VarCorr(), self.vcov(), self._estimates.sigma, self.ngrps(), quantiles,
                       self.logLik(), pd.Series(parts.criterion), self.optinfo, parts)
        return made if correlation is None else made.with_correlation(correlation)

    def _t_table(self, ddf="Satterthwaite", **how):
        """t-tests of the coefficients, DataFrame."""
        from fastlmm_hlm.inference.contest import T_COLUMNS, t_table

        if not self._estimates.p:
            return pd.DataFrame(columns=T_COLUMNS, dtype=float)
        L = pd.DataFrame(np.eye(self._estimates.p), index=self._x_names)
        return t_table(self, L, 0.0, ddf=ddf, **how)

    def __str__(self):
        return fit_text(self._parts(self._coefficient_table(), with_residuals=False))

    __repr__ = __str__

    def _repr_html_(self):
        return summary_html(self._parts(self._coefficient_table()))

    # --- tables of regressions ------------------------------------------------------------------

    @property
    def __maketables_coef_table__(self):
        return _maketables().coefficient_table(self)

    @property
    def __maketables_depvar__(self):
        return _maketables().response(self)

    @property
    def __maketables_default_stat_keys__(self):
        return _maketables().default_statistics(self)

    @property
    def __maketables_stat_labels__(self):
        return _maketables().statistic_labels(self)

    def __maketables_stat__(self, key):
        return _maketables().statistic(self, key)

    # --- statsmodels' habits ------------------------------------------------------------------

    params = property(fixef, doc="Fixed-effects estimates.")
    fittedvalues = property(fitted, doc="Fitted values.")
    resid = property(residuals, doc="Response residuals.")
    df_resid = property(df_residual, doc="n - npar.")

    @property
    def bse(self):
        """Standard errors of the fixed effects, Series."""
        return self._coefficient_table()["Std. Error"].rename("bse")

    @property
    def tvalues(self):
        """Estimates over standard errors, Series."""
        return self._coefficient_table()["t value"].rename("tvalues")

    @property
    def pvalues(self):
        """p-values of the coefficients' t-tests with Satterthwaite's degrees of freedom, Series."""
        return self._t_table()["Pr(>|t|)"].rename("pvalues")

    def conf_int(self, alpha=0.05):
        """Limits estimate -/+ t se with Satterthwaite's degrees of freedom, DataFrame with columns 0 and 1.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        """
        from fastlmm_hlm.inference.contest import check_level

        check_level(1.0 - alpha if isinstance(alpha, (int, float)) else alpha, "conf_int")
        limits = self._t_table(confint=True, level=1.0 - alpha)[["lower", "upper"]]
        return limits.set_axis([0, 1], axis=1)

    @property
    def llf(self):
        """Log-likelihood."""
        return float(self.logLik())

    @property
    def aic(self):
        """AIC."""
        return self.AIC()

    @property
    def bic(self):
        """BIC."""
        return self.BIC()

    def cov_params(self):
        """Covariance matrix of the fixed-effects estimates."""
        return self.vcov()


def _facts_for_pickle(fit):
    """What marginal means need of the rows."""
    from fastlmm_hlm.inference.emmeans.facts import facts_for_pickle

    return facts_for_pickle(fit)


def _maketables():
    """What answers the package maketables."""
    from fastlmm_hlm.interop import maketables

    return maketables


VECTORS = ("weights", "offset", "subset")
# Stands for an argument that was a vector and is not in the pickle.
NOT_KEPT = "(a vector that was not kept)"


def _is_vector(value):
    return value is not None and not isinstance(value, str)


def _refuse_lost_vectors(caller, settings):
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


def _argument_text(value):
    """An argument as the printed call shows it."""
    if value is None:
        return None
    return value if isinstance(value, str) else f"(vector of length {len(value)})"
