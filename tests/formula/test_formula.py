"""Random terms, the algebra of terms, and the Formula object."""
import pickle

import pytest

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula import Formula, update_formula
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.terms import expand_terms, full_dummy_factors


def labels(rhs, **options):
    return expand_terms(parse_expression(rhs), **options).labels


@pytest.mark.parametrize("text, random", [
    ("y ~ (1 | a/b)", ["(1 | b:a)", "(1 | a)"]), ("y ~ (x | a/b/c)", ["(x | c:(b:a))", "(x | b:a)", "(x | a)"]), ("y ~ (1 | a*b)", ["(1 | a)", "(1 | b)", "(1 | a:b)"]),
    ("y ~ (x || g)", ["(1 | g)", "(0 + x | g)"]), ("y ~ (0 + x || g)", ["(0 + x | g)"]), ("y ~ (f * x || g)", ["(1 | g)", "(0 + f | g)", "(0 + x | g)", "(0 + f:x | g)"]),
    ("y ~ us(x | g)", ["(x | g)"]), ("y ~ diag(x | g)", ["diag(x | g)"]), ("y ~ cs(1 + x | g, hom = TRUE)", ["cs(1 + x | g, hom = TRUE)"]),
    ("y ~ ar1(0 + t | g)", ["ar1(0 + t | g)"]), ("y ~ ((1 | g) + x)", ["(1 | g)"]), ("y ~ (x - 1 | g)", ["(x - 1 | g)"]), ("y ~ lme4::cs(x | g)", ["cs(x | g)"]),
])
def test_random_terms_are_written_in_their_plainest_form(text, random):
    assert Formula(text).random_texts == random


def test_covariance_structures_have_the_defaults_of_lme4():
    bars = Formula("y ~ (x | a) + diag(x | b) + cs(x | c) + ar1(0 + x | d) + ar1(0 + x | e, hom = FALSE)").bars
    assert [(bar.covariance, bar.hom) for bar in bars] == [("us", False), ("diag", False), ("cs", False), ("ar1", True), ("ar1", False)]


@pytest.mark.parametrize("text, words", [
    ("y ~ 1 | g + x", r"Write \(1 \| g\) \+ x"), ("y ~ x + 1 | g", "no parentheses"), ("y ~ ((x | g) | h)", "bar inside a bar"), ("y ~ (1 | (1 | g))", "bar inside a bar"),
    ("y ~ (x | g) * z", "added with"), ("y ~ x - (1 | g)", "subtracted"), ("y ~ (1 | a + b)", "one grouping factor"), ("y ~ (1 | 1)", "constant"), ("y ~ (1 | 'g')", "must be a column"),
    ("y ~ cs(x || g)", "one bar"), ("y ~ cs(x | g, rho = 1)", "does not know"), ("y ~ us(x | g, hom = TRUE)", "unstructured"), ("y ~ x ~ z", "more than one"), ("x + (1 | g)", "no '~'"),
    ("y ~ (0 || g)", "is empty"), ("y ~ (1 | .)", "must be a column"), ("y ~ exp(x) + (1 | g)^2", "added with"),
])
def test_a_misplaced_bar_is_refused_with_what_to_write(text, words):
    with pytest.raises(FormulaError, match=words):
        Formula(text)


@pytest.mark.parametrize("rhs, expected", [
    ("a * b", ["a", "b", "a:b"]), ("b:a + a", ["a", "b:a"]), ("(a + b + c)^2", ["a", "b", "c", "a:b", "a:c", "b:c"]), ("a / b", ["a", "a:b"]), ("(a + b) / c", ["a", "b", "a:b:c"]),
    ("a %in% b", ["a:b"]), ("a * b - a", ["b", "a:b"]), ("a:b:a", ["a:b"]), ("a + a", ["a"]), ("a:b + c", ["c", "a:b"]), ("(a + b)^2 - b", ["a", "a:b"]), ("log(x):a", ["log(x):a"]),
    ("a^3", ["a"]), ("a + (b - a)", ["a", "b"]), ("a - (b - a)", ["a"]),
])
def test_terms_follow_the_algebra_of_r(rhs, expected):
    assert labels(rhs) == expected


