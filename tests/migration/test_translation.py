"""Pieces of R: what becomes of them, and what is refused."""

import ast
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlmm_hlm import datasets, migrate
from fastlmm_hlm.cli import main
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.migration import read_r, runs
from fastlmm_hlm.migration.names import python_name
from fastlmm_hlm.migration.parse import PARSERS, parse
from fastlmm_hlm.migration.syntaxerror import RSyntaxError
from fastlmm_hlm.migration.tree import text_value
from test_golden import undefined

START = "library(lme4)\nd <- sleepstudy\nm <- lmer(Reaction ~ Days + (Days | Subject), d)\n"


def python(r, start=START):
    """Lines of Python for some lines of R after the usual start."""
    text = migrate(start + r, parser="tree-sitter").text
    return [line for line in text.split("\n") if line][-r.count("\n") - 1:]


def marked(r, start=START):
    """Reasons of the marks."""
    return [reason for _, reason in migrate(start + r, parser="tree-sitter").marked]


@pytest.mark.parametrize("r, expected", [
    ("fixef(m)[2]", "print(fixef(m).iloc[1])"),
    ('fixef(m)["Days"]', 'print(fixef(m)["Days"])'),
    ("ranef(m)$Subject[, 1]", 'print(ranef(m)["Subject"].iloc[:, 0])'),
    ("ranef(m)[['Subject']]", 'print(ranef(m)["Subject"])'),
    ("summary(m)$coefficients[2, 1]", 'print(summary(m, ddf="lme4").coefficients.iloc[1, 0])'),
    ("as.data.frame(VarCorr(m))", "print(VarCorr(m).to_frame())"),
    ('d2 <- d[d$Days > 1, ]', 'd2 = d[d["Days"] > 1]'),
    ('d2 <- subset(d, Days != 1)', 'd2 = d[(d["Days"] != 1) & d["Days"].notna()]'),
    ('d2 <- subset(d, !(Days > 1))', 'd2 = d[d["Days"] <= 1]'),
    ('d2 <- subset(d, Subject == 308)', 'd2 = d[d["Subject"] == "308"]'),
    ('d$u <- as.numeric(d$Subject)', 'd["u"] = d["Subject"].cat.codes.add(1).where(d["Subject"].notna())'),
    ("mean(d$Days)", 'print(d["Days"].mean(skipna=False))'),
    ("mean(d$Days, na.rm = TRUE)", 'print(d["Days"].mean())'),
    ("x <- 2; -x^2", "print(-x ** 2)"),
    ("anova(m)", 'print(anova(m, ddf="lme4"))'),
    ("drop1(m)", 'print(drop1(m, test="none"))'),
    ("predict(m, re.form = ~0)", 'print(predict(m, re_form="~ 0"))'),
    ("lmer(form = Reaction ~ 1 + (1|Subject), dat = d, REML = F)", 'print(lmer("Reaction ~ 1 + (1 | Subject)", data=d, REML=False))'),
    ("e <- d", "e = d.copy()"),
    ("x <- c(1, 2)\ny <- x * 2", "y = np.array(x) * 2"),
    ("y <- 1:3 + 1", "y = np.array(range(1, 4)) + 1"),
    ("x <- c(1, 2)\ny <- -x", "y = -np.array(x)"),
    ('f <- as.formula(paste("Reaction ~", "Days"))', 'f = "Reaction ~ Days"'),
])
def test_a_call_in_r_and_in_python(r, expected):
    assert python(r)[-1] == expected


@pytest.mark.parametrize("r, reason", [
    ("glmer(Reaction ~ 1 + (1 | Subject), d)", "not supported yet"),
    ("fixef(m) + c(1, 2)", "recycles"),
    ("ranef(m)$Subject[, 1] + fixef(m)", "by position, pandas by name"),
    ("cut(d$Days, 3)", "breaks"),
    ("d$Reaction == 'a'", "not text"),
    ("lmer(Reaction ~ . + (1 | Subject), d)", "dot"),
    ("lmer(Reaction ~ Dayz + (1 | Subject), d)", "no column Dayz"),
    ("cutoff <- 3\nlmer(Reaction ~ I(Days > cutoff) + (1 | Subject), d)", "cutoff in the formula"),
    ("lmer(Reaction ~ Days + (1 | Subject))", "without data="),
    ("m@theta", "slot @theta"),
    ("lmer(Reaction ~ Days + (1 | Subject), d, wrong = 1)", "argument wrong"),
    ("undefined.thing", "not defined in the script"),
    ("d$x <- c(1, 2)", "not known to have its rows"),
    ("step(m)", "lmerTest"),
    ("'a' < 'b'", "locale"),
    ("source('other.R')\nfixef(m)", "source() is not known"),
])
def test_what_is_refused_says_why(r, reason):
    assert any(reason in found for found in marked(r)), marked(r)


