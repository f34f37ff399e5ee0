"""Verification with stored answers of R: verdicts, table, JSON, HTML."""

import html.parser
import json
import math
import re

import numpy as np
import pytest

import fastlmm_hlm
from fastlmm_hlm import datasets, lmer, make_lmer, verify
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.verification import rsession
from fastlmm_hlm.verification.differences import QUANTITIES
from fastlmm_hlm.verification.verification import Verification
from tests.verification.conftest import stored
from tests.verification.models import MODELS, model

# lme4's functions at a theta that is given: rounding alone.
ROUNDING = 1e-8


@pytest.fixture
def verified(with_stored_r):
    def make(name, **changed):
        with_stored_r(name)
        formula, frame, arguments = model(name)
        return verify(formula, frame, **arguments | changed)

    return make


@pytest.mark.parametrize("name, verdict", [("sleepstudy", "equal"), ("dyestuff2_singular", "equal"), ("cake_ml_sum", "equal"),
                                           ("cake_uncentred", "equal_after_refit")])
def test_the_verdict_says_how_far_lme4_must_be_taken(verified, name, verdict):
    result = verified(name)
    assert (result.verdict, result.ok, result.exit_code) == (verdict, True, 0), result


@pytest.mark.parametrize("name", MODELS)
def test_at_our_theta_the_functions_of_lme4_give_our_numbers(verified, name):
    table = verified(name).table
    assert list(table.index) == list(QUANTITIES)
    judged = table[table["status"] != "not_compared"].drop(index=["df", "p-value", "t value"], errors="ignore")
    assert judged["at_ours"].abs().max() < ROUNDING


def test_the_table_has_differences_in_the_scale_of_each_quantity(verified):
    result, formula = verified("sleepstudy"), MODELS["sleepstudy"][0]
    fit, theirs = lmer(formula, datasets.load("sleepstudy")), stored("sleepstudy")["answer"]["default"]
    V = np.array(theirs["vcov"])
    expected = np.max(np.abs(fit.fixef() - theirs["fixef"]) / np.sqrt(np.diag(V)))
    assert result.table.loc["fixef", "default"] == pytest.approx(expected, rel=1e-3, abs=1e-15)
    assert result.table.loc["criterion", "default"] == pytest.approx(fit.REMLcrit() - theirs["criterion"], abs=1e-12)
    modes = np.array(theirs["ranef"]["Subject"]["modes"])
    spread = np.sqrt((modes**2).mean(axis=0) + np.diagonal(np.array(theirs["ranef"]["Subject"]["variances"][0]), axis1=0, axis2=1).mean(axis=0))
    assert result.table.loc["ranef", "default"] == pytest.approx(np.max(np.abs(fit.ranef()["Subject"] - modes) / spread), rel=1e-6)


@pytest.mark.parametrize("part, change, quantity", [
    ("fixef", lambda x: [x[0] * (1 + 1e-5), *x[1:]], "fixef"),
    ("sigma", lambda x: x * 1.001, "sigma"),
    ("fitted", lambda x: [x[0] + 1.0, *x[1:]], "fitted"),
    ("rows", lambda x: [181, *x[1:]], "rows left out"),
    ("nobs", lambda x: x - 1, "nobs"),
    ("ngrps", lambda x: {"Subject": 17}, "ngrps"),
    ("fixef_names", lambda x: ["(Intercept)", "days"], "fixef"),
    ("BIC", lambda x: x + 0.01, "BIC"),
    ("theta", lambda x: [x[0] * 1.001, *x[1:]], "theta"),
    ("singular", lambda x: True, "isSingular"),
    ("ranef", lambda x: {"Subject": x["Subject"] | {"levels": ["0", *x["Subject"]["levels"][1:]]}}, "ranef"),
    ("ranef", lambda x: {"Subject": x["Subject"] | {"variances": [(2 * np.array(x["Subject"]["variances"][0])).tolist()]}}, "condVar"),
])
def test_any_number_that_differs_at_all_points_is_found(with_stored_r, part, change, quantity):
    answer = stored("sleepstudy")["answer"]
    for point in ("default", "refit", "at_ours"):
        if not (part == "singular" and point == "at_ours"):
            answer[point][part] = change(answer[point][part])
    with_stored_r(answer)
    formula, frame, _ = model("sleepstudy")
    result = verify(formula, frame)
    assert result.table.loc[quantity, "status"] == "different"
    assert (result.verdict, result.exit_code) == ("different", 1) and quantity in result.message


def test_a_lower_criterion_of_lme4_is_a_failure(with_stored_r):
    answer = stored("sleepstudy")["answer"]
    answer["from_ours"] -= 1e-3
    with_stored_r(answer)
    result = verify(*model("sleepstudy")[:2])
    assert result.verdict == "different" and "lower by 0.001" in result.message


