"""Formulas with a term less."""

import pytest

from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.reduce import (
    droppable,
    marginal_to,
    reductions,
    simplified,
    with_bar_replaced,
    without_term,
    written_out,
)
from fastlmm_hlm.formula.terms import expand_terms


def terms_of(text):
    return expand_terms(parse_formula(f"y ~ {text}").fixed_node, dot=["a", "b"])


@pytest.mark.parametrize("text, labels", [
    ("a * b", ["a:b"]),
    ("a + b", ["a", "b"]),
    ("a * b + z", ["z", "a:b"]),
    ("(a + b + z)^2", ["a:b", "a:z", "b:z"]),
    ("a / b", ["a:b"]),
    ("1", []),
    ("log(x) * f", ["log(x):f"]),
])
def test_a_term_may_be_dropped_when_no_other_contains_it(text, labels):
    terms = terms_of(text)
    assert [terms.labels[i] for i in droppable(terms.terms)] == labels


def test_terms_inside_a_kept_interaction_are_kept_too():
    terms = terms_of("a * b + z")
    assert marginal_to(terms.terms, ["a:b"]) == {"a", "b", "a:b"}
    assert marginal_to(terms.terms, []) == set()


@pytest.mark.parametrize("bar, made", [
    ("(1 | g)", []),
    ("(x | g)", [("x", "(1 | g)")]),
    ("(x + z | g)", [("x", "(z | g)"), ("z", "(x | g)")]),
    ("(f * z | g)", [("f:z", "(f + z | g)")]),
    ("(0 + x | g)", [("x", "(1 | g)")]),
    ("(0 + f + x | g)", [("f", "(x - 1 | g)"), ("x", "(f - 1 | g)")]),
    ("cs(x | g)", [("x", "cs(1 | g)")]),
])
def test_a_bar_loses_one_term_at_a_time_as_in_ranova(bar, made):
    only = parse_formula(f"y ~ 1 + {bar}").bars[0]
    assert [(label, smaller.text) for label, smaller in reductions(only)] == made


def test_a_bar_that_is_already_there_is_not_written_twice():
    formula = parse_formula("y ~ x + (1 | g) + (0 + x | g)")
    (label, smaller), = reductions(formula.bars[1])
    assert label == "x"
    assert with_bar_replaced(formula, formula.bars[1], smaller).text == "y ~ x + (1 | g)"


def test_the_last_bar_leaves_a_formula_without_random_terms():
    formula = parse_formula("y ~ x + (1 | g)")
    assert with_bar_replaced(formula, formula.bars[0], None).text == "y ~ x"


def test_everything_that_stands_for_more_is_written_out():
    terms = terms_of(".")
    assert written_out("y ~ . + (x || g) + (1 | a/b)", terms).text == (
        "y ~ a + b + (1 | g) + (0 + x | g) + (1 | b:a) + (1 | a)"
    )


def test_simplified_formulas_have_interactions_after_random_terms_as_r_writes_them():
    assert simplified("y ~ a * b + (1 | g)").text == "y ~ a + b + (1 | g) + a:b"
    assert simplified("y ~ 1 + (1 | g)").text == "y ~ (1 | g)"


def test_an_interaction_is_taken_out_whatever_the_order_of_its_variables():
    assert without_term("y ~ a * b + (1 | g)", "a:b").text == "y ~ a + b + (1 | g)"
