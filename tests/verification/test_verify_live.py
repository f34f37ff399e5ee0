"""Verification with R running, and with parts of it missing."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, lmer, verify
from fastlmm_hlm.verification import rsession
from parity.cases import all_cases
from tests.verification.conftest import stored
from tests.verification.models import MODELS, model

pytestmark = pytest.mark.parity
ROOT = pathlib.Path(__file__).resolve().parents[2]
SLEEP = ROOT / "fastlmm_hlm" / "datasets" / "sleepstudy.csv"
# Where lme4's optimizer stops may depend on the BLAS, to its own tolerance.
SAME_STOP = 1e-6


def case(name):
    found = next(case for case in all_cases() if case.id == name)
    return found.formula, found.frame(), found.arguments()


@pytest.mark.parametrize("name", MODELS)
def test_r_answers_what_is_stored(live_r, name):
    formula, frame, arguments = model(name)
    result, before = verify(formula, frame, **arguments), stored(name)["answer"]
    assert result.ok
    assert result.theirs["at_ours"]["criterion"] == pytest.approx(before["at_ours"]["criterion"], rel=1e-10)
    assert result.theirs["refit"]["sigma"] == pytest.approx(before["refit"]["sigma"], rel=SAME_STOP)


@pytest.mark.parametrize("name", ["ragged_everything", "ragged_rank_deficient", "hsb_cross_level", "penicillin", "ergo_no_intercept",
                                  "orthodont_three_terms_one_factor", "sleep_quadratic"])
def test_models_of_the_parity_suite_are_verified(live_r, name):
    formula, frame, arguments = case(name)
    result = verify(formula, frame, **arguments)
    assert result.ok, result


def test_a_calendar_year_where_lme4_stops_early_and_warns_falsely(live_r):
    formula, frame, arguments = case("growth_calendar_year")
    result = verify(formula, frame, **arguments)
    assert result.verdict == "ours_lower", result
    assert result.record["criterion"]["lme4"] - result.record["criterion"]["ours"] > 50
    assert result.record["criterion"]["lme4_at_ours"] == pytest.approx(result.record["criterion"]["ours"], abs=1e-6)
    assert len(result.record["optimizers"]) >= 5
    warning = result.record["warnings"][0]
    assert "singular" in warning["text"] and warning["judgement"] == "false"
    assert "lose their digits" in result.table.loc["df", "note"]


def test_kenward_roger_is_that_of_pbkrtest(live_r):
    result = verify("Reaction ~ poly(Days, 2) + (Days | Subject)", datasets.load("sleepstudy"), ddf="Kenward-Roger")
    assert result.ok and result.table.loc["df", "status"] in ("equal", "equal_after_refit") and "pbkrtest" in result.record["versions"]


def test_vectors_and_missing_values_reach_r(live_r):
    frame = datasets.load("sleepstudy")
    frame.loc[[3, 50], "Days"] = np.nan
    weights, offset = np.linspace(1, 2, len(frame)), np.arange(len(frame)) / 7
    result = verify("Reaction ~ Days + (1 | Subject)", frame, weights=weights, offset=offset, subset=frame["Reaction"] < 400, na_action="exclude")
    assert result.ok, result
    assert result.ours["rows_left_out"] == result.theirs["default"]["rows_left_out"] == 2 + int((frame["Reaction"] >= 400).sum())
    assert verify(lmer("Reaction ~ Days + (1 | Subject)", frame, weights=weights)).ok


def test_every_type_of_column_is_the_same_in_r(live_r):
    import rpy2.robjects

    from fastlmm_hlm.formula import parse_formula
    from fastlmm_hlm.verification.columns import environment

    frame = pd.DataFrame({
        "x": [1.5, np.nan, 2.0, 3.0], "i": pd.array([1, None, 3, -4], dtype="Int64"), "big": [1, 2, 3, 2**40], "l": [True, False, True, True],
        "f": pd.Categorical(["b", "a", None, "b"], categories=["c", "b", "a"]),
        "o": pd.Categorical(["b", "a", None, "b"], categories=["c", "b", "a"], ordered=True),
        "t": ["u", "v", None, "\u00e9"], "d": pd.to_datetime(["2020-01-01", None, "2020-01-03", "1969-12-31"]), "a b": [1, 2, 3, 4],
    })
    env, _ = environment(parse_formula("x ~ i + big + l + f + o + t + d + `a b` + (1 | f)"), frame, {})
    told = rpy2.robjects.r("""function(env) with(env, c(
        vapply(frame, function(column) class(column)[1L], ""), levels(frame$f), levels(frame$o), as.character(frame$f), as.character(frame$t),
        as.character(frame$d), as.character(frame$i), as.character(frame$big), as.character(is.na(frame$x)), as.character(is.nan(frame$x)), names(frame)
    ))""")(env)
    expected = ["numeric", "integer", "numeric", "logical", "factor", "ordered", "character", "Date", "integer", *"cbacba", "b", "a", "NA", "b",
                "u", "v", "NA", "\u00e9", "2020-01-01", "NA", "2020-01-03", "1969-12-31", "1", "NA", "3", "-4", "1", "2", "3", "1099511627776",
                "FALSE", "TRUE", "FALSE", "FALSE", *["FALSE"] * 4, "x", "i", "big", "l", "f", "o", "t", "d", "a b"]
    assert ["NA" if str(word) in ("NA", "NA_character_") else str(word) for word in told] == expected


def test_a_formula_that_r_alone_refuses(live_r):
    frame = datasets.load("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str))
    result = verify("Reaction ~ relevel(Subject, '309') + (1 | Days)", frame)
    assert result.verdict == "refused_by_r" and "'relevel' only for (unordered) factors" in result.message


def test_what_both_sides_refuse_and_structures_that_lme4_does_not_know(live_r):
    frame = datasets.load("sleepstudy")
    assert verify("Reaction ~ Days + (1 | Subject)", frame.assign(Subject="a")).verdict == "refused_by_both"
    result = verify("Reaction ~ Days + cs(Days | Subject)", frame)
    assert result.verdict == "refused_by_r" and "covariance structure" in result.message


def test_the_users_own_session_of_r_is_left_as_it_was(live_r):
    import rpy2.robjects
    from rpy2.rinterface_lib import callbacks

    before = list(rpy2.robjects.r("ls(globalenv())")), list(rpy2.robjects.r("search()")), callbacks.consolewrite_print
    verify("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy"), ddf="lme4")
    assert (list(rpy2.robjects.r("ls(globalenv())")), list(rpy2.robjects.r("search()")), callbacks.consolewrite_print) == before


# --- parts that are missing ---------------------------------------------------------------


def command(libraries, *arguments):
    """Run the command with one folder as R's only libraries beside those of R itself."""
    environment = os.environ | {"R_LIBS": "", "R_LIBS_SITE": str(libraries), "R_LIBS_USER": str(libraries)}
    program = [sys.executable, "-m", "fastlmm_hlm", "verify", "Reaction ~ Days + (Days | Subject)", str(SLEEP), *arguments]
    return subprocess.run(program, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_without_lme4_the_packages_are_named(live_r, tmp_path):
    run = command(tmp_path)
    assert run.returncode == 3 and run.stdout == ""
    assert "the packages lme4 and lmerTest of R are not installed" in run.stderr and 'install.packages(c("lme4", "lmerTest"))' in run.stderr
    assert "r-cran-lme4 r-cran-lmertest" in run.stderr


@pytest.mark.slow
def test_without_lmertest_there_is_a_way_without_p_values(live_r, tmp_path):
    found = rsession._asks("paste(.libPaths(), collapse = '|')").split("|")
    for folder in map(pathlib.Path, found):
        for package in folder.iterdir():
            if package.name not in ("lmerTest", "pbkrtest") and not (tmp_path / package.name).exists():
                (tmp_path / package.name).symlink_to(package)
    run = command(tmp_path)
    assert run.returncode == 3 and "the package lmerTest of R is not installed" in run.stderr and "ddf='lme4'" in run.stderr
    run = command(tmp_path, "--ddf", "lme4")
    assert run.returncode == 0 and run.stdout.startswith("EQUAL"), run.stderr
    assert "the packages lmerTest and pbkrtest" in command(tmp_path, "--ddf", "Kenward-Roger").stderr


def test_r_is_found_by_its_home_too(live_r, monkeypatch):
    monkeypatch.setenv("R_HOME", subprocess.run([shutil.which("R"), "RHOME"], capture_output=True, text=True, check=True).stdout.strip())
    monkeypatch.setenv("PATH", "")
    assert rsession.start("lme4")["lme4"] == live_r["lme4"]


def test_what_the_page_shows_is_what_verify_prints(live_r, tmp_path):
    folder = ROOT / "docs" / "verify_output"
    subprocess.run([sys.executable, "-W", "ignore", str(folder / "make_verify_output.py"), str(tmp_path)], cwd=ROOT, check=True,
                   env=os.environ | {"PYTHONPATH": "."})
    names = sorted(path.name for path in folder.glob("*.txt"))
    assert names == sorted(path.name for path in tmp_path.iterdir()) == ["calendar_year.txt", "sleepstudy.txt"]
    page = (ROOT / "docs" / "verified_migration.md").read_text()
    for name in names:
        now, then = (path.read_text().splitlines() for path in (tmp_path / name, folder / name))
        assert now[0] == then[0] and f"verify_output/{name}" in page
        # the verdict of every quantity; differences are rounding, and depend on the machine
        assert [line.split()[-2:] for line in now if line.endswith(("equal", "at ours"))] == [
            line.split()[-2:] for line in then if line.endswith(("equal", "at ours"))]
