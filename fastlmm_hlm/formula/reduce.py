"""Formulas with a term less, under the rule of marginality.

A term may be dropped when no other term contains it: a:b before a and b
(Nelder 1977; R's ?drop.scope).
"""

from fastlmm_hlm.formula.bars import Bar
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.formula import Formula, parse_formula
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Name, walk
from fastlmm_hlm.formula.terms import expand_terms
from fastlmm_hlm.formula.update import update_formula


def droppable(terms):
    """Places of the terms that no other term contains.

    Parameters
    ----------
    terms : sequence of tuple of str
        As ``TermList.terms``.

    Returns
    -------
    list of int
    """
    sets = [frozenset(term) for term in terms]
    return [i for i, own in enumerate(sets) if not any(own < other for other in sets)]


def marginal_to(terms, labels):
    """Labels of the terms that are among `labels` or contained in one of them.

    Parameters
    ----------
    terms : sequence of tuple of str
    labels : collection of str

    Returns
    -------
    set of str
    """
    sets = {":".join(term): frozenset(term) for term in terms}
    kept = [sets[label] for label in labels]
    return {label for label, own in sets.items() if any(own <= other for other in kept)}


def written_out(formula, terms):
    """A formula with `.`, `||`, `/` and `*` between groups written out.

    Parameters
    ----------
    formula : str or Formula
    terms : TermList
        Of its fixed part, where `.` is known.

    Returns
    -------
    Formula
    """
    formula = without_dot(formula, terms)
    return Formula(" + ".join([formula.fixed_text, *formula.random_texts]))


def without_dot(formula, terms):
    """A formula with the columns that `.` stands for; parameters as in `written_out`."""
    formula = parse_formula(formula)
    if not any(isinstance(node, Name) and node.text == "." for node in walk(formula.fixed_node)):
        return formula
    right = [*terms.labels, *(f"offset({deparse(node)})" for node in terms.offsets)]
    fixed = f"{formula.response} ~ " + " + ".join(right or ["1"]) + ("" if terms.intercept else " - 1")
    return Formula(" + ".join([fixed, *formula.random_texts]))


def simplified(formula):
    """The formula as R's update(formula, . ~ .) writes it."""
    return update_formula(formula, ". ~ .")


def without_term(formula, label):
    """A formula without one fixed term; it holds no `.`."""
    return update_formula(formula, f". ~ . - {label}")


def with_bar_replaced(formula, bar, smaller):
    """A formula with one random term removed, or replaced by a smaller one.

    Parameters
    ----------
    formula : Formula
        With its random terms written out.
    bar : Bar
    smaller : Bar or None

    Returns
    -------
    Formula
    """
    change = f". ~ . - {bar.text}" + ("" if smaller is None else f" + {smaller.text}")
    return update_formula(formula, change)


def reductions(bar):
    """The ways to take one term off the left side of a bar.

    (x1 + x2 | g) becomes (x2 | g) and (x1 | g); (0 + x | g) becomes (1 | g), as in
    lmerTest's ranova; (1 | g) cannot be reduced.

    Parameters
    ----------
    bar : Bar

    Returns
    -------
    list of (str, Bar)
        The label that is taken off and what is left; empty for (1 | g).
    """
    side = expand_terms(bar.lhs)
    made = []
    for i in droppable(side.terms):
        left = " + ".join(label for k, label in enumerate(side.labels) if k != i)
        if left and not side.intercept:
            left += " - 1"
        smaller = Bar(parse_expression(left or "1"), bar.group, bar.covariance, bar.hom)
        made.append((side.labels[i], smaller))
    return made
