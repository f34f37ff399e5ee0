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
    "AIC BIC REMLcrit VarCorr coef deviance df_residual fitted fixef formula getME group_lines group_slopes isGLMM "
    "anova calcSatterth contest contest1D contestMD isLMM isREML isSingular logLik model_matrix ngrps nobs population_line ranef rePCA refit refitML residuals sigma summary update vcov weights "
    "emmeans emtrends ref_grid"
).split()
GENERICS += (
    "augment check_collinearity check_convergence check_heteroscedasticity check_normality check_outliers check_singularity "
    "coef_test glance hatvalues icc model_performance r2 tidy vcov_robust"
).split()

for _name in GENERICS:
    globals()[_name] = _generic(_name)

__all__ = list(GENERICS)
