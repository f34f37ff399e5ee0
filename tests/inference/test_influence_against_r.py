"""Diagnostics of rows and influence of rows and groups against lme4 (reference/influence.json).

What lme4 1.1-31 does otherwise than one would expect, kept here for the record:

- dfbetas(influence(fit)) stops with "non-conformable arrays" for a single fixed effect;
- influence(fit, groups) stops with "length of 'dimnames' [2] not equal to array extent" where a
  deletion makes columns of X dependent, with "grouping factors must have > 1 sampled level" where
  it leaves one level, and with "0 (non-NA) cases" where the column has a missing value anywhere;
- influence(fit) replaces the subset of the fit by its own, so that rows the fit left out return; rows
  with missing values are "deleted", too, and counted in cooks.distance();
- influence(fit, c("a", "b")) pastes all columns of the data together, and leaves out single rows;
- its refits stop some 1e-5 from their optimum however tight the optimizer is made.
"""

import functools
import warnings

import numpy as np
import pytest

from fastlmm_hlm import cooks_distance, hatvalues, influence, lmer, rstandard, rstudent
from fastlmm_hlm.errors import FastlmmWarning
from influence_cases import GROUPS, cases, stored

# Closed forms at two optima of the same criterion; relative to the largest value.
CLOSED_FORM = 1e-6
# lme4's deviance function minimized by Newton steps on differences. Fixed effects in standard errors,
# variances relative to the largest; seen are 4e-8 and 3e-7.
POLISHED_FIXEF, POLISHED = 1e-7, 5e-7
# lme4's own refits; a criterion within 1e-9 of its minimum leaves theta 1e-4 of freedom.
OWN_FIXEF, OWN_VARIANCES = 2e-4, 1e-3
# There lme4's optimizer ends at another point, 0.02 above the minimum.
STUCK = {("orthodont_interaction", "age"): ["8"]}


@functools.cache
def fit_of(name):
    case = cases()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return lmer(case.formula, case.frame(), **case.arguments())


@functools.cache
def influence_of(name, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        return influence(fit_of(name), group)


def numbers(rows):
    """A table of R's, with NaN for NA."""
    return np.array([[np.nan if isinstance(v, str) else v for v in row] for row in rows], dtype=float)


def labels_as_r_writes_them(index):
    return [f"{label:g}" if isinstance(label, float) else str(label) for label in index]


def compared(name):
    """(group, answer) of the deletions that lme4 could make."""
    answers = dict(stored()[name]["groups"])
    if "rows" in stored()[name]:
        answers["rows"] = stored()[name]["rows"]
    return {group: answer for group, answer in answers.items() if "error" not in answer}


def aligned(name, group, answer):
    """Our Influence, and the places in it of lme4's deletions."""
    made = influence_of(name, None if group == "rows" else group)
    own = [str(i + 1) for i in made.deleted] if group == "rows" else labels_as_r_writes_them(made.deleted)
    places = [own.index(label) if label in own else -1 for label in answer["deleted"]]
    stuck = STUCK.get((name, group), [])
    usable = np.array([place >= 0 and label not in stuck for place, label in zip(places, answer["deleted"])])
    assert usable.sum() == len(made) - len(stuck)          # lme4 deletes rows that are not in the fit, too
    return made, np.array(places)[usable], usable


def close(ours, theirs, tolerance, what):
    theirs = np.asarray(theirs, dtype=float)
    scale = np.abs(theirs).max()
    assert np.abs(ours - theirs).max() <= tolerance * max(scale, 1e-300), what


@pytest.mark.parametrize("name", GROUPS)
def test_diagnostics_of_rows_are_those_of_lme4(name):
    fit, wanted = fit_of(name), stored()[name]
    close(hatvalues(fit).dropna(), wanted["hatvalues"], CLOSED_FORM, "hatvalues")
    close(cooks_distance(fit).dropna(), wanted["cooks"], CLOSED_FORM, "cooks.distance")
    close(rstudent(fit).dropna(), wanted["rstudent"], CLOSED_FORM, "rstudent")
    h, r = np.array(wanted["hatvalues"]), np.array(wanted["pearson"])
    close(rstandard(fit).dropna(), r / (wanted["sigma"] * np.sqrt(1.0 - h)), CLOSED_FORM, "rstandard")


@pytest.mark.parametrize("name", GROUPS)
def test_influence_by_row_and_group_is_that_of_lme4(name):
    se = fit_of(name).bse.to_numpy()
    for group, answer in compared(name).items():
        made, places, usable = aligned(name, group, answer)
        assert made.converged.all()
        gap = (made.fixef.to_numpy()[places] - numbers(answer["fixef"])[usable]) / se
        assert np.abs(gap).max() <= OWN_FIXEF, group
        gap = (made.dfbeta().to_numpy()[places] - numbers(answer["dfbeta"])[usable]) / se
        assert np.abs(gap).max() <= OWN_FIXEF, group
        assert list(made.varcorr.columns) == answer["varcorr_names"]
        close(made.varcorr.to_numpy()[places], numbers(answer["varcorr"])[usable], OWN_VARIANCES, group)
        k, p = len(answer["deleted"]), len(se)             # lme4 counts rows that are not in the fit, too
        cook = made.cooks_distance(definition="cook").to_numpy() * (k - p) / k
        close(cook[places], np.array(answer["cooks"])[usable], OWN_VARIANCES, group)
        if k == len(made):
            np.testing.assert_array_equal(made.cooks_distance(), cook)
        if len(se) > 1:
            gap = made.dfbetas().to_numpy()[places] - numbers(answer["dfbetas"])[usable]
            assert np.abs(gap).max() <= OWN_FIXEF, group
        else:
            assert "error" in answer["dfbetas"]


@pytest.mark.parametrize("name", GROUPS)
def test_influence_by_group_is_the_optimum_of_lme4s_deviance_function(name):
    se = fit_of(name).bse.to_numpy()
    for group, answers in stored()[name]["polished"].items():
        made = influence_of(name, group)
        own = labels_as_r_writes_them(made.deleted)
        varcorr, fixef, sigma = made.varcorr.to_numpy(), made.fixef.to_numpy(), made.sigma.to_numpy()
        for label, answer in answers.items():
            if label not in own:                            # only in rows that the fit left out
                continue
            i = own.index(label)
            if "error" in answer:
                assert answer["error"] == "grouping factors must have > 1 sampled level"
                assert np.isnan(sigma[i]) and made.deleted[i] in made.messages
                continue
            if len(answer["fixef"]) < len(se):              # columns of X became dependent
                assert np.isnan(fixef[i]).sum() == len(se) - len(answer["fixef"])
                assert made.deleted[i] in made.messages
            else:
                assert np.abs((fixef[i] - answer["fixef"]) / se).max() <= POLISHED_FIXEF, (group, label)
            assert abs(sigma[i] / answer["sigma"] - 1.0) <= POLISHED, (group, label)
            close(varcorr[i], answer["varcorr"], POLISHED, (group, label))
