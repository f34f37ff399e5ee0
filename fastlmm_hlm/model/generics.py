"""lme4's functions: fixef(fit) is fit.fixef(), and so on."""

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula import Formula


def _generic(name):
    def function(fit, *args, **kwargs):
        method = getattr(type(fit), name, None)
        if method is None or not (hasattr(type(fit), "isLMM") or getattr(type(fit), "answers_generics", False)):
            raise ArgumentError(f"{name}: expected a fitted model from lmer(), got {type(fit).__name__}.")
        if isinstance(method, property):
            value = getattr(fit, name)
            return value(*args, **kwargs) if callable(value) else value
        return method(fit, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Same as ``fit.{name}(...)``; see `LinearMixedModel.{name}`."
    return function


GENERICS = (
    "AIC BIC REMLcrit VarCorr allFit anova augment averages_data bootMer calcSatterth check_collinearity "
    "check_convergence check_heteroscedasticity check_model check_model_data check_normality check_outliers "
    "check_predictions check_singularity check_variance coef coef_test confint contest contest1D contestMD cooks_data "
    "cooks_distance deviance df_residual dfbeta dfbetas difflsmeans dotplot drop1 emmeans emtrends expected_rank "
    "extend fitted fixef formula getME glance group_lines group_slopes hatvalues hlm_resid icc influence isGLMM isLMM "
    "isREML isSingular least_confounded lines_data logLik ls_means model_matrix model_performance ngrps nobs "
    "panels_data plot plot_averages plot_cooks plot_lines plot_panels plot_predictive plot_qq plot_ranef "
    "plot_ranef_pairs plot_ranef_qq plot_residuals plot_scale_location plot_shrinkage population_line power_curve "
    "power_sim predict predict_interval predictive_data profile qq_data qqmath r2 ranef ranef_data ranef_pairs_data "
    "ranef_qq_data ranova rePCA ref_grid refit refitML reliability residuals residuals_data rstandard rstudent "
    "scale_location_data shrinkage_data sigma simulate simulate_residuals step stream summary tidy update vcov "
    "vcov_robust weights with_parameters"
).split()

for _name in GENERICS:
    globals()[_name] = _generic(_name)

_simulate_fit = globals()["simulate"]


def simulate(model, nsim=1, seed=None, **kwargs):
    """Responses drawn from a fit, or from a formula with parameters.

    ``simulate(fit, ...)`` is ``fit.simulate(...)``; ``simulate("~ x + (1 | g)", nsim, seed, newdata=...,
    newparams=...)`` needs no fit, see `fastlmm_hlm.inference.denovo.simulate_formula`.
    """
    if isinstance(model, (str, Formula)):
        from fastlmm_hlm.inference.denovo import simulate_formula

        return simulate_formula(model, kwargs.pop("newdata", None), kwargs.pop("newparams", None), nsim=nsim, seed=seed, **kwargs)
    return _simulate_fit(model, nsim, seed, **kwargs)


__all__ = list(GENERICS)
