"""The parser: R's precedence, its errors, and that deparse undoes parse."""
import string

import pytest
from hypothesis import given, settings, strategies as st

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula import Formula, parse_formula
from fastlmm_hlm.formula.deparse import deparse, number_text
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Argument, Binary, Call, Constant, Name, Number, Paren, Text, Unary

INFIX = ["+", "-", "*", "/", ":", "^", "%in%", "%%", "==", "<", ">=", "&", "|", "||"]
names = st.one_of(st.sampled_from(["x", "y2", "exam.prep.days", ".a", "my var", "1st", "if", "TRUE", "a`b", "_id", "back\\slash", "Größe"]),
                  st.text(min_size=1, max_size=6).filter(lambda s: "\0" not in s))
numbers = st.one_of(st.integers(0, 10**9).map(float), st.sampled_from([0.5, 1e-4, 123.25, 1e15, 1e5]))
leaves = st.one_of(
    names.map(Name), numbers.map(Number), st.integers(0, 10**6).map(lambda i: Number(float(i), True)), st.text(max_size=6).map(Text),
    st.sampled_from(["TRUE", "FALSE", "NULL", "NA", "Inf"]).map(Constant),
)
calls = ["f", "poly", "splines::ns", "is.na", "odd name"]


def larger(inner):
    arguments = st.lists(st.builds(Argument, st.one_of(st.none(), st.sampled_from(["df", "a b"])), inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(Binary, st.sampled_from(INFIX), inner, inner), st.builds(Unary, st.sampled_from("-+!"), inner),
        st.builds(Call, st.sampled_from(calls), arguments), inner.map(Paren),
    )


trees = st.recursive(leaves, larger, max_leaves=12)


def without_parens(node):
    """The tree with no parentheses: what two spellings of one formula share."""
    if isinstance(node, Paren):
        return without_parens(node.inner)
    if isinstance(node, Binary):
        return Binary(node.op, without_parens(node.left), without_parens(node.right))
    if isinstance(node, Unary):
        return Unary(node.op, without_parens(node.operand))
    if isinstance(node, Call):
        return Call(node.function, tuple(Argument(a.name, without_parens(a.value)) for a in node.args))
    return node


@settings(max_examples=300, deadline=None)
@given(trees)
def test_parsing_the_deparsed_text_gives_the_tree_back(tree):
    again = parse_expression(deparse(tree))
    assert without_parens(again) == without_parens(tree)
    assert deparse(again) == deparse(parse_expression(deparse(again)))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet=string.ascii_lowercase[:4] + "01 ~|()+-*/:^,.`'\"%in&!<=L\\[]$#\n", max_size=40)))
def test_random_text_is_a_formula_or_a_formula_error(text):
    for read in (parse_expression, Formula):
        try:
            read(text)
        except FormulaError as error:
            assert str(error)


@pytest.mark.parametrize("text, grouped", [
    ("a + b * c", "a + (b * c)"), ("a * b:c", "a * (b:c)"), ("a:b^2", "a:(b^2)"), ("-a^2", "-(a^2)"), ("-a:b", "(-a):b"), ("a^b^c", "a^(b^c)"),
    ("a %in% b * c", "(a %in% b) * c"), ("a %in% b:c", "a %in% (b:c)"), ("!a == b", "!(a == b)"), ("a | b & c", "a | (b & c)"), ("x | g + h", "x | (g + h)"),
    ("y ~ x | g", "y ~ (x | g)"), ("a - b - c", "(a - b) - c"), ("a / b * c", "(a / b) * c"), ("2^-1", "2^(-1)"), ("a ** 2", "a^2"), ("a || b | c", "(a || b) | c"),
])
def test_operators_bind_as_in_r(text, grouped):
    assert without_parens(parse_expression(text)) == without_parens(parse_expression(grouped))


@pytest.mark.parametrize("text, caret, words", [
    ("y ~ a b", 6, "no operator"), ("y ~ x[1]", 5, "indexing"), ("y ~ d$x", 5, "column"), ("y ~ (1 | g", 4, "never closed"), ("y ~ x)", 5, "closes nothing"),
    ("y ~ + * x", 6, "left"), ("y ~", 3, "ends after"), ("a < b < c", 6, "chained"), ("y = x", 2, "=="), ("y ~ 2x", 4, "backticks"), ("y ~ _x", 4, "backticks"),
    ("y ~ a %o% b", 6, "%in%"), ("y ~ f(, x)", 6, "argument"), ("y ~ 'x", 4, "closed"), ("y ~ x |> f()", 6, "pipe"), ("y ~ x <- z", 6, "assigns"), ("y ~ f(x", 5, "never closed"),
    ("y ~ {x}", 4, "place"), ("y ~ \\(x) x", 4, "functions"), ("y ~ x; z", 5, "one expression"), ("y ~ if", 4, "backticks"), ("y ~ ``", 4, "empty"), ("y ~ 1.5L", 4, "whole"),
])
def test_an_error_shows_the_formula_with_a_caret_under_the_token(text, caret, words):
    with pytest.raises(FormulaError) as caught:
        parse_expression(text)
    message, line, mark = str(caught.value).split("\n")
    assert line == "  " + text
    assert mark == "  " + " " * caret + "^"
    assert words in message


def test_the_caret_stands_in_the_right_line_of_a_long_formula():
    with pytest.raises(FormulaError) as caught:
        parse_expression("y ~ x +\n  z w +\n  (1 | g)")
    assert str(caught.value).split("\n")[1:] == ["    z w +", "      ^"]


def test_a_sum_of_five_thousand_columns_is_read_and_written():
    columns = [f"x{i}" for i in range(5000)]
    formula = Formula("y ~ " + " + ".join(columns) + " + (1 | g)")
    assert formula.fixed_text == "y ~ " + " + ".join(columns)
    assert formula.random_texts == ["(1 | g)"]


def test_deep_nesting_is_refused_and_does_not_crash():
    with pytest.raises(FormulaError, match="nested more than"):
        parse_expression("(" * 5000 + "x" + ")" * 5000)
    with pytest.raises(FormulaError, match="nested more than"):
        parse_expression("-" * 5000 + "x")


@pytest.mark.parametrize("text", ["", "   ", "# only a comment"])
def test_an_empty_formula_is_refused(text):
    with pytest.raises(FormulaError, match="empty"):
        parse_expression(text)


def test_something_else_than_text_is_refused():
    with pytest.raises(FormulaError, match="not int"):
        parse_formula(3)


@pytest.mark.parametrize("value, text", [
    (100000, "1e+05"), (123456, "123456"), (0.1, "0.1"), (1e-5, "1e-05"), (0.0001, "1e-04"), (0.001, "0.001"), (-2.5, "-2.5"), (1 / 3, "0.333333333333333"),
    (1e15, "1e+15"), (123456789012, "123456789012"), (0, "0"), (float("inf"), "Inf"), (float("nan"), "NaN"),
])
def test_numbers_are_written_as_r_writes_them(value, text):
    assert number_text(value) == text
