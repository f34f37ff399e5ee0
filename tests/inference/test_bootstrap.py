"""bootMer: replicates, seeds, processes, failures, print; and its intervals against boot's."""

import json
import multiprocessing
import pathlib
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest

import fastlmm_hlm.inference.bootstrap as bootstrap
from fastlmm_hlm import bootMer, datasets, fixef, lmer, sigma
from fastlmm_hlm.errors import ArgumentError, FastlmmError, FastlmmWarning, RowsNotKeptError
from fastlmm_hlm.inference.boot_intervals import boot_intervals
from fastlmm_hlm.inference.confint import Estimates
from fastlmm_hlm.inference.parameters import parameters_of
from fastlmm_hlm.inference.simulation import simulate_responses
from fastlmm_hlm.report.boot import boot_text
from some_models import fitted

STORED = json.loads((pathlib.Path(__file__).parent / "reference" / "bootstrap.json").read_text())
MODELS = {"sleep_slope": "slopes", "penicillin": "crossed"}
# R's answers are stored with 12 digits.
STORED_DIGITS = 1e-10
# Two bootstraps of 2,000 replicates differ by Monte-Carlo error; five standard errors of it.
MONTE_CARLO = 5.0


def everything(fit):
    """lme4's as.data.frame(VarCorr(fit))$sdcor and the fixed effects."""
    return np.append(fit.VarCorr().to_frame(order="lower.tri")["sdcor"], fit.fixef())


def test_replicates_are_the_statistic_of_a_fit_of_each_simulated_response():
    fit = fitted("slopes")
    made = bootMer(fit, everything, nsim=6, seed=4)
    y = simulate_responses(fit, 6, seed=4)
    for row, response in zip(made.t, y):
        np.testing.assert_allclose(row, everything(fit.refit(response)), rtol=1e-6)
    np.testing.assert_allclose(made.t0, everything(fit))