def test_what_depends_on_a_mark_is_marked():
    lines = "m <- foo(d)\nk <- m\nfixef(k)\nfor (i in 1:2) print(sigma(m))\nsource('x.R')\nhead(d)"
    found = migrate(START + lines, parser="tree-sitter")
    assert [line for line, _ in found.marked] == [4, 5, 6, 7, 8, 9]


def test_update_reads_the_data_again_as_r_does():
    changed = "d <- subset(d, Days > 1)\nn <- update(m, REML = FALSE)"
    assert python("n <- update(m, REML = FALSE)") == ["n = update(m, REML=False)"]
    assert python(changed)[-1] == "n = update(m, REML=False, data=d)"
    assert "it is not translated" in marked("d <- foo(d)\nupdate(m, REML = FALSE)")[-1]
    assert "options" in marked('options(contrasts = c("contr.sum", "contr.poly"))\nupdate(m, REML = FALSE)')[-1]


def test_a_function_is_marked_where_what_it_reads_is_no_longer_translated():
    lines = "k <- 2\nf <- function(m) sigma(m) * k\nf(m)\nk <- foo()\nf(m)"
    assert "reads k" in marked(lines)[-1]


def test_comments_and_blank_lines_keep_their_places():
    text = migrate("# head\nx <- 1 # one\n\n# two\ny <- c(1,\n  # inside\n  2)\n", parser="tree-sitter").text
    assert text == "# head\nx = 1  # one\n\n# two\n# inside\ny = [1, 2]\n"


def test_names_do_not_collide():
    assert python_name("a.b", {"a_b"}) == "a_b_" and python_name("lambda", ()) == "lambda_" and python_name("2x", ()) == "_2x"


@pytest.mark.parametrize("source, value", [('"a\\n\\"b"', 'a\n"b'), ("'\\u00e9'", "\u00e9"), ('r"(a\\b)"', "a\\b"), ('R"--[x]--"', "x")])
def test_texts_are_read_as_r_reads_them(source, value):
    assert text_value(source) == value


@pytest.mark.parametrize("values", [[1.0, 2.0, np.nan], [3.0, np.nan, 0.5]])
def test_a_condition_has_three_values_as_in_r(values):
    """x > 1, its negation, and the column made of it."""
    d = pd.DataFrame({"x": values})
    text = migrate("d <- read.csv('no.csv')\na <- subset(d, x > 1)\nb <- subset(d, !(x > 1))\nd$high <- d$x > 1\n"
                   "e <- subset(d, x != 1 | x > 2)", parser="tree-sitter").text
    scope = {"d": d}
    exec("\n".join(line for line in text.split("\n") if "read_csv" not in line), scope)
    known = [x for x in values if x == x]
    assert scope["a"]["x"].tolist() == [x for x in known if x > 1] and scope["b"]["x"].tolist() == [x for x in known if x <= 1]
    assert scope["d"]["high"].isna().tolist() == [x != x for x in values]
    assert scope["e"]["x"].tolist() == [x for x in known if x != 1 or x > 2]


def test_a_file_that_is_there_is_looked_at(tmp_path):
    (tmp_path / "a.csv").write_text("score,group name,year,grade\n1,a,2001,x\n2,b,2002,\n")
    (tmp_path / "s.R").write_text('d <- read.csv("a.csv", stringsAsFactors = TRUE)\nd[d$year == "2001", ]\nd$nothing\nlevels(d$group.name)\n')
    found = migrate(tmp_path / "s.R", parser="tree-sitter")
    assert '.rename(columns={"group name": "group.name"}).astype({"group.name": "category", "grade": "category"})' in found.text
    assert "# NOTE (line 1): grade has empty fields" in found.text
    assert [line for line, _ in found.marked] == [2, 3]


# --- properties ---------------------------------------------------------------------------

PIECES = [
    "x <- 1", "d <- sleepstudy", "d$y <- d$Days * x", "d$y <- foo(d)", "m <- lmer(Reaction ~ y + (1 | Subject), d)", "d <- subset(d, y > x)",
    "m <- update(m, . ~ . + Days)", "print(fixef(m)[1])", "for (i in 1:3) { x <- x + i }", "if (x > 1) { y <- 2 } else { z <- 3 }", "y + z",
    "f <- function(a, b = 2) { a + b }", "f(x)", "f(d)", "l <- list(m, m)", "l[[1]]", "sapply(l, AIC)", "x <- bar()", "`a b` = x; `a b`",
    "x -> w", "while (x < 5) x <- x + 1", "d$Days[d$Days > 3] <- 3", "attach(d)", "names(d)", "s <- 'a\"b'", "paste(s, x)", "m$x", "x[[1]]",
    "d |> head(2)", "NULL", "T & F", "function(x) x", "x <<- 2", "levels(d$Subject)[1] <- 'a'", "d[, x := 2]", "r <- ranef(m)$Subject + fixef(m)",
    "lapply(1:3, function(i) x * i)", "repeat break", "{ x <- 3; x }", "g <- function() x", "g()", "-x^2", "!TRUE", "x %foo% y", "Recall(1)",
]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_script_gives_python_that_compiles_and_uses_only_what_it_has(pieces):
    text = "\n".join(["library(lme4)", *pieces])
    found = migrate(text, parser="tree-sitter")
    ast.parse(found.text)
    assert found.translated + len(found.marked) == found.statements == len(parse(text, "tree-sitter").statements)
    may = {name for name in ("y", "z") if "if (x > 1)" in text}      # R, too, would miss the other side's variable
    assert undefined(found.text) - may == set()
    for line, _ in found.marked:
        assert f"# NOT TRANSLATED (line {line})" in found.text


