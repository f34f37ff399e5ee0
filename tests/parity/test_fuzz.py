"""Random designs: they can be repeated and made smaller; and a handful agree with lme4 now."""

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import SingularFitWarning
from fastlmm_hlm.model import search
from parity import fuzz, lme4_live
from parity.compare import Row
from parity.designs import draw, draw_data
from parity.run import Outcome

DRAWS = [draw(3, k) for k in range(60)]


def test_a_draw_can_be_repeated():
    assert [draw(3, k) for k in range(60)] == DRAWS
    pd.testing.assert_frame_equal(draw_data.__wrapped__((3, 7)), draw_data.__wrapped__((3, 7)))


def test_draws_are_of_every_kind():
    assert {d.REML for d in DRAWS} == {True, False} and {d.missing for d in DRAWS} == {True, False}
    assert any(d.weights for d in DRAWS) and any(d.offset for d in DRAWS) and any(d.subset for d in DRAWS)
    assert {len(d.random) for d in DRAWS} == {1, 2, 3}
    assert len({d.formula for d in DRAWS}) > 55


def test_smaller_draws_have_one_thing_less():
    d = draw(1, 8)
    for smaller in d.smaller():
        changed = [f.name for f in dataclasses.fields(d) if getattr(d, f.name) != getattr(smaller, f.name)]
        assert changed and set(changed) <= {"fixed", "random", "weights", "offset", "subset", "contrasts", "missing", "intercept", "share"}
        assert len(smaller.random) >= 1 and (smaller.intercept or smaller.fixed)


def test_the_data_that_r_reads_are_those_that_we_fit(tmp_path):
    d = dataclasses.replace(draw(3, 2), missing=True)
    case = d.written(tmp_path)
    frame, own = case.frame(), d.data()
    assert list(frame.columns) == list(own.columns) and len(frame) == len(own)
    for name in own:
        assert (frame[name].isna().to_numpy() == own[name].isna().to_numpy()).all()
    np.testing.assert_allclose(frame["y"].astype(float), own["y"].astype(float), rtol=1e-15)
    assert case.for_r()["path"] == str(tmp_path / "drawn.csv")


def verdict(d, kind):
    return fuzz.Verdict(d, kind, Outcome(None, (Row("criterion", 1.0, 1e-6),)))


def test_shrinking_keeps_only_what_makes_it_fail(monkeypatch):
    """A failure that needs weights and a slope on g is reduced to these."""
    def judge(d, reference_of=None):
        return verdict(d, fuzz.FAILED if d.weights and any("x" in t and "| g" in t for t in d.random) else fuzz.AGREE)

    monkeypatch.setattr(fuzz, "judge", judge)
    d = dataclasses.replace(draw(1, 8), weights="w", random=("(x | g)", "(1 | a/b)", "(1 | h)"), fixed=("x", "z", "f"))
    small = fuzz.shrink(verdict(d, fuzz.FAILED)).draw
    assert small.random == ("(x | g)",) and small.fixed == () and small.weights == "w" and small.share < 0.2


def test_a_singular_optimum_is_left_for_a_lower_one(monkeypatch):
    """(year || h): the moments lead to a minimum at zero, more than 10 above the one that lme4's start leads to."""
    d = draw(1, 156)
    with pytest.warns(SingularFitWarning), monkeypatch.context() as patch:
        patch.setattr(search, "_other_starts", lambda criterion: [])
        caught = lmer(d.formula, d.data(), REML=d.REML, weights=d.weights)
    fit = lmer(d.formula, d.data(), REML=d.REML, weights=d.weights)
    assert caught.isSingular() and not fit.isSingular()
    assert fit.deviance() < caught.deviance() - 10


@pytest.mark.parity
@pytest.mark.slow
def test_some_random_designs_agree_with_lme4_now():
    try:
        lme4_live.session()
    except lme4_live.NoLme4Error as problem:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail(f"FASTLMM_REQUIRE_R=1, but: {problem}")
        pytest.skip(str(problem))
    verdicts = fuzz.run(12, seed=11, verbose=False)
    assert [fuzz.description(v) for v in verdicts if v.kind == fuzz.FAILED] == []
    assert sum(v.kind in (fuzz.AGREE, fuzz.BETTER) for v in verdicts) >= 6
