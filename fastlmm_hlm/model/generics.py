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
    "AIC BIC REMLcrit VarCorr anova augment bootMer calcSatterth check_collinearity check_convergence "
    "check_heteroscedasticity check_normality check_outliers check_singularity coef coef_test confint contest "
    "contest1D contestMD deviance df_residual drop1 emmeans emtrends fitted fixef formula getME glance "
    "group_lines group_slopes hatvalues icc isGLMM isLMM isREML isSingular logLik model_matrix model_performance "
    "ngrps nobs population_line profile r2 ranef ranova ref_grid refit refitML rePCA residuals sigma step stream summary "
    "tidy update vcov vcov_robust weights"
).split()

for _name in GENERICS:
    globals()[_name] = _generic(_name)

__all__ = list(GENERICS)
