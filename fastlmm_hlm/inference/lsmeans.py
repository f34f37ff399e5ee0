"""Least squares means of the factors of a model, under lmerTest's names and in its tables.

The means are those of `emmeans` with equal weights and every covariate at its mean, also one
with two values; a nested factor gets no grid of its own.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.boot_intervals import check_level
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.ddf import canonical_name
from fastlmm_hlm.report.lsmeans import COLUMNS, LsMeans


def ls_means(fit, which=None, pairwise=False, level=0.95, ddf="Satterthwaite"):
    """Least squares means of terms made of factors, or their pairwise differences.

    A mean is the prediction averaged with equal weights over the levels of all other
    factors, at the mean of each covariate.  Tests are of the hypothesis that it is 0; nothing
    is adjusted for the number of tests (see `emmeans` for that).

    Parameters
    ----------
    fit : LinearMixedModel
    which : str or sequence of str, optional
        Labels of terms, such as "recipe" or "recipe:temperature"; all terms of factors by default.
    pairwise : bool
        Differences of all pairs of levels of each term instead.
    level : float
        Of the confidence limits.
    ddf : {"Satterthwaite", "Kenward-Roger"}

    Returns
    -------
    LsMeans
        DataFrame with columns Estimate, Std. Error, df, t value, lower, upper, Pr(>|t|); NaN
        where the data do not allow an estimate.

    Raises
    ------
    ArgumentError
        If `which` names no term of factors, or an option is unknown.
    RowsNotKeptError
        If the fit was pickled without its rows and what the grid needs was not stored.
    """
    return _table(fit, which, pairwise, level, ddf, "ls_means")


def difflsmeans(fit, which=None, level=0.95, ddf="Satterthwaite"):
    """Pairwise differences of least squares means: `ls_means` with ``pairwise=True``."""
    return _table(fit, which, True, level, ddf, "difflsmeans")


def _table(fit, which, pairwise, level, ddf, caller):
    from fastlmm_hlm.inference.emmeans.grid import reference_grid

    require_fit(fit, caller)
    level, method = check_level(level, caller), canonical_name(ddf, caller)
    if method == "lme4":
        raise ArgumentError(f"{caller}: ddf = {ddf!r} has no degrees of freedom; use 'Satterthwaite' or 'Kenward-Roger'.")
    grid = reference_grid(fit, caller=caller, cov_reduce=_at_mean(fit, caller))
    # lmerTest averages over all combinations of levels, nested or not.
    grid = replace(grid, nesting={}, occurs=np.ones(len(grid.codes), dtype=bool))
    available = {label: names for label, names in zip(fit._spec.fixed_recipe.terms.labels, grid.terms, strict=True)
                 if set(names) <= grid.factors}
    frames, terms, levels, hypotheses = [pd.DataFrame(columns=COLUMNS, dtype=float)], [], [], {}
    for label in _chosen(which, available, caller):
        means, rows, own = _means(fit, grid, label, available[label], method, caller)
        if pairwise:
            means, rows, own = _differences(means, rows, own)
        frames.append(_tests(means, level, rows))
        terms += [label] * len(rows)
        levels += own
        hypotheses[label] = pd.DataFrame(means.linfct[:, means.kept], index=rows, columns=fit._x_names)
    frame = pd.concat([one for one in frames if len(one)] or frames[:1])
    return LsMeans.make(frame, terms=terms, levels=levels, level=level, ddf=method, hypotheses=hypotheses)


def _at_mean(fit, caller):
    """Every number at its mean; the grid would keep both values of a covariate that has two."""
    from fastlmm_hlm.inference.emmeans.facts import facts_of

    variables = facts_of(fit, caller).variables
    return {name: "mean" for name, variable in variables.items() if not variable.is_factor} or "mean"


def _chosen(which, available, caller):
    wanted = list(available) if which is None else [which] if isinstance(which, str) else list(which)
    unknown = [label for label in wanted if label not in available]
    if unknown:
        raise ArgumentError(f"{caller}: which names {', '.join(map(repr, unknown))}; the terms made of factors are "
                            f"{', '.join(available) or 'none'}.")
    return list(dict.fromkeys(wanted))


def _means(fit, grid, label, names, method, caller):
    """The means of one term, and their names with and without those of the factors."""
    from fastlmm_hlm.inference.emmeans.facts import shown
    from fastlmm_hlm.inference.emmeans.means import average
    from fastlmm_hlm.inference.emmeans.specs import Specs

    made = average(fit, grid, Specs(tuple(names), ()), "equal", caller, ddf=method, note=False, order=False,
                   transformed=False)
    parts = label.split(":") if label.count(":") == len(names) - 1 else list(names)
    columns = [list(map(shown, made.labels[name])) for name in names]
    rows = [":".join(part + level for part, level in zip(parts, row)) for row in zip(*columns)]
    return made, rows, [":".join(row) for row in zip(*columns)]


def _differences(means, rows, levels):
    """Differences of all pairs of rows, the first less the second."""
    pairs = list(combinations(range(len(rows)), 2))
    first, second = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    made = replace(means, labels=means.labels.iloc[first].reset_index(drop=True),
                   linfct=means.linfct[first] - means.linfct[second],
                   offset=means.offset[first] - means.offset[second])
    return made, [f"{rows[i]} - {rows[j]}" for i, j in pairs], [f"{levels[i]} - {levels[j]}" for i, j in pairs]


def _tests(means, level, rows):
    """Estimates with t tests and limits, DataFrame."""
    from scipy.special import stdtr, stdtrit

    from fastlmm_hlm.inference.emmeans.summary import estimates_of

    estimate, se, df, _ = estimates_of(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / se
    reach = stdtrit(df, (1.0 + level) / 2.0) * se
    values = (estimate, se, df, t, estimate - reach, estimate + reach, 2.0 * stdtr(df, -np.abs(t)))
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)), index=rows)
