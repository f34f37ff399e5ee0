"""Questions that have no answer are refused in the user's words."""

import pickle

import numpy as np
import pytest
from emm_cases import fitted_case

from fastlmm_hlm import emmeans, emtrends, joint_tests, pairs, ref_grid
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError

BAD = [
    ("no predictor 'q'.*there are a, b, z, x", lambda m: emmeans(m, "q")),
    ("no predictor 'g'", lambda m: emmeans(m, "~ a | g")),
    ("no predictor 'nope'", lambda m: emmeans(m, "a", by="nope")),
    ("'w', which is no level of 'b'.*u, v", lambda m: emmeans(m, "a", at={"b": "w"})),
    ("at: the model has no predictor 'h'", lambda m: emmeans(m, "a", at={"h": 1})),
    ("give numbers", lambda m: emmeans(m, "a", at={"x": "p"})),
    ("finite", lambda m: emmeans(m, "a", at={"x": np.inf})),
    ("each value once", lambda m: emmeans(m, "a", at={"a": ["lo", "lo"]})),
    ("is empty", lambda m: emmeans(m, "a", at={"x": []})),
    ("give a dict", lambda m: emmeans(m, "a", at=["x"])),
    (r"has 'log\(x\)'", lambda m: emmeans(m, "~ a + log(x)")),
    ("cannot be read", lambda m: emmeans(m, "~ a +")),
    ("specs = 3", lambda m: emmeans(m, 3)),
    ("weights = 'w'", lambda m: emmeans(m, "a", weights="w")),
    ("weights has 2 numbers; expected 4", lambda m: emmeans(m, "a", weights=[1, 2])),
    ("ddf = 'foo'", lambda m: emmeans(m, "a", ddf="foo")),
    ("level = 95", lambda m: emmeans(m, "a", level=95)),
    ("type = 'resp'", lambda m: emmeans(m, "a", type="resp")),
    ("cov_reduce is 'median'", lambda m: emmeans(m, "a", cov_reduce="median")),
    ("must give one or more finite numbers", lambda m: emmeans(m, "a", cov_reduce=lambda x: np.nan)),
    ("method = 'foo'", lambda m: emmeans(m, "foo ~ a")),
    ("method = 'foo'", lambda m: emmeans(m, "a").contrast("foo")),
    ("adjust = 'foo'", lambda m: emmeans(m, "a").pairs(adjust="foo")),
    ("by = 'b' is no column", lambda m: emmeans(m, "a").pairs(by="b")),
    ("simple = 'b' is no column", lambda m: emmeans(m, "a").pairs(simple="b")),
    ("ref = 'zz' is no level", lambda m: emmeans(m, "a").contrast("trt.vs.ctrl", ref="zz")),
    ("side = 'up'", lambda m: emmeans(m, "a").test(side="up")),
    ("interaction has 1 methods", lambda m: emmeans(m, "~ a*b").contrast(interaction=["consec"])),
    ("'b' is a factor", lambda m: emtrends(m, "a", "b")),
    ("'nope' is no numeric predictor.*z, x", lambda m: emtrends(m, "a", "nope")),
    ("delta_var = 0", lambda m: emtrends(m, "a", "x", delta_var=0)),
    ("has no slope at x = -1", lambda m: emtrends(fitted_case("functions"), "a", "x", at={"x": -1.0})),
    ("expected the result of emmeans", lambda m: pairs(m)),
    ("expected a fitted model", lambda m: joint_tests(3)),
    ("expected a fitted model", lambda m: emmeans(3, "a")),
    ("by = 'q' is no predictor", lambda m: joint_tests(m, by="q")),
    ("has no factor 'q'", lambda m: emmeans(m, "~ a*b").plot_interaction("q")),
    ("several rows have the same a", lambda m: emmeans(m, "~ a*b").plot_interaction("a", trace=[])),
]


@pytest.mark.parametrize("message, question", BAD, ids=[message for message, _ in BAD])
def test_a_question_without_an_answer_is_refused(message, question):
    with pytest.raises(ArgumentError, match=message):
        question(fitted_case("factorial"))


def test_a_grid_that_is_too_large_is_refused():
    with pytest.raises(ArgumentError, match="would have .* combinations"):
        ref_grid(fitted_case("factorial"), at={"x": np.arange(10_000.0)})


def test_rows_that_are_gone_are_named():
    lone = pickle.loads(pickle.dumps(fitted_case("factorial")))
    with pytest.raises(RowsNotKeptError, match="keep_data=True"):
        emmeans(lone, "a", cov_reduce=np.median)


def test_a_pickle_survives_data_that_have_changed(school):
    from fastlmm_hlm import lmer

    fit = lmer("y ~ a + x + (1|g)", school)
    del school["x"]
    lone = pickle.loads(pickle.dumps(fit))
    with pytest.raises(RowsNotKeptError, match="pickled without its rows"):
        emmeans(lone, "a")
    assert lone.fixef().equals(fit.fixef())
