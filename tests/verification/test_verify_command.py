"""fastlmm-hlm verify: what it writes where, and its exit codes."""

import builtins
import json
import pathlib

import pytest

from fastlmm_hlm import datasets
from fastlmm_hlm.cli import main
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.verification import rsession
from fastlmm_hlm.verification.models import read_models
from fastlmm_hlm.verification.verification import Verification

FOLDER = pathlib.Path(datasets.__file__).parent
SLEEP = str(FOLDER / "sleepstudy.csv")
FORMULA = "Reaction ~ Days + (Days | Subject)"
MODELS = f"""
[[model]]
id = "sleep"
formula = "{FORMULA}"
data = "{SLEEP}"

[[model]]
id = "sleep_again"
formula = "{FORMULA}"
data = "{SLEEP}"
tolerances = {{ VarCorr = 0.0 }}
"""


@pytest.fixture
def run(capsys):
    def command(*arguments):
        try:
            code = main(["verify", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_the_table_is_printed_and_files_are_written(run, with_stored_r, tmp_path):
    with_stored_r("sleepstudy")
    code, out, err = run(FORMULA, SLEEP, "--report", tmp_path / "out.html", "--json", tmp_path / "out.json")
    assert (code, err) == (0, "") and out.startswith(f"EQUAL: {FORMULA}\n(REML, ddf = Satterthwaite)\n")
    result = Verification.from_json((tmp_path / "out.json").read_text())
    assert result.verdict == "equal" and (tmp_path / "out.html").read_text().count("<svg ") == 5


def test_json_alone_goes_to_stdout_instead_of_the_table(run, with_stored_r):
    with_stored_r("sleepstudy")
    code, out, _ = run(FORMULA, SLEEP, "--json")
    assert code == 0 and json.loads(out)["verdict"] == "equal"


def test_exit_code_1_where_not_equal(run, with_stored_r):
    with_stored_r("sleepstudy")
    code, out, _ = run(FORMULA, SLEEP, "--tolerance", "VarCorr=0")
    assert code == 1 and "DIFFERENT" in out and "VarCorr" in out


@pytest.mark.parametrize("arguments, message", [
    (["Reaction ~ Dayz + (1 | Subject)", SLEEP], "Did you mean 'Days'"),
    ([FORMULA, "none.csv"], "none.csv: No such file"),
    ([FORMULA], "DATA is missing"),
    ([], "give FORMULA and DATA, or --models"),
    ([FORMULA, SLEEP, "--models", "m.toml"], "give FORMULA and DATA, or --models"),
    ([FORMULA, SLEEP, "--tolerance", "theta"], "expected QUANTITY=VALUE"),
    ([FORMULA, SLEEP, "--report", "none/out.html"], "there is no folder"),
    (["Reaction ~ Days + (Days | Subject", SLEEP], "never closed"),
])
def test_exit_code_2_for_what_cannot_be_used(run, with_stored_r, arguments, message):
    with_stored_r("sleepstudy")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and message in err


def test_exit_code_3_without_r(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    code, _, err = run(FORMULA, SLEEP)
    assert code == 3 and "R is not found" in err and "apt-get install r-base-core" in err


def test_exit_code_3_without_rpy2(run, monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("rpy2"):
            raise ImportError("No module named 'rpy2'")
        return real(name, *arguments, **keywords)

    monkeypatch.setenv("R_HOME", "/usr/lib/R")
    monkeypatch.setattr(builtins, "__import__", refuse)
    code, _, err = run(FORMULA, SLEEP)
    assert code == 3 and 'pip install "fastlmm_hlm[r]"' in err


def test_exit_code_4_where_r_refuses(run, with_stored_r):
    with_stored_r(rsession.RRefusedError("'relevel' only for (unordered) factors"))
    code, out, _ = run(FORMULA, SLEEP)
    assert code == 4 and out.startswith("REFUSED BY R") and "'relevel' only for" in out


# --- several models ------------------------------------------------------------------------


def test_models_of_a_table_give_a_line_each(run, with_stored_r, tmp_path):
    with_stored_r("sleepstudy")
    table = tmp_path / "models.toml"
    table.write_text(MODELS)
    code, out, _ = run("--models", table, "--report", tmp_path / "pages", "--json", tmp_path / "all.json")
    lines = out.splitlines()
    assert code == 1 and len(lines) == 3 and lines[2] == "2 models, 1 verified"
    assert lines[0].split()[:2] == ["sleep", "EQUAL"] and lines[1].split()[:2] == ["sleep_again", "DIFFERENT"]
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == ["sleep.html", "sleep_again.html"]
    stored = json.loads((tmp_path / "all.json").read_text())
    assert stored["schema"] == "fastlmm_hlm.verifications/1" and [model["exit_code"] for model in stored["models"]] == [0, 1]


def test_an_error_in_one_model_does_not_stop_the_others(run, with_stored_r, tmp_path):
    with_stored_r("sleepstudy")
    table = tmp_path / "models.toml"
    table.write_text(MODELS.replace("Days | Subject", "Dayz | Subject", 1).replace("VarCorr = 0.0", "VarCorr = 1.0"))
    code, out, _ = run("--models", table)
    assert code == 2 and "sleep                    ERROR: " in out and "2 models, 1 verified" in out


@pytest.mark.parametrize("text, message", [
    ("x = ", "this is not TOML"),
    ("x = 1", "no model is there"),
    ("[[model]]\nid = 'a'\nformula = 'y ~ x'", "has no data"),
    ("[[model]]\nid = 'a'\nformula = 'y ~ x'\ndata = 'd.csv'\nfamily = 'binomial'", "has 'family'; the keys are id, formula"),
    ("[[model]]\nid = 'a'\nformula = 'y ~ x'\ndata = 'd.csv'\nREML = 'no'", "REML = 'no'; expected bool"),
    ("[[model]]\nid = 'a'\nformula = 'y ~ x'\ndata = 'd.csv'\n" * 2, "used twice"),
])
def test_a_table_that_cannot_be_read_says_why(tmp_path, text, message):
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=message):
        read_models(path)


def test_paths_of_a_table_are_beside_it(tmp_path):
    path = tmp_path / "models.toml"
    path.write_text("[[model]]\nid = 'a'\nformula = 'y ~ x + (1 | g)'\ndata = 'd.csv'\n")
    assert read_models(path)[0]["data"] == str(tmp_path / "d.csv")
