"""confint() of a fit: methods, rows, columns and what is refused."""

import numpy as np
import pytest
from scipy.stats import norm, t as student

from fastlmm_hlm import bootMer, confint, datasets, lmer
from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.report.percent import percent_names
from some_models import fitted

# lme4 1.1-31, confint(lmer(Reaction ~ Days + (Days | Subject), sleepstudy)) as printed.
PROFILE = {
    ".sig01": (14.3814732, 37.7159917), ".sig02": (-0.4815008, 0.6849863), ".sig03": (3.8011643, 8.7533851),
    ".sigma": (22.8982669, 28.8579965), "(Intercept)": (237.6806955, 265.1295147), "Days": (7.3586533, 13.5759188),
}
WALD = {"(Intercept)": (238.029141, 264.78107), "Days": (7.437594, 13.49698)}
LONG_NAMES = ["sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sd_Days|Subject", "sigma", "(Intercept)", "Days"]
# lme4's splines are good to about 1e-5 of the width here; its fit to 1e-6 of the estimates.
SPLINE = 5e-5


def test_profile_intervals_of_sleepstudy_are_those_that_lme4_prints():
    ours = confint(fitted("slopes"))
    assert list(ours.index) == list(PROFILE) and list(ours.columns) == ["2.5 %", "97.5 %"]
    theirs = np.array(list(PROFILE.values()))
    assert (np.abs(ours.to_numpy() - theirs) < SPLINE * np.diff(theirs)).all()


def test_wald_intervals_are_those_that_lme4_prints():
    ours = confint(fitted("slopes"), method="Wald")
    assert ours.iloc[:4].isna().all(axis=None)
    np.testing.assert_allclose(ours.iloc[4:], np.array(list(WALD.values())), rtol=2e-6)


def test_long_names_are_those_of_lme4():
    fit = fitted("slopes")
    for method in ("Wald", "profile"):
        assert list(confint(fit, method=method, signames=False).index) == LONG_NAMES
    assert list(confint(fit, method="Wald", oldNames=False).index) == LONG_NAMES
    assert list(confint(fit, method="Wald", oldNames=True).index) == list(PROFILE)


@pytest.mark.parametrize("method", ["profile", "Wald", "boot"])
def test_parameters_are_chosen_by_number_name_and_group(method):
    fit = fitted("slopes")
    how = {"method": method} | ({"nsim": 60, "seed": 1} if method == "boot" else {})
    whole = confint(fit, **how)
    for parm, rows in ((5, ["Days"]), ("Days", ["Days"]), (["Days", ".sigma"], [".sigma", "Days"]), ("beta_", ["(Intercept)", "Days"]),
                       ("theta_", list(PROFILE)[:4]), ([0, "cor_Days.(Intercept)|Subject"], [".sig01", ".sig02"])):
        part = confint(fit, parm, **how)
        assert list(part.index) == rows
        np.testing.assert_allclose(part, whole.loc[rows], rtol=1e-6)


def test_a_bootstrap_interval_is_that_of_bootMer():
    fit = fitted("slopes")

    def values(new):
        return np.append(new.VarCorr().to_frame(order="lower.tri")["sdcor"], new.fixef())

    for kind in ("perc", "basic", "norm"):
        ours = confint(fit, method="boot", nsim=80, seed=6, boot_type=kind, level=0.9)
        theirs = bootMer(fit, values, nsim=80, seed=6).confint(level=0.9, type=kind)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert list(ours.columns) == ["5 %", "95 %"]


def test_bootstrap_intervals_do_not_depend_on_the_processes():
    fit = fitted("crossed")
    one, two = (confint(fit, method="boot", nsim=50, seed=6, processes=k) for k in (1, 2))
    assert one.equals(two)


def test_a_singular_fit_has_intervals_by_every_method():
    fit = fitted("zero variance")
    for how in ({}, {"method": "boot", "nsim": 200, "seed": 1}):
        ours = confint(fit, **how)
        assert ours.loc[".sig01", "2.5 %"] == 0.0
        assert (ours.iloc[:, 1] > ours.iloc[:, 0]).all()


