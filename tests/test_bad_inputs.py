"""Bad inputs: refused with our classes and the user's own words, or answered rightly.

The tables follow what users of lme4 run into.  A row is (what is done, the
class, words that the message must contain); a class of ours is always also the
built-in class that a Python user would catch.
"""

import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets, lmer, lmerControl
from fastlmm_hlm.errors import (
    ArgumentError,
    ConvergenceError,
    DataError,
    FastlmmError,
    FormulaError,
    UnknownColumnError,
)

SLEEP = "Reaction ~ Days + (Days | Subject)"
ONE = "Reaction ~ Days + (1 | Subject)"
GROUP = "Reaction ~ Days + (1 | g)"
BUILTIN = {
    FormulaError: ValueError, DataError: ValueError, UnknownColumnError: KeyError, ArgumentError: ValueError,
    ConvergenceError: ArithmeticError,
}
BASE = datasets.load("sleepstudy")
N = len(BASE)
ROWS = np.arange(N)


def data(**columns):
    return BASE.assign(**columns)


def with_value(column, row, value):
    changed = BASE.assign(**{column: BASE[column].astype(object if isinstance(value, (str, type(None))) else float)})
    changed.loc[row, column] = value
    return changed


def vector(value, row=3):
    out = np.ones(N)
    out[row] = value
    return out


FORMULAS = [
    ("Reaction ~ Days", FormulaError, ["'Reaction ~ Days'", "no random term", "(1 | group)"]),
    ("~ Days + (1 | Subject)", FormulaError, ["no response", "y ~"]),
    ("Reaction", FormulaError, ["Reaction", "~"]),
    ("", FormulaError, ["empty", "y ~ x + (1 | g)"]),
    ("   ", FormulaError, ["empty"]),
    ("Reaction ~", FormulaError, ["Reaction ~", "^"]),
    ("Reaction ~ Days +", FormulaError, ["Reaction ~ Days +", "^"]),
    ("Reaction ~ Days + (Days | Subject", FormulaError, ["^", ")"]),
    ("Reaction ~ Days + Days | Subject)", FormulaError, ["^", ")"]),
    ("Reaction ~ Days + ()", FormulaError, ["^"]),
    ("Reaction ~ Days + (Days | )", FormulaError, ["^"]),
    ("Reaction ~ Days + ( | Subject)", FormulaError, ["^"]),
    ("Reaction ~ Days ~ (1 | Subject)", FormulaError, ["~"]),
    ("Reaction = Days + (1 | Subject)", FormulaError, ["=", "^"]),
    ("Reaction ~ Days ++ * (1 | Subject)", FormulaError, ["^"]),
    ("Reaction ~ Days + (1 | Subject | Days)", FormulaError, ["|"]),
    ("Reaction ~ Days + ((1 | Subject) | Days)", FormulaError, ["|"]),
    ("Reaction ~ Days * (1 | Subject)", FormulaError, ["(1 | Subject)"]),
    ("Reaction ~ Days $ (1 | Subject)", FormulaError, ["$", "^"]),
    ("Reaction ~ 'Days + (1 | Subject)", FormulaError, ["^"]),
    ("Reaction ~ `Days + (1 | Subject)", FormulaError, ["^"]),
    ("Reaction ~ `` + (1 | Subject)", FormulaError, ["backticks", "^"]),
    ("Reaction ~ 1 | Subject + Days", FormulaError, ["no parentheses", "(1 | Subject) + Days"]),
    ("Reaction ~ Days + 1 | Subject", FormulaError, ["no parentheses", "(Days + 1 | Subject)"]),
    ("Reaction ~ Days + (1 | Subject) + (1 | Subject)", FormulaError, ["(1 | Subject)", "both", "Subject"]),
    ("Reaction ~ Days + (Days | Subject) + (1 | Subject)", FormulaError, ["(Days | Subject)", "(1 | Subject)", "both"]),
    ("Reaction ~ Days + (Days | Subject) + (0 + Days | Subject)", FormulaError, ["(Days | Subject)", "Days"]),
    ("Reaction ~ Days + nonsense(Days | Subject)", FormulaError, ["nonsense", "us"]),
    ("Reaction ~ Days + (1 | 2)", FastlmmError, ["2"]),
    ("Reaction ~ nofunction(Days) + (1 | Subject)", FastlmmError, ["nofunction"]),
    ("Reaction ~ log() + (1 | Subject)", FastlmmError, ["log"]),
    ("Reaction ~ poly(Days) ^ (1 | Subject)", FormulaError, ["|"]),
    ("Reaction ~ Dayz + (1 | Subject)", UnknownColumnError, ["'Dayz'", "'Days'"]),
    ("Reaction ~ Days + (1 | subject)", UnknownColumnError, ["'subject'", "'Subject'"]),
    ("reaction ~ Days + (1 | Subject)", UnknownColumnError, ["'reaction'", "'Reaction'"]),
    ("Reaction ~ Days + (Dayz | Subject)", UnknownColumnError, ["'Dayz'", "'Days'"]),
    ("Reaction ~ Days + offset(q) + (1 | Subject)", UnknownColumnError, ["'q'", "'Days'"]),
]

