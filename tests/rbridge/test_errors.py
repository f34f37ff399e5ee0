"""What is said where R, a file or a model is not what was expected."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastlmm_hlm import datasets, from_r, read_rdata, read_rds, to_r
from fastlmm_hlm.errors import ArgumentError, DataError, RMissingError
from fastlmm_hlm.rbridge import session as starting


def run_without(program, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("R_HOME", "R_LIBS_SITE", "R_LIBS", "R_LIBS_USER")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={**kept, "PYTHONPATH": ".", **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout


ASK = """
from fastlmm_hlm import read_rds
from fastlmm_hlm.errors import RMissingError
try:
    read_rds("pyproject.toml")
except RMissingError as error:
    print(error)
"""


def test_a_missing_rpy2_is_named(monkeypatch):
    starting.session.cache_clear()
    monkeypatch.setitem(sys.modules, "rpy2", None)
    try:
        with pytest.raises(RMissingError, match=r"rpy2 is not installed.*pip install 'fastlmm_hlm\[r\]'"):
            read_rds("pyproject.toml")
    finally:
        starting.session.cache_clear()


@pytest.mark.parity
def test_a_missing_r_is_named(tmp_path):
    said = run_without(ASK, PATH=str(tmp_path), R_HOME=str(tmp_path / "no_R"))
    assert "cannot start R" in said and "r-base-core" in said


@pytest.mark.parity
def test_a_missing_lme4_is_named(tmp_path):
    hide = ASK.replace("\nfrom", "\nimport rpy2.robjects as ro\nro.r('.libPaths(character())')\nassign = ro.r('(function() { f <- .Library; "
                       "unlockBinding(\".lib.loc\", environment(.libPaths)); assign(\".lib.loc\", f, environment(.libPaths)) })()')\nfrom", 1)
    said = run_without(hide, R_LIBS_SITE=str(tmp_path), R_LIBS_USER=str(tmp_path))
    assert 'install.packages("lme4")' in said


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.rds does not exist"):
        read_rds(tmp_path / "none.rds")


@pytest.mark.parity
def test_a_file_that_is_no_rds_is_refused(lme4, tmp_path):
    (tmp_path / "model.rds").write_text("score,days\n1,2\n")
    with pytest.raises(DataError, match="read_rds: .*unknown input format"):
        read_rds(tmp_path / "model.rds")


@pytest.mark.parity
@pytest.mark.parametrize("code, said", [
    ("lm(Reaction ~ Days, sleepstudy)", "is a model without random effects of class lm; expected a linear mixed model"),
    ("glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial)", r"is a generalized linear mixed model \(glmer\)"),
    ("nlme::lme(Reaction ~ Days, sleepstudy, ~ 1 | Subject)", "is a model of nlme of class lme"),
    ("1:3", "is of R's class integer and holds no model of lme4"),
    ("list(a = 1, b = glm(am ~ wt, binomial, mtcars))", "element 'b', is no linear mixed model of class glm"),
])
def test_other_objects_are_refused(lme4, tmp_path, code, said):
    lme4.run["saveRDS"](lme4.run(code), str(tmp_path / "object.rds"))
    with pytest.raises(DataError, match=said):
        read_rds(tmp_path / "object.rds")


@pytest.mark.parity
def test_a_name_that_r_does_not_have_is_refused(lme4):
    with pytest.raises(DataError, match="from_r: R's global environment has no 'nothing.here'"):
        from_r("nothing.here")
    with pytest.raises(DataError, match="expected an object of R"):
        from_r(3.0)


@pytest.mark.parity
def test_lists_of_models_become_dicts(lme4, tmp_path):
    lme4.run("""models <- list(null = lmer(Reaction ~ 1 + (1 | Subject), sleepstudy),
                               more = list(lmer(Reaction ~ Days + (1 | Subject), sleepstudy), note = "with days"))""")
    lme4.run["saveRDS"](lme4.run["models"], str(tmp_path / "models.rds"))
    fits = read_rds(tmp_path / "models.rds")
    assert list(fits) == ["null", "more.1"] and list(fits["more.1"].fixef().index) == ["(Intercept)", "Days"]
    lme4.run(f'first <- models$null; x <- 3; save(first, x, models, file = "{tmp_path / "all.RData"}")')
    assert list(read_rdata(tmp_path / "all.RData")) == ["first", "models.null", "models.more.1"]


@pytest.mark.parity
def test_a_basis_that_the_model_does_not_hold_asks_for_the_data(lme4):
    lme4.run("""gap2 <- sleepstudy; gap2$Reaction[7] <- NA
                gap2.fit <- lmer(Reaction ~ I(Days - mean(Days)) + (1 | Subject), gap2)""")
    alone = lme4.alone(lme4.run["gap2.fit"])
    with pytest.raises(DataError, match=r"I\(Days - mean\(Days\)\) uses mean\(Days\), which depends on all rows.*data=data"):
        from_r(alone)
    data = datasets.load("sleepstudy")
    with_gap = data.assign(Reaction=data["Reaction"].where(np.arange(180) != 6))
    fit = from_r(alone, data=with_gap)
    assert fit.nobs() == 179 and len(fit._settings.data) == 180
    # The mean of the fit, 4.5; R's predict() takes the mean of the new rows.
    np.testing.assert_allclose(fit.predict({"Days": [2.0]}, re_form="NA"), lme4.value("sum(fixef(gap2.fit) * c(1, 2 - 4.5))"), rtol=1e-9)


@pytest.mark.parity
def test_other_data_are_refused(lme4):
    lme4.run("days.fit <- lmer(Reaction ~ log(Days + 1) + (1 | Subject), sleepstudy)")
    alone, data = lme4.alone(lme4.run["days.fit"]), datasets.load("sleepstudy")
    with pytest.raises(DataError, match="Reaction differs from the model's in 180 rows, first in row 0"):
        from_r(alone, data=data.assign(Reaction=data["Reaction"] + 1))
    with pytest.raises(DataError, match=r"log\(Days \+ 1\) has other values in the data than in the model"):
        from_r(alone, data=data.assign(Days=data["Days"] + 1))
    with pytest.raises(DataError, match="the data have 100 rows and no row '101', which R's model of 180 rows has"):
        from_r(alone, data=data.head(100))


@pytest.mark.parity
def test_a_raw_column_that_cannot_be_recovered_is_asked_for_when_it_is_needed(lme4):
    lme4.run("square.fit <- lmer(Reaction ~ I(Days^2) + (1 | Subject), sleepstudy)")
    alone = lme4.alone(lme4.run["square.fit"])
    fit = from_r(alone)
    rows = {"Days": [3.0], "Subject": ["308"]}
    np.testing.assert_allclose(fit.predict(rows), lme4.value('predict(square.fit, data.frame(Days = 3, Subject = "308"))'), rtol=1e-9)
    with pytest.raises(ArgumentError, match="have no column Days, only what was made of it in R"):
        to_r(fit)
    assert to_r(from_r(alone, data=datasets.load("sleepstudy"))) is not None


@pytest.mark.parity
def test_a_python_started_after_r_finds_its_own_libraries(lme4):
    run = subprocess.run([sys.executable, "-c", "import ssl, sqlite3"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
