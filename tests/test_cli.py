"""The command line: what it prints, where, and with which exit code."""

import builtins
import gzip
import json
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import fastlmm_hlm
from fastlmm_hlm import datasets, lmer, lmerControl
from fastlmm_hlm.cli import main
from fastlmm_hlm.cli.reading import id_columns, read_table
from fastlmm_hlm.formula import parse_formula

FOLDER = pathlib.Path(datasets.__file__).parent
SLEEP = str(FOLDER / "sleepstudy.csv")
FORMULA = "Reaction ~ Days + (Days | Subject)"
# The record is written with all digits; what differs is the order of the levels only.
ROUNDING = dict(rtol=1e-12)


@pytest.fixture
def run(capsys):
    """Run a command: exit code, stdout, stderr."""
    def command(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def sleep():
    return pd.read_csv(SLEEP)


def record(run, *arguments):
    code, out, err = run("fit", *arguments, "--json")
    assert code == 0, err
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# --- results ----------------------------------------------------------------------


def test_fit_prints_the_summary(run, sleep):
    assert run("fit", FORMULA, SLEEP) == (0, f"{lmer(FORMULA, sleep).summary()}".rstrip("\n") + "\n", "")


def test_fit_passes_its_options_on(run, sleep):
    _, out, _ = run("fit", FORMULA, SLEEP, "--ml", "--weights", "Days + 1", "--offset", "Days / 2", "--subset", "Days > 1",
                    "--optimizer", "bobyqa")
    fit = lmer(FORMULA, sleep, REML=False, weights="Days + 1", offset="Days / 2", subset="Days > 1",
               control=lmerControl(optimizer="bobyqa"))
    assert out.rstrip() == str(fit.summary()).rstrip()


@pytest.mark.parametrize("ddf", ["Kenward-Roger", "lme4"])
def test_the_method_of_the_t_tests_is_chosen(run, sleep, ddf):
    _, out, _ = run("fit", FORMULA, SLEEP, "--ddf", ddf)
    assert out.rstrip() == str(lmer(FORMULA, sleep).summary(ddf=ddf)).rstrip()
    found = record(run, FORMULA, SLEEP, "--ddf", ddf)["fixef"][0]
    assert (found["p"] is None) == (ddf == "lme4")


def test_contrasts_are_given_factor_by_factor(run):
    found = record(run, "angle ~ recipe * temp + (1 | replicate)", FOLDER / "cake.csv", "--contrasts", "recipe=contr.sum")
    assert [row["name"] for row in found["fixef"]][:3] == ["(Intercept)", "recipe1", "recipe2"]


def test_ranef_adds_the_random_effects(run, sleep):
    _, out, _ = run("fit", FORMULA, SLEEP, "--ranef")
    table = out.split("$Subject\n")[1]
    assert table.splitlines()[1].split()[0] == "308"
    found = record(run, FORMULA, SLEEP, "--ranef")
    expected = lmer(FORMULA, sleep).ranef().to_frame()
    pd.testing.assert_frame_equal(pd.DataFrame(found["ranef"]), expected, check_dtype=False)


def test_json_holds_the_fit(run, sleep):
    found, fit = record(run, FORMULA, SLEEP), lmer(FORMULA, sleep)
    assert (found["formula"], found["REML"], found["nobs"], found["ngrps"]) == (FORMULA, True, 180, {"Subject": 18})
    table = pd.DataFrame(found["fixef"]).set_index("name")
    np.testing.assert_allclose(table["estimate"], fit.fixef(), **ROUNDING)
    np.testing.assert_allclose(table["se"], fit.bse, **ROUNDING)
    np.testing.assert_allclose(table["t"], fit.tvalues, **ROUNDING)
    np.testing.assert_allclose(table["p"], fit.pvalues, **ROUNDING)
    np.testing.assert_allclose(table["df"], fit.summary().coefficients["df"], **ROUNDING)
    np.testing.assert_allclose(found["vcov"], fit.vcov(), **ROUNDING)
    np.testing.assert_allclose(found["theta"], fit.theta, **ROUNDING)
    numbers = {"criterion": fit.REMLcrit(), "sigma": fit.sigma(), "logLik": fit.llf, "AIC": fit.aic, "BIC": fit.bic}
    for name, value in numbers.items():
        assert found[name] == pytest.approx(value, rel=1e-12)
    expected = fit.VarCorr().to_frame()
    assert [row["var2"] for row in found["VarCorr"]] == [None, None, "Days", None]
    np.testing.assert_allclose([row["vcov"] for row in found["VarCorr"]], expected["vcov"], **ROUNDING)
    assert found["optinfo"]["evaluations"] == fit.optinfo["evaluations"]
    assert "trace" not in found["optinfo"]
    assert found["versions"]["fastlmm_hlm"] == fastlmm_hlm.__version__


def test_json_of_an_ml_fit_gives_the_deviance(run, sleep):
    found = record(run, FORMULA, SLEEP, "--ml")
    assert found["REML"] is False
    assert found["criterion"] == pytest.approx(lmer(FORMULA, sleep, REML=False).deviance(), rel=1e-12)


def test_rows_left_out_are_counted_by_reason(run, sleep, tmp_path):
    path = tmp_path / "gaps.csv"
    sleep.assign(Days=sleep["Days"].where(sleep.index != 20)).to_csv(path, index=False)
    found = record(run, FORMULA, path, "--subset", "Reaction < 400")
    outside = int((sleep["Reaction"] >= 400).sum())
    assert found["left_out"] == {"rows": outside + 1, "reasons": {"subset": outside, "missing values": 1}, "missing": {"Days": 1}}


def test_output_goes_to_the_file(run, tmp_path):
    path = tmp_path / "fit.txt"
    code, out, err = run("fit", FORMULA, SLEEP, "--output", path)
    assert (code, out, err) == (0, "", "")
    assert path.read_text() == run("fit", FORMULA, SLEEP)[1]


def test_the_program_runs_as_a_module():
    called = subprocess.run([sys.executable, "-m", "fastlmm_hlm", "fit", FORMULA, SLEEP], capture_output=True, text=True)
    assert called.returncode == 0, called.stderr
    assert called.stdout.startswith("Linear mixed model fit by REML")


def test_version_is_printed(run):
    assert run("--version")[:2] == (0, f"fastlmm-hlm {fastlmm_hlm.__version__}\n")


def test_datasets_are_listed_and_written(run, sleep):
    code, out, _ = run("datasets")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == datasets.available()
    assert run("datasets", "sleepstudy")[1].splitlines()[0] == ",".join(sleep.columns)
    assert run("datasets", "nothing")[0] == 2


# --- files -----------------------------------------------------------------------


@pytest.mark.parametrize("ending, separator", [("csv", ","), ("csv.gz", ","), ("tsv", "\t"), ("tsv.gz", "\t")])
def test_tables_of_every_ending_give_the_same_fit(ending, separator, run, sleep, tmp_path):
    path = tmp_path / f"sleep.{ending}"
    text = sleep.to_csv(index=False, sep=separator)
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    assert run("fit", FORMULA, path)[1] == run("fit", FORMULA, SLEEP)[1]


def test_parquet_gives_the_same_fit(run, sleep, tmp_path):
    path = tmp_path / "sleep.parquet"
    sleep.to_parquet(path)
    assert run("fit", FORMULA, path)[1] == run("fit", FORMULA, SLEEP)[1]


def test_parquet_without_pyarrow_says_what_to_install(run, monkeypatch):
    original = builtins.__import__

    def without_pyarrow(name, *arguments, **keywords):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    code, out, err = run("fit", FORMULA, "sleep.parquet")
    assert code == 2 and 'pip install "fastlmm_hlm[arrow]"' in err


def write_ids(path, ids, sleep):
    names = dict(zip(sleep["Subject"].unique(), ids, strict=True))
    sleep.assign(Subject=sleep["Subject"].map(names)).to_csv(path, index=False)
    return path


def test_ids_keep_their_leading_zeros_and_their_digits(run, sleep, tmp_path):
    ids = ["1", "01", "001", "12345678901234567890", "12345678901234567891", *(f"{i:05}" for i in range(10, 23))]
    path = write_ids(tmp_path / "ids.csv", ids, sleep)
    found = record(run, FORMULA, path, "--ranef")
    assert found["ngrps"] == {"Subject": 18}
    assert {row["grp"] for row in found["ranef"]} == set(ids)


def test_whole_numbers_as_ids_are_ordered_as_numbers_even_with_gaps(run, sleep, tmp_path):
    path = write_ids(tmp_path / "ids.csv", [str(i) for i in range(3, 21)], sleep)
    with path.open("a") as file:
        file.write("250,3,\n260,3,NA\n")
    found = record(run, FORMULA, path, "--ranef")
    assert [row["grp"] for row in found["ranef"]][:18] == list(range(3, 21))
    assert found["left_out"]["missing"] == {"Subject": 2}


def test_words_that_look_missing_to_pandas_are_words(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("y,g\n1,None\n2,null\n3,NA\n,nan\n")
    table = read_table(path, {"g"})
    assert table["g"].tolist()[:2] == ["None", "null"] and table["g"].tolist()[3] == "nan"
    assert table["g"].isna().tolist() == [False, False, True, False]
    assert table["y"].isna().tolist() == [False, False, False, True]


def test_a_column_that_is_also_a_predictor_stays_a_number():
    assert id_columns(parse_formula("y ~ day + (1 | day) + (x | a/b) + (0 + f | g:h)")) == {"a", "b", "g", "h"}


# --- errors ----------------------------------------------------------------------


def test_formula_errors_point_at_the_place(run):
    code, out, err = run("fit", "Reaction ~ Days + (Days | Subject", SLEEP)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "fastlmm-hlm: error: this '(' is never closed; add the missing ')'.",
        "  Reaction ~ Days + (Days | Subject",
        "                    ^",
    ]


@pytest.mark.parametrize("arguments, message", [
    ((FORMULA.replace("Days +", "Day +"), SLEEP), "Did you mean 'Days'?"),
    ((FORMULA, "nowhere.csv"), "nowhere.csv: No such file or directory"),
    ((FORMULA, "sleep.xlsx"), "the ending is not known"),
    ((FORMULA, SLEEP, "--weights", "Hours"), "'Hours'"),
    ((FORMULA, SLEEP, "--contrasts", "Days"), "expected FACTOR=CODING"),
    ((FORMULA, SLEEP, "--output", "/no/such/folder/fit.txt"), "there is no folder"),
])
def test_input_errors_are_one_line_on_stderr_and_code_2(arguments, message, run):
    code, out, err = run("fit", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("fastlmm-hlm: error: ") and message in err and err.count("\n") == 1


def test_files_that_are_no_tables_are_input_errors(run, tmp_path):
    for name, content in (("empty.csv", b""), ("bytes.csv", b"a,b\n\xff\xfe,1\n"), ("ragged.csv", b"a,b\n1,2\n1,2,3\n"),
                          ("no.parquet", b"text"), ("no.csv.gz", b"text")):
        path = tmp_path / name
        path.write_bytes(content)
        code, out, err = run("fit", FORMULA, path)
        assert (code, out) == (2, "") and err.startswith("fastlmm-hlm: error: "), (name, err)


@pytest.mark.parametrize("arguments", [(), ("fit",), ("fit", FORMULA), ("fit", FORMULA, SLEEP, "--optimizer", "magic"), ("guess",)])
def test_usage_errors_have_code_2(arguments, run):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and "usage: fastlmm-hlm" in err


def test_warnings_are_lines_on_stderr(run):
    code, out, err = run("fit", "Yield ~ 1 + (1 | Batch)", FOLDER / "Dyestuff2.csv")
    assert code == 0
    assert err.startswith("fastlmm-hlm: warning: boundary (singular) fit") and err.count("\n") == 1


def test_a_fit_that_did_not_converge_is_printed_and_has_code_1(run, monkeypatch):
    hurried = lambda **options: lmerControl(max_evaluations=1, **options)  # noqa: E731
    monkeypatch.setattr("fastlmm_hlm.cli.fitting.lmerControl", hurried)
    code, out, err = run("fit", "mAch ~ cses + (cses | school)", FOLDER / "Hsb82.csv")
    assert code == 1
    assert out.startswith("Linear mixed model fit by REML")
    assert err.startswith("fastlmm-hlm: warning: lmer: Model failed to converge")