DATA = [
    ("one level", GROUP, data(g="a"), DataError, ["'g'", "(1 | g)", "1 level", "'a'", "at least 2"]),
    ("levels as many as rows", GROUP, data(g=ROWS), DataError, ["'g'", "180 levels", "180 rows"]),
    ("effects as many as rows", "Reaction ~ Days + (Days | g)", data(g=ROWS // 2), DataError,
     ["(Days | g)", "180 random effects", "90 levels", "180 rows"]),
    ("text response", SLEEP, data(Reaction=BASE["Reaction"].astype(str)), DataError, ["'Reaction'", "text", "numeric"]),
    ("factor response", SLEEP, data(Reaction=pd.Categorical(BASE["Reaction"])), DataError, ["'Reaction'", "categorical"]),
    ("matrix response", "cbind(Reaction, Days) ~ 1 + (1 | Subject)", BASE, DataError,
     ["cbind(Reaction, Days)", "2 columns", "one response"]),
    ("infinite response", SLEEP, with_value("Reaction", 5, np.inf), DataError, ["'Reaction'", "infinite", "row 5"]),
    ("infinite predictor", SLEEP, with_value("Days", 7, -np.inf), DataError, ["'Days'", "infinite", "row 7"]),
    ("infinite in the random part only", "Reaction ~ 1 + (Days | Subject)", with_value("Days", 7, np.inf), DataError,
     ["'Days'", "(Days | Subject)", "infinite", "row 7"]),
    ("log of zero", "Reaction ~ log(Days) + (1 | Subject)", BASE, DataError, ["'log(Days)'", "infinite", "17 more"]),
    ("all missing", SLEEP, data(Days=np.nan), DataError, ["none of the 180 rows", "Days in 180"]),
    ("no row complete", SLEEP, data(Days=np.where(ROWS % 2, np.nan, 1.0), Reaction=np.where(ROWS % 2, 1.0, np.nan)),
     DataError, ["none of the 180 rows", "Days in 90", "Reaction in 90"]),
    ("no rows", SLEEP, BASE.iloc[:0], DataError, ["0 rows"]),
    ("one row", SLEEP, BASE.iloc[:1], DataError, ["1"]),
    ("constant response", SLEEP, data(Reaction=3.5), DataError, ["'Reaction'", "constant", "3.5", "180"]),
    ("factor of one level", "Reaction ~ f + (1 | Subject)", data(f="only"), DataError, ["'f'", "1 level", "only"]),
    ("one column twice", SLEEP, pd.concat([BASE, BASE[["Days"]]], axis=1), DataError, ["'Days'", "2 columns", "rename"]),
    ("complex response", "z ~ Days + (1 | Subject)", data(z=BASE["Reaction"] + 1j), DataError, ["'z'", "complex"]),
    ("complex predictor", "Reaction ~ z + (1 | Subject)", data(z=BASE["Days"] + 1j), DataError, ["'z'", "complex"]),
    ("complex group", GROUP, data(g=ROWS % 5 + 1j), DataError, ["'g'", "complex"]),
    ("lists as predictor", "Reaction ~ z + (1 | Subject)", data(z=[[1, k % 3] for k in ROWS]), DataError, ["'z'", "list"]),
    ("lists as groups", GROUP, data(g=[[1, k % 3] for k in ROWS]), DataError, ["'g'", "list"]),
    ("dicts as groups", GROUP, data(g=[{"a": k % 3} for k in ROWS]), DataError, ["'g'", "dict"]),
    ("arrays as response", "z ~ Days + (1 | Subject)", data(z=[np.array([1.0, k]) for k in ROWS]), DataError, ["'z'"]),
    ("two levels of columns", SLEEP, pd.concat({"a": BASE}, axis=1), UnknownColumnError, ["'Reaction'"]),
    ("group in the index", SLEEP, BASE.set_index("Subject"), UnknownColumnError, ["'Subject'", "'Reaction', 'Days'"]),
    ("more columns than rows", "Reaction ~ factor(Days) + (1 | Subject)", BASE.iloc[[0, 1, 2, 3, 14, 15, 16, 17]].assign(
        Days=[1, 2, 3, 4, 5, 6, 7, 8]), DataError, ["8 rows", "8 fixed effects"]),
]

CONTAINERS = [
    (BASE[["Reaction", "Days"]].to_numpy(), "ndarray"), (None, None), (3, "int"), ([1, 2], "list"),
    (BASE.to_dict("records"), "list"), (BASE["Reaction"], None), ({}, None), (lambda: 3, "function"),
    ({"Reaction": [1.0, 2.0], "Days": [1.0], "Subject": ["a", "b"]}, None),
]

ARGUMENTS = [
    ({"weights": vector(-1.0)}, DataError, ["weights", "negative", "1 row", "row 3", "-1"]),
    ({"weights": vector(np.inf)}, DataError, ["weights", "infinite", "row 3"]),
    ({"weights": np.ones(7)}, DataError, ["weights", "7", "180"]),
    ({"weights": np.ones((N, 1))}, DataError, ["weights", "(180, 1)"]),
    ({"weights": ["a"] * N}, DataError, ["weights", "text", "numeric"]),
    ({"weights": 2.0}, ArgumentError, ["weights", "2.0", "one value per row"]),
    ({"weights": "w"}, UnknownColumnError, ["weights", "'w'"]),
    ({"weights": "Subject"}, DataError, ["weights", "Subject", "numeric"]),
    ({"weights": "Days - 1"}, DataError, ["weights", "negative"]),
    ({"weights": "log(Days)"}, DataError, ["weights"]),
    ({"offset": np.ones(7)}, DataError, ["offset", "7", "180"]),
    ({"offset": vector(-np.inf)}, DataError, ["offset", "infinite", "row 3"]),
    ({"offset": "Subject"}, DataError, ["offset", "Subject", "numeric"]),
    ({"offset": "dayz"}, UnknownColumnError, ["offset", "'dayz'", "'Days'"]),
    ({"subset": "Days > 100"}, DataError, ["none of the 180 rows", "subset 180"]),
    ({"subset": [True] * 5}, DataError, ["subset", "5", "180"]),
    ({"subset": "Days"}, DataError, ["subset", "Days >= 2"]),
    ({"subset": "Days >"}, FormulaError, ["Days >", "^"]),
    ({"subset": "Subject == '308'"}, DataError, ["'Subject'", "1 level", "'308'"]),
    ({"subset": "Dayz > 1"}, UnknownColumnError, ["subset", "'Dayz'", "'Days'"]),
    ({"na_action": "na.pass"}, ArgumentError, ["na.pass", "'omit', 'exclude' or 'fail'"]),
    ({"na_action": None}, ArgumentError, ["None", "'omit'"]),
    ({"REML": "yes"}, ArgumentError, ["REML", "'yes'", "True or False"]),
    ({"REML": 2}, ArgumentError, ["REML", "2"]),
    ({"control": {}}, ArgumentError, ["control", "{}", "lmerControl"]),
    ({"control": "bobyqa"}, ArgumentError, ["control", "'bobyqa'", "lmerControl"]),
    ({"contrasts": {"Days": "contr.sum"}}, ArgumentError, ["'Days'", "numeric", "factor(Days)"]),
    ({"contrasts": {"nope": "contr.sum"}}, ArgumentError, ["'nope'"]),
    ({"contrasts": "contr.sum"}, ArgumentError, ["contrasts", "{'f': 'contr.sum'}"]),
    ({"start": [1.0, 2.0]}, ArgumentError, ["2", "expected 3"]),
    ({"start": [1.0, 0.0, np.nan]}, ArgumentError, ["start", "finite"]),
    ({"start": [1.0, 0.0, np.inf]}, ArgumentError, ["start", "finite"]),
    ({"start": "a"}, ArgumentError, ["start", "'a'"]),
    ({"start": {"Theta": [1.0, 0.0, 1.0]}}, ArgumentError, ["'Theta'", "'theta'"]),
    ({"start": {}}, ArgumentError, ["start", "'theta'"]),
    ({"start": [1e200, 0.0, 1e200]}, FastlmmError, ["start"]),
    ({"start": [1e10, 0.0, 1e10]}, FastlmmError, ["start"]),
]

CONTROLS = [
    ({"optimizer": "junk"}, ["optimizer", "'junk'", "'newton'"]),
    ({"optimizer": None}, ["optimizer", "None"]),
    ({"check_rankX": "drop"}, ["check_rankX", "'drop'", "stop.deficient"]),
    ({"check_conv_singular": "warnign"}, ["check_conv_singular", "'warnign'", "'warning'"]),
    ({"max_evaluations": 0}, ["max_evaluations", "0", "at least 1"]),
    ({"max_evaluations": -3}, ["max_evaluations", "-3"]),
    ({"max_evaluations": "many"}, ["max_evaluations", "'many'"]),
    ({"tolerance": -1.0}, ["tolerance", "-1.0"]),
    ({"tolerance": float("nan")}, ["tolerance", "nan"]),
    ({"tolerance": "tight"}, ["tolerance", "'tight'"]),
    ({"singular_tolerance": "x"}, ["singular_tolerance", "'x'"]),
    ({"singular_tolerance": -1.0}, ["singular_tolerance", "-1.0"]),
    ({"singular_tolerance": float("nan")}, ["singular_tolerance", "nan"]),
]

EXTREME = [
    ("huge response", SLEEP, data(Reaction=BASE["Reaction"] * 1e300), {}, ["'Reaction'"]),
    ("tiny response", SLEEP, data(Reaction=BASE["Reaction"] * 1e-300), {}, ["'Reaction'"]),
    ("denormal response", SLEEP, data(Reaction=(ROWS * 7 % 11 + 1) * 5e-324), {}, ["'Reaction'"]),
    ("huge predictor", SLEEP, data(Days=BASE["Days"] * 1e300), {}, ["'Days'"]),
    ("tiny predictor", SLEEP, data(Days=BASE["Days"] * 1e-300), {}, ["'Days'"]),
    ("denormal predictor", SLEEP, data(Days=BASE["Days"] * 5e-324), {}, ["'Days'"]),
    ("huge weights", SLEEP, BASE, {"weights": np.full(N, 1e300)}, ["weights"]),
    ("denormal weights", SLEEP, BASE, {"weights": np.full(N, 5e-324)}, ["weights"]),
    ("huge offset", SLEEP, BASE, {"offset": BASE["Days"].to_numpy() * 1e300}, ["offset"]),
]


def refused(call, kind, words):
    """The message of the error; our class, the built-in one, the words, and no half-made result."""
    result = None
    with pytest.raises(FastlmmError) as caught:
        result = call()
    assert result is None
    assert isinstance(caught.value, kind)
    for own, builtin in BUILTIN.items():
        if isinstance(caught.value, own):
            assert isinstance(caught.value, builtin)
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    assert len(message) > 20 and "Traceback" not in message
    return message


@pytest.mark.parametrize("formula, kind, words", FORMULAS, ids=[row[0] or "(empty)" for row in FORMULAS])
def test_a_formula_that_makes_no_sense_is_refused(formula, kind, words):
    refused(lambda: lmer(formula, BASE), kind, words)


@pytest.mark.parametrize("formula", [None, 5, ["Reaction ~ Days"], b"Reaction ~ Days + (1 | Subject)"], ids=repr)
def test_a_formula_that_is_no_text_is_refused(formula):
    refused(lambda: lmer(formula, BASE), FormulaError, [type(formula).__name__, "y ~ x + (1 | g)"])


@pytest.mark.parametrize("formula, frame, kind, words", [row[1:] for row in DATA], ids=[row[0] for row in DATA])
def test_data_that_cannot_be_used_are_refused(formula, frame, kind, words):
    refused(lambda: lmer(formula, frame), kind, words)


@pytest.mark.parametrize("container, name", CONTAINERS, ids=[str(name) + str(k) for k, (_, name) in enumerate(CONTAINERS)])
def test_what_is_no_table_is_refused(container, name):
    refused(lambda: lmer(SLEEP, container), DataError, [name] if name else [])


@pytest.mark.parametrize("arguments, kind, words", ARGUMENTS, ids=[f"{k}-{next(iter(a[0]))}" for k, a in enumerate(ARGUMENTS)])
def test_an_argument_that_makes_no_sense_is_refused(arguments, kind, words):
    refused(lambda: lmer(SLEEP, BASE, **arguments), kind, words)


@pytest.mark.parametrize("settings, words", CONTROLS, ids=[repr(c[0]) for c in CONTROLS])
def test_a_control_that_makes_no_sense_is_refused(settings, words):
    refused(lambda: lmerControl(**settings), ArgumentError, words)


@pytest.mark.parametrize("name", ["junk", "family", "reml", "weight"])
def test_an_argument_that_lmer_does_not_have_is_refused_by_name(name):
    with pytest.raises(TypeError, match=name):
        lmer(SLEEP, BASE, **{name: 1})


def test_unknown_contrasts_are_refused_with_the_ones_there_are():
    frame = data(f=np.tile(list("ab"), 90))
    refused(lambda: lmer("Reaction ~ f + (1 | Subject)", frame, contrasts={"f": "contr.junk"}), ArgumentError,
            ["'f'", "'contr.junk'", "contr.sum"])
    refused(lambda: lmer("Reaction ~ f + (1 | Subject)", frame, contrasts={"f": np.ones((3, 1))}), FastlmmError, ["f"])


@pytest.mark.parametrize("formula, frame, arguments, words", [row[1:] for row in EXTREME], ids=[row[0] for row in EXTREME])
@pytest.mark.filterwarnings("error")
def test_numbers_too_large_or_too_small_to_square_are_refused_by_name(formula, frame, arguments, words):
    refused(lambda: lmer(formula, frame, **arguments), DataError, words)


@pytest.mark.parametrize("factor", [1e-60, 1e-20, 1e20, 1e60])
def test_large_and_small_units_are_fine(factor):
    fit = lmer(SLEEP, data(Reaction=BASE["Reaction"] * factor, Days=BASE["Days"] / factor))
    plain = lmer(SLEEP, BASE)
    assert fit.sigma() == pytest.approx(plain.sigma() * factor, rel=1e-6)
    assert fit.fixef()["Days"] == pytest.approx(plain.fixef()["Days"] * factor**2, rel=1e-6)
    assert not fit.isSingular()


# --- a response without noise ----------------------------------------------------


@pytest.mark.parametrize("formula, y", [
    (ONE, 2.0 * BASE["Days"] + 1.0),
    (SLEEP, 2.0 * BASE["Days"] + 1.0),
    ("Reaction ~ Days + I(Days^2) + (1 | Subject)", 0.1 * BASE["Days"] ** 2 - 3.0),
    (ONE, BASE["Subject"].cat.codes.astype(float)),
    (ONE, BASE["Subject"].cat.codes + 0.5 * BASE["Days"]),
    (SLEEP, BASE["Subject"].cat.codes * BASE["Days"] * 1.0),
    ("Reaction ~ 1 + (1 | Subject)", BASE["Subject"].cat.codes.astype(float)),
], ids=["line", "line, slopes", "parabola", "constant in each group", "parallel lines", "a line in each group", "groups"])
def test_a_response_that_the_model_reproduces_exactly_is_refused(formula, y):
    refused(lambda: lmer(formula, data(Reaction=y.astype(float))), DataError, ["exactly", "response"])


def test_a_response_with_little_noise_is_fine():
    noise = np.random.default_rng(0).normal(size=N)
    fit = lmer(ONE, data(Reaction=1000.0 + 2.0 * BASE["Days"] + BASE["Subject"].cat.codes + 1e-3 * noise))
    within = pd.Series(noise - noise.mean()).groupby(BASE["Subject"].cat.codes).transform(lambda part: part - part.mean())
    assert fit.sigma() == pytest.approx(1e-3 * np.sqrt((within**2).sum() / (N - 18 - 1)), rel=0.01)
    assert fit.fixef()["Days"] == pytest.approx(2.0, abs=1e-4)


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.DroppedRowsWarning")
def test_all_weights_zero_are_refused():
    refused(lambda: lmer(SLEEP, BASE, weights=np.zeros(N)), DataError, ["none of the 180 rows", "zero weight 180"])


# --- nothing may crash the interpreter ------------------------------------------------


NASTY = """
import numpy as np, pandas as pd, warnings, faulthandler
faulthandler.enable()
warnings.simplefilter("ignore")
from fastlmm_hlm import lmer, datasets
from fastlmm_hlm.errors import FastlmmError
base = datasets.load("sleepstudy"); n = len(base)
rng = np.random.default_rng(0)
def attempt(name, formula, frame, **arguments):
    try:
        fit = lmer(formula, frame, **arguments)
        fit.ranef(), str(fit.summary()), fit.getME("L")
    except FastlmmError:
        pass
S = "Reaction ~ Days + (Days | Subject)"
for k in (1e300, -1e300, 1e200, 1e-200, 1e-300, 5e-324, 1.7e308):
    attempt("y", S, base.assign(Reaction=base.Reaction * min(k, 1e305)))
    attempt("x", S, base.assign(Days=base.Days * k))
    attempt("w", S, base, weights=np.abs(rng.normal(size=n)) * abs(k))
    attempt("o", S, base, offset=rng.normal(size=n) * min(k, 1e307))
    attempt("s", S, base, start=[k, k, k])
attempt("levels", "Reaction ~ Days + (1 | g)", base.assign(g=np.iinfo(np.int64).max - np.arange(n) % 9))
attempt("levels", "Reaction ~ Days + (1 | g)", base.assign(g=np.where(np.arange(n) % 2, np.iinfo(np.int64).min, np.iinfo(np.int64).max)))
attempt("levels", "Reaction ~ Days + (1 | g)", base.assign(g=np.where(np.arange(n) % 2, -np.inf, np.inf)))
attempt("deep", "Reaction ~ " + "(" * 400 + "Days" + ")" * 400 + " + (1 | Subject)", base)
attempt("long", "Reaction ~ " + " + ".join(f"I(Days^{k})" for k in range(1, 60)) + " + (1 | Subject)", base)
attempt("wide", "Reaction ~ 1 + (factor(Days) | Subject)", base)
attempt("many", "Reaction ~ " + " + ".join(["Days"] * 5000) + " + (1 | Subject)", base)
attempt("bars", "Reaction ~ 1" + "".join(f" + (0 + I(Days^{k}) | Subject)" for k in range(1, 20)), base)
attempt("tiny", "Reaction ~ 1 + (1 | Subject)", base.iloc[[0, 1, 10]])
attempt("two", "Reaction ~ 1 + (1 | Subject)", base.iloc[[0, 10]])
attempt("nul", "Reaction ~ Days\\0 + (1 | Subject)", base)
attempt("surrogate", "Reaction ~ \\ud800 + (1 | Subject)", base)
print("alive")
"""


def test_the_nastiest_inputs_leave_the_interpreter_alive():
    out = subprocess.run([sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(NASTY)], capture_output=True,
                         text=True, timeout=120)
    assert out.returncode == 0, out.stderr[-3000:]
    assert out.stdout.strip().splitlines()[-1] == "alive"


def test_refused_inputs_give_no_other_warning():
    for formula, frame, *_ in (row[1:] for row in DATA):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(FastlmmError):
                lmer(formula, frame)