def test_where_no_optimizer_of_lme4_comes_down_its_functions_decide(with_stored_r):
    answer = stored("sleepstudy")["answer"]
    for point in ("default", "refit"):
        answer[point]["criterion"] += 2.5
        answer[point]["theta"][0] *= 2
    answer["optimizers"] = {"nloptwrap": answer["refit"]["criterion"]}
    with_stored_r(answer)
    result = verify(*model("sleepstudy")[:2])
    assert (result.verdict, result.ok) == ("ours_lower", True) and "2.5" in result.message
    for point in ("default", "refit", "at_ours"):
        answer[point]["sigma"] *= 1.01
    assert verify(*model("sleepstudy")[:2]).verdict == "different"


def test_a_flat_likelihood_is_named_and_not_verified(with_stored_r):
    answer = stored("sleepstudy")["answer"]
    for point in ("default", "refit"):
        answer[point]["sigma"] *= 1.01
    answer["warnings"] = ["Hessian is numerically singular: parameters are not uniquely determined"]
    with_stored_r(answer)
    result = verify(*model("sleepstudy")[:2])
    assert result.verdict == "different" and "flat" in result.message
    assert result.record["warnings"][0]["judgement"] == "right"


def test_tolerances_are_the_callers_choice(verified):
    strict = verified("sleepstudy", tolerances={"VarCorr": 0})
    assert strict.verdict == "different" and strict.table.loc["VarCorr", "tolerance"] == 0
    with pytest.raises(ArgumentError, match="tolerances has 'varcor'; the quantities are criterion"):
        verified("sleepstudy", tolerances={"varcor": 1})
    with pytest.raises(ArgumentError, match="the tolerance of theta is -1"):
        verified("sleepstudy", tolerances={"theta": -1})


def test_warnings_of_lme4_are_judged(with_stored_r):
    answer = stored("sleepstudy")["answer"]
    answer["warnings"] = ["Model failed to converge with max|grad| = 0.01", "boundary (singular) fit: see help('isSingular')", "NaNs produced"]
    with_stored_r(answer)
    result = verify(*model("sleepstudy")[:2])
    assert [warning["judgement"] for warning in result.record["warnings"]] == ["false", "false", "not judged"]
    assert "the default fit is at the optimum" in str(result)
    answer["default"]["criterion"] += 0.5
    early = verify(*model("sleepstudy")[:2]).record["warnings"][0]
    assert early["judgement"] == "right" and "0.5 above" in early["why"]


def test_degrees_of_freedom_that_lmertest_lost_are_not_held_against_either(with_stored_r):
    answer, fit = stored("sleepstudy")["answer"], lmer(*model("sleepstudy")[:2])
    for point in ("default", "refit", "at_ours"):
        for row in answer[point]["coefficients"]["table"]["values"]:
            row[2] *= 3
    with_stored_r(answer)
    assert verify(fit).table.loc["df", "status"] == "different"
    answer["scaled_df"] = [17.0, 17.0]
    result = verify(fit)
    assert result.ok and result.table.loc["df", "status"] == "not_compared" and "51" in result.table.loc["df", "note"]
    answer["scaled_df"] = [18.0, 17.0]
    assert verify(fit).verdict == "different"


# --- the object --------------------------------------------------------------------------


def test_it_prints_criteria_seconds_and_versions(verified):
    text = str(verified("cake_uncentred"))
    for word in ("EQUAL AFTER REFIT: angle ~ temp", "lme4 default", "REML criterion:", "lme4, at the theta found here", "nloptwrap, tight",
                 "evaluations in lme4", f"fastlmm_hlm {fastlmm_hlm.__version__}", "R 4.", "lmerTest 3."):
        assert word in text


def test_json_comes_back_as_it_was(verified, tmp_path):
    result = verified("cake_uncentred")
    text = result.to_json(tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == text
    again = Verification.from_json(text)
    assert again.record == result.record and str(again) == str(result)
    record = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert record["schema"] == "fastlmm_hlm.verification/1"
    assert set(record) == {"schema", "formula", "REML", "ddf", "arguments", "versions", "messages", "verdict", "ok", "message", "table", "criterion",
                           "optimizers", "warnings", "seconds", "evaluations", "ours", "lme4", "agreement"}
    assert set(record["lme4"]) == {"default", "refit", "at_ours"} and set(record["lme4"]["refit"]) == set(record["ours"]) == set(result.ours)
    assert result.theirs["default"]["criterion"] == record["criterion"]["lme4"]


@pytest.mark.parametrize("text, message", [("{", "no JSON"), ("[1]", "schema is None"), ('{"schema": "x/2"}', "schema is 'x/2'")])
def test_json_of_something_else_is_refused(text, message):
    with pytest.raises(ArgumentError, match=message):
        Verification.from_json(text)


class Reader(html.parser.HTMLParser):
    """Tags that stand open, and every attribute that could fetch something."""

    VOID = {"meta", "br", "path", "use", "line"}

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.counts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data", "action") and not value.startswith("#")]
        self.fetched += [value for name, value in attributes if name == "style" and re.search(r"url\((?!#)", value)]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["sleepstudy", "cake_uncentred"])