@pytest.mark.parametrize("rhs, intercept", [("x", True), ("0 + x", False), ("x - 1", False), ("x - 0", True), ("0 + x + 1", True), ("x + 1 - 1", False), ("-1", False), ("x - (1 + z)", False)])
def test_the_last_word_on_the_intercept_counts(rhs, intercept):
    assert expand_terms(parse_expression(rhs)).intercept is intercept


def test_the_dot_stands_for_the_columns_it_is_given():
    assert labels(". + a:b", dot=["a", "b"]) == ["a", "b", "a:b"]
    assert labels(".^2", dot=["a", "b"]) == ["a", "b", "a:b"]
    assert labels(". - b", dot=["a", "b"]) == ["a"]


@pytest.mark.parametrize("rhs, words", [
    ("x + 2", "the number 2"), ("x^y", "whole number"), ("x^0", "whole number"), ("x^2.5", "whole number"), ("'x'", "not a variable"), ("TRUE", "not a variable"), (".", "other columns"),
    ("x:offset(z)", "offset"), ("offset(a, b)", "takes one"),
])
def test_what_is_no_term_is_refused(rhs, words):
    with pytest.raises(FormulaError, match=words):
        expand_terms(parse_expression(rhs))


def test_offsets_are_taken_out_of_the_terms():
    terms = expand_terms(parse_expression("x + offset(log(n)) + offset(z)"))
    assert terms.labels == ["x"]
    assert len(terms.offsets) == 2


@pytest.mark.parametrize("rhs, full", [
    ("a + b", [set(), set()]), ("a:b", [{"a", "b"}]), ("a + a:b", [set(), {"a"}]), ("a + b + a:b", [set(), set(), set()]), ("0 + a + b", [{"a"}, set()]),
    ("0 + x + a", [set(), {"a"}]), ("x:a", [{"a"}]), ("x + x:a", [set(), set()]), ("0 + a:b", [{"a", "b"}]),
])
def test_factors_get_contrasts_when_their_margin_is_in_the_model(rhs, full):
    terms = expand_terms(parse_expression(rhs))
    assert full_dummy_factors(terms.terms, {"a", "b"}, terms.intercept) == full


def test_a_formula_shows_its_parts():
    formula = Formula("log(y)~x*f+(x||g)+(1|a/b)")
    assert formula.text == str(formula) == "log(y) ~ x * f + (x || g) + (1 | a/b)"
    assert formula.response == "log(y)"
    assert formula.fixed_text == "log(y) ~ x * f"
    assert formula.nobars() == Formula("log(y) ~ x * f")
    assert formula.findbars() == ["1 | g", "0 + x | g", "1 | b:a", "1 | a"]


def test_a_formula_of_random_terms_only_keeps_the_intercept():
    assert Formula("y ~ (1 | g)").fixed_text == "y ~ 1"
    assert Formula("~ (1 | g)").fixed_text == "~1"
    assert Formula("~ (1 | g)").response is None


def test_formulas_pickle_compare_and_hash_by_their_text():
    formula = Formula("y ~ x + (1|g)")
    assert pickle.loads(pickle.dumps(formula)) == formula == Formula("y~x+(1 | g)")
    assert len({formula, Formula("y~x+(1 | g)")}) == 1


@pytest.mark.parametrize("old, new, updated", [
    ("y ~ x + offset(z) + (1 | g)", ". ~ . - offset(z)", "y ~ x + (1 | g)"), ("y ~ x + (x || g)", ". ~ . - (x || g) + (1 | g)", "y ~ x + (1 | g)"),
    ("y ~ x + (1 | g)", ". ~ . * f", "y ~ x + (1 | g) + f + x:f"), ("y ~ x + diag(x | g)", ". ~ . - 1", "y ~ x + diag(x | g) - 1"),
])
def test_update_leaves_random_terms_whole(old, new, updated):
    assert update_formula(old, new).text == updated


def test_update_refuses_to_remove_a_random_term_that_is_not_there():
    with pytest.raises(FormulaError, match=r"\(1 \| h\) cannot be removed.*\(1 \| g\)"):
        update_formula("y ~ x + (1 | g)", ". ~ . - (1 | h)")
