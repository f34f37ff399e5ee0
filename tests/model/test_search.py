"""Searches from several starts, and models that share what they are with another."""

import numpy as np
import pytest

from fastlmm_hlm import datasets, emmeans, lmer, lmerControl
from fastlmm_hlm._core.kernels import NotPositiveDefinite
from fastlmm_hlm.model import search

QUIET = lmerControl(check_conv_singular="ignore")


def test_other_searches_keep_to_the_users_limit():
    data = datasets.load("cake")
    formula = "angle ~ recipe + (1 + recipe | replicate) + (1 | recipe:replicate)"
    free = lmer(formula, data, control=QUIET).optinfo["evaluations"]
    limited = lmer(formula, data, control=lmerControl(check_conv_singular="ignore", max_evaluations=free - 10)).optinfo["evaluations"]
    assert limited <= free - 10 + 2 * 9         # an evaluation after a search and at most eight polishing steps each


def test_a_start_that_the_user_did_not_give_is_never_blamed_on_the_user(monkeypatch):
    """The search from the user's start ends at an edge; one of ours then meets a point without a criterion."""
    minimize, calls = search.minimize, []

    def fails_later(criterion, start, control, report):
        calls.append(start)
        if len(calls) > 1:
            raise NotPositiveDefinite("no criterion here")
        return minimize(criterion, start, control, report)

    monkeypatch.setattr(search, "minimize", fails_later)
    fit = lmer("Yield ~ 1 + (1 | Batch)", datasets.load("Dyestuff2"), start=[0.5], control=QUIET)
    assert len(calls) > 1 and fit.isSingular() and fit.optinfo["status"] == "singular"


@pytest.mark.parametrize("change", ["refitML", "smaller", "given"])
def test_marginal_means_of_a_model_made_from_another_are_those_of_the_model_fitted_anew(change):
    data = datasets.load("cake")
    fit = lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", data)
    emmeans(fit, "recipe", ddf="Satterthwaite")              # what it needs of the rows is now known
    if change == "refitML":
        made, anew = fit.refitML(), lmer("angle ~ recipe * temperature + (1 | recipe:replicate)", data, REML=False)
    elif change == "smaller":
        made, anew = fit._submodel("angle ~ recipe + temperature + (1 | recipe:replicate)"), lmer(
            "angle ~ recipe + temperature + (1 | recipe:replicate)", data)
    else:
        made, anew = fit.with_parameters(sigma=fit.sigma()), fit
    ours, theirs = (emmeans(m, "recipe", ddf="Satterthwaite").to_frame() for m in (made, anew))
    np.testing.assert_allclose(ours["emmean"], theirs["emmean"], rtol=1e-9)
    np.testing.assert_allclose(ours["SE"], theirs["SE"], rtol=1e-6)
