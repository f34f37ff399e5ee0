"""Methods of a fit that are functions of `fastlmm_hlm.inference`, loaded when first asked for."""

import types
from importlib import import_module

# Module -> functions whose first argument is the fit.
FUNCTIONS = {
    "allfit": "allFit",
    "bootstrap": "bootMer",
    "check_predictions": "check_predictions",
    "check_variance": "check_variance",
    "checks": (
        "check_collinearity check_convergence check_heteroscedasticity check_normality check_outliers "
        "check_singularity"
    ),
    "confint": "confint",
    "contest": "calcSatterth contest contest1D contestMD",
    "decorrelate": "least_confounded",
    "drop1": "drop1",
    "emmeans": "emmeans emtrends joint_tests ref_grid",
    "expected_rank": "expected_rank",
    "hlm_resid": "hlm_resid",
    "influence": "cooks_distance dfbeta dfbetas influence",
    "lines": "group_lines group_slopes population_line",
    "lsmeans": "difflsmeans ls_means",
    "modeltable": "model_table",
    "performance": "icc model_performance r2",
    "pictures.averages": "averages_data lines_data plot_averages plot_lines",
    "pictures.checkpage": "check_model check_model_data",
    "pictures.influence": "cooks_data plot_cooks",
    "pictures.panels": "panels_data plot_panels",
    "pictures.predictive": "plot_predictive predictive_data",
    "pictures.quantiles": "plot_qq plot_ranef_qq qq_data qqmath ranef_qq_data",
    "pictures.raneffects": "dotplot plot_ranef plot_ranef_pairs ranef_data ranef_pairs_data",
    "pictures.residuals": "plot plot_residuals plot_scale_location residuals_data scale_location_data",
    "pictures.shrinkage": "plot_shrinkage shrinkage_data",
    "power": "power_curve power_sim",
    "predict": "predict",
    "predictinterval": "predict_interval",
    "profile": "profile",
    "ranova": "ranova",
    "reliability": "reliability",
    "robust": "coef_test vcov_robust",
    "rowdiagnostics": "hatvalues rstandard rstudent",
    "simresiduals": "simulate_residuals",
    "simulate": "simulate",
    "step": "step",
    "tidy": "augment glance tidy",
}


class Delegated:
    """A function that becomes a method: ``fit.drop1`` is `drop1` with the fit as its first argument,
    with the signature and the help of the function."""

    def __init__(self, module, name):
        self.module, self.name = f"fastlmm_hlm.inference.{module}", name

    def __get__(self, fit, owner=None):
        function = getattr(import_module(self.module), self.name)
        return function if fit is None else types.MethodType(function, fit)


class InferenceMethods:
    """The methods of a fit that are listed in `FUNCTIONS`."""


for _module, _names in FUNCTIONS.items():
    for _name in _names.split():
        setattr(InferenceMethods, _name, Delegated(_module, _name))