def test_the_report_is_one_page_with_pictures_and_needs_nothing_else(verified, name):
    text = verified(name).to_html()
    page = Reader(text)
    assert page.open == [] and page.fetched == []
    assert page.counts["svg"] == 5 and not {"script", "link", "img", "iframe"} & set(page.counts)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", text)
    assert set(re.findall(r"https?://[^\"'\s<>]+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "prefers-color-scheme: dark" in text and "@media print" in text and "currentColor" in text
    assert len(set(re.findall(r'<svg [^>]*><title>([^<]+)', text))) == 5


def test_names_are_escaped_in_the_report(with_stored_r):
    with_stored_r("sleepstudy")
    result = verify(*model("sleepstudy")[:2])
    result.record["formula"] = "y ~ <script>x</script> + (1 | g)"
    assert "<script>" not in result.to_html() and "<script>" not in result._repr_html_()


def test_a_notebook_shows_the_table(verified):
    shown = verified("sleepstudy")._repr_html_()
    assert shown.startswith("<div>") and "lme4 at ours" in shown and "<b>EQUAL</b>" in shown


def test_models_with_many_rows_are_thinned_for_the_report_and_the_worst_is_kept():
    from fastlmm_hlm.verification.record import MOST_POINTS, thinned

    differences = np.zeros(100_000)
    differences[[7, 54_321]] = 1.0, -2.0
    shown = thinned(differences)
    assert len(shown) <= MOST_POINTS and {7, 54_321} <= set(shown) and (np.diff(shown) > 0).all()
    np.testing.assert_array_equal(thinned(np.zeros(5)), np.arange(5))


# --- what is refused -----------------------------------------------------------------------


def test_r_that_refuses_is_quoted(with_stored_r):
    with_stored_r(rsession.RRefusedError("'relevel' only for (unordered) factors"))
    result = verify(*model("sleepstudy")[:2])
    assert (result.verdict, result.ok, result.exit_code) == ("refused_by_r", False, 4)
    assert "R says: 'relevel' only" in str(result) and "R says" in result.to_html() and result.table.empty
    assert Verification.from_json(result.to_json()).record == result.record


def test_what_both_refuse_is_said_to_be_so(with_stored_r):
    with_stored_r(rsession.RRefusedError("grouping factors must have > 1 sampled level"))
    result = verify("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy").assign(Subject="a"))
    assert (result.verdict, result.exit_code) == ("refused_by_both", 4)
    assert "has 1 level ('a')" in result.message and "must have > 1 sampled level" in result.message


def test_what_is_refused_here_alone_is_not_verified(with_stored_r):
    with_stored_r("sleepstudy")
    result = verify("Reaction ~ Days + (1 | Subject)", datasets.load("sleepstudy").assign(Subject="a"))
    assert (result.verdict, result.exit_code) == ("refused_here", 1)


def test_arguments_are_checked(with_stored_r):
    with_stored_r("sleepstudy")
    formula, frame, _ = model("sleepstudy")
    with pytest.raises(UnknownColumnError, match="Did you mean 'Days'"):
        verify("Reaction ~ Dayz + (1 | Subject)", frame)
    with pytest.raises(ArgumentError, match="ddf"):
        verify(formula, frame, ddf="residual")
    with pytest.raises(ArgumentError, match="a fit brings its own data"):
        verify(lmer(formula, frame), frame)
    given = make_lmer("Reaction ~ Days + (1 | Subject)", frame, fixef=[250, 10], VarCorr=30, sigma=25)
    with pytest.raises(ArgumentError, match="given and not estimated"):
        verify(given)
    with pytest.raises(ArgumentError, match="was replaced"):
        verify(lmer(formula, frame).refit(frame["Reaction"] + 1))


def test_a_fit_is_compared_as_it_is_and_needs_its_rows(with_stored_r):
    import pickle

    with_stored_r("cake_ml_sum")
    formula, frame, arguments = model("cake_ml_sum")
    fit = lmer(formula, frame, **arguments)
    result = verify(fit)
    assert result.ok and result.record["REML"] is False and result.record["arguments"] == {"contrasts": {"recipe": "contr.sum"}}
    with pytest.raises(RowsNotKeptError, match="verify"):
        verify(pickle.loads(pickle.dumps(fit)))


def test_steps_in_scale_span_the_lower_triangle():
    from fastlmm_hlm.verification.answers import theta_scale

    x = np.column_stack([np.ones(50), np.linspace(2000, 2010, 50)])
    moments = x.T @ x / 50
    scale = theta_scale([moments])
    w = np.array([0.3, -0.2, 0.5])
    a, b, c = scale @ w
    lambda_ = np.array([[a, 0.0], [b, c]])
    # The response varies by lambda' M lambda; in the coordinates w that is W'W.
    W = np.array([[w[0], 0.0], [w[1], w[2]]])
    np.testing.assert_allclose(lambda_.T @ moments @ lambda_, W.T @ W, rtol=1e-6)
    assert theta_scale([np.ones((2, 2))]) is None and math.isclose(theta_scale([np.array([[4.0]])])[0, 0], 0.5)