def test_limits_of_models_with_weights_offset_subset_and_polynomials_bracket_the_estimates():
    assert confint(fitted("all at once"), ".sig08").iloc[0].tolist() == [-1.0, 1.0]
    for name in ("weights and offset", "all at once", "crossed slopes", "no fixed effects", "compound symmetry"):
        fit = fitted(name)
        ours = confint(fit)
        beta = fit.fixef()
        assert (ours.loc[beta.index].iloc[:, 0] < beta).all() and (beta < ours.loc[beta.index].iloc[:, 1]).all()
        assert ours.loc[".sigma"].iloc[0] < fit.sigma() < ours.loc[".sigma"].iloc[1]


def test_fixed_effects_of_a_balanced_design_have_the_limits_of_the_t_like_likelihood():
    """Dyestuff: the profile of the mean is known in closed form given the variances at each point."""
    fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff"), REML=False)
    low, high = confint(fit, "(Intercept)").iloc[0]
    assert abs((low + high) / 2 - fit.fixef().iloc[0]) < 1e-6
    assert high - low > 2 * norm.ppf(0.975) * fit.bse.iloc[0]


def test_t_intervals_take_the_degrees_of_freedom_they_are_given(monkeypatch):
    import sys
    import types

    class Method:
        name, vcov = "Satterthwaite", np.diag([4.0, 9.0])

        @staticmethod
        def df(L):
            assert L.shape == (2, 2)
            return np.array([5.0, np.inf])

    module = types.ModuleType("fastlmm_hlm.inference.ddf")
    module.method_of = lambda fit, ddf: Method
    monkeypatch.setitem(sys.modules, "fastlmm_hlm.inference.ddf", module)
    fit = fitted("slopes")
    ours = confint(fit, "beta_", method="Wald", ddf="Satterthwaite")
    half = (ours.iloc[:, 1] - ours.iloc[:, 0]) / 2
    np.testing.assert_allclose(half, [student.ppf(0.975, 5) * 2.0, norm.ppf(0.975) * 3.0])


def test_t_intervals_of_sleepstudy_have_the_17_degrees_of_freedom_of_its_subjects():
    fit = fitted("slopes")
    half = student.ppf(0.975, 17.0) * fit.bse
    for ddf in ("Satterthwaite", "Kenward-Roger"):
        ours = confint(fit, "beta_", method="Wald", ddf=ddf)
        np.testing.assert_allclose((ours.iloc[:, 1] - ours.iloc[:, 0]) / 2, half, rtol=1e-4)
    z = confint(fit, "beta_", method="Wald", ddf="lme4")
    np.testing.assert_allclose(z, confint(fit, "beta_", method="Wald"))


@pytest.mark.parametrize("arguments, message", [
    ({"method": "bayes"}, "'bayes' is not known"), ({"level": 0.0}, "level = 0.0"), ({"level": 95}, "level = 95"),
    ({"level": "high"}, "level"), ({"ddf": "Satterthwaite"}, "belongs to method='Wald'"), ({"parm": 6}, "count from 0 to 5"),
    ({"method": "boot", "boot_type": "bca", "nsim": 20}, "'bca' is not known"), ({"method": "boot", "nsim": 0}, "nsim = 0"),
])
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        confint(fitted("slopes"), **arguments)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(UnknownNameError, match="confint: no parameter is called 'Tage'"):
        confint(fitted("slopes"), "Tage")


@pytest.mark.parametrize("level, names", [
    (0.95, ["2.5 %", "97.5 %"]), (0.9, ["5 %", "95 %"]), (0.99, ["0.5 %", "99.5 %"]), (0.999, ["0.05 %", "99.95 %"]),
    (0.6827, ["15.9 %", "84.1 %"]), (0.5, ["25 %", "75 %"]), (0.9999, ["0.005 %", "99.995 %"]),
])
def test_percents_are_written_as_in_R(level, names):
    assert percent_names(level) == names