@pytest.mark.parametrize("name", ["slopes", "crossed slopes", "weights and offset", "compound symmetry"])
def test_what_a_function_is_given_is_a_fit_in_all_respects(name):
    fit = fitted(name)
    y = simulate_responses(fit, 1, seed=1)[0]
    new = []
    bootMer(fit, lambda one: new.append(one) or one.sigma(), nsim=1, seed=1)
    ours, theirs = new[1], fit.refit(y)
    assert ours is not fit and type(ours) is type(fit)
    np.testing.assert_allclose(ours.theta, theirs.theta, atol=1e-6)
    np.testing.assert_allclose(ours.vcov(), theirs.vcov(), rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(ours.fitted(), theirs.fitted(), rtol=1e-6)
    np.testing.assert_allclose(ours.residuals(), y - ours.fitted(), atol=1e-9)
    assert abs(float(ours.logLik()) - float(theirs.logLik())) < 1e-8
    assert ours.isSingular() == theirs.isSingular()
    for group, table in theirs.ranef().items():
        np.testing.assert_allclose(ours.ranef()[group], table, atol=1e-5)
        np.testing.assert_allclose(ours.ranef().condVar[group], theirs.ranef().condVar[group], rtol=1e-4, atol=1e-9)
    assert str(ours.VarCorr()) == str(theirs.VarCorr())
    assert str(ours.summary()).splitlines()[3:12] == str(theirs.summary()).splitlines()[3:12]
    assert ours.optinfo["status"] == theirs.optinfo["status"]
    assert ours.devfun()(ours.theta) == pytest.approx(ours.REMLcrit())
    assert ours.refit(y).theta == pytest.approx(ours.theta, abs=1e-6)


def test_the_fit_itself_is_not_changed():
    fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    before = str(fit.summary()), fit.theta, fit._products.XyWXy.copy(), fit.ranef()["Subject"].to_numpy()
    bootMer(fit, fixef, nsim=20, seed=1)
    assert str(fit.summary()) == before[0] and (fit.theta == before[1]).all()
    assert (fit._products.XyWXy == before[2]).all() and (fit.ranef()["Subject"].to_numpy() == before[3]).all()


def test_replicates_depend_on_the_seed_alone():
    fit = fitted("crossed")
    first = bootMer(fit, fixef, nsim=30, seed=9)
    assert (bootMer(fit, fixef, nsim=30, seed=9).t == first.t).all()
    assert (bootMer(fit, fixef, nsim=10, seed=9).t == first.t[:10]).all()
    assert (bootMer(fit, fixef, nsim=10, seed=first.seed).t == first.t[:10]).all()
    assert not (bootMer(fit, fixef, nsim=10, seed=10).t == first.t[:10]).any()


def test_two_processes_give_the_replicates_of_one():
    fit = fitted("slopes")
    one, two = (bootMer(fit, lambda new: everything(new), nsim=21, seed=2, processes=k) for k in (1, 2))
    assert (one.t == two.t).all() and one.messages == two.messages


def test_started_processes_give_the_replicates_of_one(monkeypatch):
    fit = fitted("weights and offset")
    one = bootMer(fit, fixef, nsim=9, seed=2)
    monkeypatch.setattr(bootstrap, "start_method", lambda: "forkserver")
    assert (bootMer(fit, fixef, nsim=9, seed=2, processes=2).t == one.t).all()


def test_a_function_that_cannot_be_sent_is_refused(monkeypatch):
    monkeypatch.setattr(bootstrap, "start_method", lambda: "forkserver")
    with pytest.raises(ArgumentError, match="FUN cannot be sent to other processes"):
        bootMer(fitted("slopes"), lambda fit: fit.sigma(), nsim=9, processes=2)


def test_a_process_that_dies_is_said_to_have_died():
    import os

    parent = os.getpid()
    with pytest.raises(FastlmmError, match="a process ended before"):
        bootMer(fitted("slopes"), lambda fit: fit.sigma() if os.getpid() == parent else os._exit(3), nsim=9, processes=2)


def test_a_chosen_way_to_start_processes_is_kept():
    program = (
        "import multiprocessing; multiprocessing.set_start_method('spawn')\n"
        "from fastlmm_hlm.inference.bootstrap import start_method; print(start_method())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                         cwd=pathlib.Path(__file__).resolve().parents[2])
    assert run.stdout.strip() == "spawn"
    assert bootstrap.start_method() in (*multiprocessing.get_all_start_methods(), None)


def test_runs_that_fail_are_missing_and_counted():
    fit, calls = fitted("slopes"), []

    def sometimes(new):
        calls.append(1)
        if len(calls) in (3, 5):
            raise RuntimeError("this one does not work")
        return new.fixef() if len(calls) != 7 else new.fixef().iloc[:1]

    with pytest.warns(FastlmmWarning, match=r"some bootstrap runs failed \(3/8\)"):
        made = bootMer(fit, sometimes, nsim=8, seed=1)
    assert np.isnan(made.t).all(axis=1).tolist() == [False, True, False, True, False, True, False, False]
    assert made.failed == 3 and made.errors["this one does not work"] == 2
    assert "2 error(s): this one does not work" in str(made)
    assert made.confint().notna().all(axis=None)


def test_when_every_run_fails_it_is_said():
    fit, first = fitted("slopes"), []

    def once(new):
        if first:
            raise ValueError("never again")
        first.append(1)
        return 1.0

    with pytest.warns(FastlmmWarning, match=r"\*all\* bootstrap runs failed! The first error: never again"):
        made = bootMer(fit, once, nsim=4)
    assert made.failed == 4 and made.confint().isna().all(axis=None)


def test_warnings_of_the_function_are_counted_not_shown(recwarn):
    import warnings

    def warns(fit):
        warnings.warn("look at this")
        return fit.sigma()

    made = bootMer(fitted("slopes"), warns, nsim=5, seed=1)
    assert made.warnings == {"look at this": 5}
    assert len([w for w in recwarn if "look at this" in str(w.message)]) == 1     # of the fit itself


def test_singular_fits_are_counted_and_printed_as_in_lme4():
    made = bootMer(fitted("zero variance"), sigma, nsim=40, seed=1)
    assert 8 < made.singular < 32
    assert f"{made.singular} message(s): boundary (singular) fit: see help('isSingular')" in str(made)


@pytest.mark.parametrize("case", STORED["cases"])
def test_intervals_are_those_of_R_from_the_same_replicates(case):
    few = STORED["cases"][case]["few"]
    t, t0 = np.array(few["t"], dtype=float), np.array(few["t0"], dtype=float)
    for kind in ("perc", "basic", "norm"):
        ours = boot_intervals(t0, t, 0.95, kind)
        np.testing.assert_allclose(ours, np.array(few[kind], dtype=float), rtol=STORED_DIGITS, atol=1e-9)


@pytest.mark.parametrize("case", STORED["cases"])
def test_the_table_is_printed_as_in_R(case):
    few = STORED["cases"][case]["few"]
    ours = boot_text("bootMer", np.array(few["t0"], dtype=float), np.array(few["t"], dtype=float), "parametric", {}, {}, {})
    theirs = few["printed"]
    start, own = theirs.index("Bootstrap Statistics :"), ours.splitlines()
    count = len(few["t0"]) + 2
    assert own[own.index("Bootstrap Statistics :") :][:count] == theirs[start : start + count]


@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize("use_u", [False, True], ids=["marginal", "use_u"])
def test_a_large_bootstrap_agrees_with_that_of_lme4(case, use_u):
    theirs = STORED["cases"][case]["use_u" if use_u else "marginal"]
    fit, n = fitted(MODELS[case]), STORED["nsim"]
    made = bootMer(fit, Estimates(parameters_of(fit)), nsim=n, seed=3, use_u=use_u)
    t = made.t
    sd = np.array(theirs["sd"], dtype=float)
    error = MONTE_CARLO * sd * np.sqrt(2.0 / n)
    assert (np.abs(t.mean(axis=0) - np.array(theirs["mean"], dtype=float)) < error).all()
    assert (np.abs(t.std(axis=0, ddof=1) / sd - 1.0) < MONTE_CARLO * np.sqrt(1.5 / n)).all()
    for kind in ("perc", "basic", "norm"):
        # a 2.5 percent quantile of normal numbers has 2.7 times the standard error of their mean
        difference = made.confint(type=kind).to_numpy() - np.array(theirs[kind], dtype=float)
        assert (np.abs(difference) < 3.5 * error[:, None]).all(), kind


def test_statistics_may_be_numbers_vectors_series_and_mappings():
    fit = fitted("slopes")
    assert list(bootMer(fit, sigma, nsim=1).t0.index) == ["t1"]
    assert list(bootMer(fit, lambda one: one.theta, nsim=1).t0.index) == ["t1", "t2", "t3"]
    assert list(bootMer(fit, fixef, nsim=2).to_frame().columns) == ["(Intercept)", "Days"]
    made = bootMer(fit, lambda one: {"a": one.sigma(), "b": 2}, nsim=2, seed=1)
    assert list(made.confint(level=0.5).index) == ["a", "b"]
    assert list(made.confint(level=0.5).columns) == ["25 %", "75 %"]
    assert isinstance(made.to_frame(), pd.DataFrame) and made.t.shape == (2, 2)


@pytest.mark.parametrize("value", ["text", None, [[1.0, 2.0], [3.0, 4.0]], [], [1.0, "a"], 1j])
def test_a_function_that_gives_no_numbers_is_refused(value):
    with pytest.raises(ArgumentError, match="expected a number or a vector of numbers"):
        bootMer(fitted("slopes"), lambda fit: value, nsim=1)


@pytest.mark.parametrize("arguments, message", [
    ({"nsim": 0}, "nsim = 0"), ({"nsim": 2.0}, "nsim"), ({"nsim": True}, "nsim"), ({"processes": 0}, "processes = 0"),
    ({"type": "semiparametric"}, "bootMer: semiparametric"), ({"type": "wild"}, "'wild' is not known"), ({"seed": "a"}, "seed"),
])
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        bootMer(fitted("slopes"), fixef, **arguments)


def test_what_is_no_function_is_refused():
    with pytest.raises(ArgumentError, match="is no function of a fit"):
        bootMer(fitted("slopes"), "fixef")


def test_a_fit_without_rows_is_refused():
    import pickle

    fit = pickle.loads(pickle.dumps(lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))))
    with pytest.raises(RowsNotKeptError, match="bootMer"):
        bootMer(fit, fixef, nsim=2)


