"""What R's functions say of a fit that was handed over."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import anova, datasets, emmeans, lmer, read_rds, simulate, summary, to_r
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError
from fastlmm_hlm.rbridge.values import plain

pytestmark = pytest.mark.parity

SAME = 1e-8
# lme4's optimizer stops within this of the optimum.
SEARCH = 1e-3
# Degrees of freedom: lmerTest differentiates numerically.
DF = 1e-4


@pytest.fixture(scope="module")
def fit(lme4):
    data = datasets.load("classroom")
    made = lmer("score ~ exam.prep.days + parent.ed + (1 + exam.prep.days | class)", data, contrasts={"parent.ed": "contr.sum"})
    to_r(made, "handed", lmerTest=True, data_name="scores")
    return made


def numbers(lme4, code):
    return np.asarray(lme4.value(f"as.numeric({code})"))


def test_summary_and_anova_are_ours(lme4, fit):
    table = summary(fit).coefficients
    theirs = numbers(lme4, "coef(summary(handed))").reshape(table.shape, order="F")
    np.testing.assert_allclose(theirs[:, [0, 1, 3]], table.iloc[:, [0, 1, 3]], rtol=1e-6)
    np.testing.assert_allclose(theirs[:, 2], table["df"], rtol=DF)
    np.testing.assert_allclose(numbers(lme4, 'anova(handed)[["F value"]]'), anova(fit)["F value"], rtol=1e-6)


def test_predict_simulate_and_wald_intervals(lme4, fit):
    rows = datasets.load("classroom").head(4)
    ours = fit.predict(rows)
    np.testing.assert_allclose(numbers(lme4, "predict(handed, newdata = model.frame(handed)[1:4, ])"), ours, rtol=SAME)
    assert lme4.value("dim(simulate(handed, 2, seed = 1))").tolist() == [fit.nobs(), 2] == list(simulate(fit, 2, seed=1).shape)
    wald = fit.confint(method="Wald").dropna()
    np.testing.assert_allclose(numbers(lme4, 'na.omit(confint(handed, method = "Wald"))').reshape(-1, 2, order="F"), wald, rtol=1e-7)


def test_update_finds_the_data_and_anova_compares(lme4, fit):
    smaller = fit.update(". ~ . - parent.ed", contrasts=None)
    np.testing.assert_allclose(numbers(lme4, "fixef(update(handed, . ~ . - parent.ed))"), smaller.fixef(), rtol=1e-5)
    table = lme4.value("{ small <- update(handed, . ~ . - parent.ed); anova(handed, small)$Chisq }")
    np.testing.assert_allclose(table[1], anova(fit, smaller)["Chisq"].iloc[1], rtol=1e-4)
    assert not lme4.value('exists("scores", globalenv(), inherits = FALSE)')[0]      # the data are in the formula's environment


def test_refit_and_bootmer_run_on_it(lme4, fit):
    assert lme4.value("dim(bootMer(handed, fixef, nsim = 3, seed = 1)$t)").tolist() == [3, len(fit.fixef())]
    np.testing.assert_allclose(numbers(lme4, "fixef(refit(handed, getME(handed, 'y')))"), fit.fixef(), rtol=SEARCH)


def test_what_other_packages_ask_of_a_model(lme4, fit):
    frame = lme4.value("as.list(model.frame(handed)[c('score', 'exam.prep.days')])")
    np.testing.assert_array_equal(frame["score"], datasets.load("classroom")["score"])
    assert set(lme4.value("names(insight::get_data(handed))")) >= {"score", "exam.prep.days", "parent.ed", "class"}
    assert lme4.value("c(family(handed)$family, class(terms(handed))[1], deparse(formula(handed)))") == [
        "gaussian", "terms", str(fit.formula)]
    np.testing.assert_allclose(numbers(lme4, "as.matrix(vcov(handed))"), fit.vcov().to_numpy().ravel(), rtol=SAME)
    assert lme4.value("nobs(handed)")[0] == fit.nobs()


def test_emmeans_gives_our_means(lme4, fit):
    theirs = numbers(lme4, 'as.data.frame(emmeans::emmeans(handed, ~ parent.ed, lmer.df = "satterthwaite"))$emmean')
    np.testing.assert_allclose(theirs, emmeans(fit, "parent.ed").to_frame()["emmean"], rtol=1e-6)


def installed(lme4, package):
    return bool(lme4.value(f'(requireNamespace("{package}", quietly = TRUE))')[0])


def test_ggeffects_and_sjplot_work_on_it(lme4, fit):
    if not (installed(lme4, "ggeffects") and installed(lme4, "sjPlot")):
        pytest.skip("R's ggeffects and sjPlot are not installed (apt install r-cran-ggeffects r-cran-sjplot)")
    theirs = lme4.value('as.data.frame(ggeffects::ggpredict(handed, "exam.prep.days [0, 10]"))$predicted')
    rows = pd.DataFrame({"exam.prep.days": [0, 10], "parent.ed": datasets.load("classroom")["parent.ed"].cat.categories[0]})
    np.testing.assert_allclose(theirs, fit.predict(rows, re_form="NA"), atol=0.01)        # rounded by ggeffects
    assert "ggplot" in lme4.value("class(sjPlot::plot_model(handed))")
    assert "sjTable" in lme4.value("class(sjPlot::tab_model(handed))")


def test_types_of_columns_arrive(lme4):
    rows = np.random.default_rng(1)
    data = pd.DataFrame({
        "y": np.repeat(rows.normal(size=4), 10) * 3 + rows.normal(size=40), "count": rows.integers(0, 50, 40), "flag": np.arange(40) % 2 == 0,
        "text": np.resize(["b", "a", "C"], 40), "level": pd.Categorical(rows.choice(["low", "high"], 40), ["low", "high"], ordered=True),
        "day": pd.date_range("2024-01-01", periods=40), "school id": np.repeat(["s1", "s2", "s3", "s4"], 10),
        "gap": np.where(np.arange(40) == 3, np.nan, rows.normal(size=40)), "w": np.resize([1.0, 2.0], 40),
    })
    fit = lmer("y ~ count + flag + text + level + day + gap + (1 | `school id`)", data, weights=np.asarray(data["w"]),
               na_action="exclude")
    to_r(fit, "typed")
    types = lme4.value("vapply(get(as.character(typed@call$data), environment(formula(typed))), function(x) class(x)[1L], '')")
    named = dict(zip(lme4.value("names(get(as.character(typed@call$data), environment(formula(typed))))"), types))
    assert named == {"y": "numeric", "count": "integer", "flag": "logical", "text": "factor", "level": "ordered", "day": "Date",
                     "school id": "factor", "gap": "numeric", ".weights": "numeric"}
    assert lme4.value("levels(model.frame(typed)$text)") == ["C", "a", "b"]
    np.testing.assert_allclose(numbers(lme4, "fitted(typed)"), fit.fitted(), rtol=SAME)
    np.testing.assert_allclose(numbers(lme4, "fixef(update(typed))"), fit.fixef(), rtol=1e-5)


def test_a_response_of_refit_cannot_be_sent(lme4, fit):
    other = fit.refit(fit.simulate(1, seed=2))
    with pytest.raises(DataError, match="to_r: the response of the fit is not the one in its data"):
        to_r(other)


def test_bad_requests_are_refused(lme4, fit, tmp_path):
    with pytest.raises(ArgumentError, match="'2m' is no name in R"):
        to_r(fit, "2m")
    with pytest.raises(ArgumentError, match="there is no folder"):
        to_r(fit, path=tmp_path / "nowhere" / "m.rds")
    with pytest.raises(ArgumentError, match="expected a fitted model from lmer"):
        to_r(fit.fixef())
    structured = lmer("score ~ 1 + cs(exam.prep.days | class)", datasets.load("classroom"))
    with pytest.raises(ArgumentError, match=r"cs\(exam.prep.days \| class\) has a covariance structure"):
        to_r(structured)


def test_a_pickled_fit_needs_its_data(lme4, fit):
    import pickle

    with pytest.raises(RowsNotKeptError, match="to_r"):
        to_r(pickle.loads(pickle.dumps(fit)))


def test_a_saved_model_is_whole_in_another_r(lme4, fit, tmp_path):
    """A fresh R process reads the file, finds the data and refits."""
    import subprocess

    to_r(fit, path=tmp_path / "m.rds")
    program = f'suppressMessages(library(lme4)); m <- readRDS("{tmp_path / "m.rds"}"); cat(format(fixef(update(m)), digits = 10))'
    run = subprocess.run(["Rscript", "-e", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose([float(word) for word in run.stdout.split()], fit.fixef(), rtol=1e-5)
    assert read_rds(tmp_path / "m.rds").nobs() == fit.nobs()


def test_plain_turns_rs_vectors_into_python(lme4):
    found = plain(lme4.run('list(a = 1:2, b = NULL, c = c("x", NA))'))
    assert found["a"].tolist() == [1, 2] and found["b"] is None and found["c"] == ["x", None]


def test_the_command_line_writes_and_reads_models(lme4, tmp_path, capsys):
    from fastlmm_hlm.cli import main

    datasets.load("sleepstudy").to_csv(tmp_path / "sleep.csv", index=False)
    formula = "Reaction ~ Days + (Days | Subject)"
    assert main(["to-r", formula, str(tmp_path / "sleep.csv"), str(tmp_path / "sleep.rds"), "--lmertest"]) == 0
    capsys.readouterr()
    assert main(["from-r", str(tmp_path / "sleep.rds")]) == 0
    said = capsys.readouterr().out
    assert "not refitted" in said and "Data: sleep" in said and "Days          10.467" in said
    assert main(["from-r", str(tmp_path / "none.rds")]) == 2