# --- errors and the command line ---------------------------------------------------------------


@pytest.mark.parametrize("text, line", [("x <- (1", 1), ("x <- 1\ny <- )", 2), ("a b", 1)])
def test_a_syntax_error_names_its_line(text, line):
    with pytest.raises(RSyntaxError, match=f"line {line}: "):
        migrate(text, parser="tree-sitter")


def test_without_a_parser_the_error_says_how_to_get_one(monkeypatch):
    for parser in PARSERS.values():
        monkeypatch.setattr(parser, "available", lambda: False)
    with pytest.raises(ArgumentError, match=r"fastlmm_hlm\[migrate\]"):
        migrate("x <- 1")


def test_bad_arguments_are_refused():
    with pytest.raises(ArgumentError, match="parser='perl'"):
        migrate("x", parser="perl")
    with pytest.raises(ArgumentError, match="got int"):
        migrate(3)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.R"
    path.write_text("library(lme4)\nm <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy)\nfoo(m)\n")
    return path


def test_the_command_writes_the_script_and_counts(script, tmp_path, capsys):
    assert main(["migrate", str(script), "-o", str(tmp_path / "out.py"), "--parser", "tree-sitter"]) == 0
    assert "3 statements, 2 translated, 1 marked" in capsys.readouterr().err
    run = subprocess.run([sys.executable, str(tmp_path / "out.py")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_command_refuses_what_it_cannot_use(tmp_path, capsys):
    (tmp_path / "bad.R").write_text("x <- (1\n")
    assert main(["migrate", str(tmp_path / "bad.R"), "--parser", "tree-sitter"]) == 2
    assert "line 1" in capsys.readouterr().err
    assert main(["migrate", str(tmp_path / "none.R")]) == 2
    assert "none.R" in capsys.readouterr().err


def test_verify_without_r_says_how_to_get_it(script, monkeypatch, capsys):
    monkeypatch.setattr(runs.shutil, "which", lambda name: None)
    assert main(["migrate", str(script), "--parser", "tree-sitter", "--verify"]) == 3
    assert "Install R" in capsys.readouterr().err


FIT = {"name": "m", "criterion": 100.0, "fixef": [1.0], "terms": ["(Intercept)"], "se": np.array([0.5]), "sdcor": np.array([1.0, 2.0]),
       "cor": np.array([0.0, 0.0]), "sigma": 2.0, "nobs": 10}


@pytest.mark.parametrize("change, verdict, code", [
    ({}, runs.SAME, 0), ({"criterion": 99.5}, runs.LOWER, 1), ({"criterion": 101.0}, runs.DIFFERENT, 1), ({"fixef": [1.1]}, runs.DIFFERENT, 1),
    ({"terms": ["x"]}, runs.DIFFERENT, 1), ({"nobs": 9}, runs.DIFFERENT, 1), ({"name": "other"}, runs.MISSING, 1),
    ({"sdcor": np.array([1.5, 2.0])}, runs.DIFFERENT, 1), ({"se": np.array([0.6])}, runs.DIFFERENT, 1),
])
def test_models_are_compared(change, verdict, code):
    table = runs.compare([FIT], [{**FIT, **change}])
    assert table["verdict"].tolist() == [verdict] and runs.exit_code(table) == code
    assert (verdict == runs.SAME) == (runs.text_of(table).count("m: ") == 0)


@pytest.mark.parity
def test_verify_runs_both(script, capsys):
    assert main(["migrate", str(script), "--verify"]) == 4
    assert 'could not find function "foo"' in capsys.readouterr().err
    script.write_text(script.read_text().replace("foo(m)\n", "l <- list(a = m, m2 = 3)\n"))
    assert main(["migrate", str(script), "--verify", "-o", str(script.with_suffix(".py"))]) == 0
    out = capsys.readouterr().out
    assert "l$a" in out and out.count("equal") >= 2


@pytest.mark.parity
def test_r_without_lme4_is_noticed(monkeypatch):
    assert runs.r_missing() is None
    monkeypatch.setattr(runs.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 1))
    assert "lme4" in runs.r_missing()


@pytest.mark.parity
def test_a_syntax_error_of_r_names_its_line():
    with pytest.raises(RSyntaxError, match="line 2: unexpected"):
        read_r.read("x <- 1\ny <- )")


def test_shipped_data_are_known():
    assert migrate(START + "d$Reactoin", parser="tree-sitter").marked and "sleepstudy" in datasets.available()