def test_a_semiparametric_bootstrap_keeps_the_effects_of_the_groups():
    fit = fitted("slopes")
    made = bootMer(fit, fixef, nsim=200, seed=1, use_u=True, type="semiparametric")
    assert made.t[:, 1].std() < 0.5 * fit.bse["Days"]
    assert abs(made.t[:, 1].mean() - fit.fixef()["Days"]) < 0.3
    assert "SEMIPARAMETRIC BOOTSTRAP" in str(made)


def test_the_call_is_printed_with_what_is_not_usual():
    made = bootMer(fitted("slopes"), fixef, nsim=2, seed=3, use_u=True)
    assert "bootMer(fit, FUN=fixef, nsim=2, seed=3, use_u=True)" in str(made)


@pytest.mark.parametrize("kind, level, message", [("bca", 0.95, "'bca' is not known"), ("perc", 1.0, "level = 1.0"), ("perc", "a", "level = 'a'")])
def test_unknown_intervals_are_refused(kind, level, message):
    made = bootMer(fitted("slopes"), fixef, nsim=2, seed=3)
    with pytest.raises(ArgumentError, match=message):
        made.confint(level=level, type=kind)


def test_few_replicates_are_said_to_be_few():
    made = bootMer(fitted("slopes"), fixef, nsim=10, seed=3)
    with pytest.warns(FastlmmWarning, match="extreme order statistics used as endpoints"):
        limits = made.confint()
    np.testing.assert_allclose(limits, np.column_stack([made.t.min(axis=0), made.t.max(axis=0)]))


class Bar:
    """Stands for tqdm's bar and notes what it is told."""

    made = []

    def __init__(self, total, desc, unit):
        self.total, self.count, self.closed = total, 0, False
        Bar.made.append(self)

    def update(self, n):
        self.count += n

    def close(self):
        self.closed = True


def test_a_progress_bar_counts_every_replicate(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    bootMer(fitted("slopes"), fixef, nsim=23, seed=1, progress=True)
    bar = Bar.made.pop()
    assert (bar.total, bar.count, bar.closed) == (23, 23, True)


def test_without_tqdm_a_progress_bar_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(FastlmmError, match=r"fastlmm_hlm\[progress\]"):
        bootMer(fitted("slopes"), fixef, nsim=2, progress=True)
