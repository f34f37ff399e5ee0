"""Which factors are nested in which.

A factor is nested in others when the formula says so (a/b: an interaction a:b
with a but without b), or the data do: each of its levels occurs in one level of
the other factor only.
"""

import numpy as np


def nested_in(terms, facts):
    """The nesting of the factors of a fit.

    Parameters
    ----------
    terms : list of tuple of str
        Predictors of each term of the fixed part.
    facts : Facts

    Returns
    -------
    dict of str to tuple of str
        Nested factor -> the factors it is nested in, in the order of the formula.
    """
    terms = [set(term) for term in terms]
    factors = [name for name, v in facts.variables.items() if v.is_factor and len(v.levels) > 1]
    nesting = {}
    for inner in factors:
        outer = [name for name in factors if name != inner and (
            _by_formula(terms, inner, name) or _by_data(facts, inner, name, nesting)
        )]
        if outer:
            nesting[inner] = tuple(outer)
    return nesting


def _by_formula(terms, inner, outer):
    """Whether every term with `inner` has `outer` too, and `outer` stands alone somewhere without it."""
    with_inner = [term for term in terms if inner in term]
    return bool(with_inner) and all(outer in term for term in with_inner) and {outer} in terms


def _by_data(facts, inner, outer, nesting):
    """Whether each level of `inner` occurs in one level of `outer` only."""
    if outer in nesting and inner in nesting[outer]:
        return False
    columns = [facts.counted.index(name) for name in (inner, outer)]
    pairs = np.unique(facts.cells[:, columns], axis=0)
    inner_levels, outer_levels = (len(np.unique(pairs[:, j])) for j in (0, 1))
    return len(pairs) == inner_levels and outer_levels > 1
