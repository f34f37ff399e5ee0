"""lme4's functions: fixef(fit) is fit.fixef(), and so on."""

from fastlmm_hlm.errors import ArgumentError


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
    "AIC BIC REMLcrit VarCorr anova augment averages_data bootMer calcSatterth check_collinearity "
    "check_convergence check_heteroscedasticity check_model check_model_data check_normality check_outliers "
    "check_singularity coef coef_test confint contest contest1D contestMD cooks_data deviance df_residual "
    "dotplot drop1 emmeans emtrends fitted fixef formula getME glance group_lines group_slopes hatvalues icc "
    "isGLMM isLMM isREML isSingular lines_data logLik model_matrix model_performance ngrps nobs panels_data "
    "plot plot_averages plot_cooks plot_lines plot_panels plot_predictive plot_qq plot_ranef plot_ranef_pairs "
    "plot_ranef_qq plot_residuals plot_scale_location plot_shrinkage population_line predictive_data profile "
    "qq_data qqmath r2 ranef ranef_data ranef_pairs_data ranef_qq_data ranova rePCA ref_grid refit refitML "
    "residuals residuals_data scale_location_data shrinkage_data sigma step summary tidy update vcov "
    "vcov_robust weights"
).split()

for _name in GENERICS:
    globals()[_name] = _generic(_name)

__all__ = list(GENERICS)
