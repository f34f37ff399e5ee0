"""From linear functions to a table: standard errors, degrees of freedom, limits, p-values, notes."""

import numpy as np
import pandas as pd

from fastlmm_hlm.inference.emmeans.adjust import STEPWISE, TWO_SIDED, adjusted_pvalues, check_adjust, critical_values
from fastlmm_hlm.report.emm import EmmTable

# A linear function is estimable when its part along a dependency is below this share of its size.
ESTIMABLE = 1e-8
TUKEY_SIDE = "because \"tukey\" is not appropriate for one-sided inferences"
TUKEY_SETS = "because \"tukey\" is only appropriate for one set of pairwise comparisons"


def estimable(L, null_basis):
    """Which rows of L are orthogonal to the dependencies, (m,) bool; False where L is NaN."""
    known = ~np.isnan(L).any(axis=1)
    if not null_basis.shape[1]:
        return known
    size = np.abs(L) @ np.abs(null_basis) + np.finfo(float).tiny
    with np.errstate(invalid="ignore"):
        return known & (np.abs(L @ null_basis) <= ESTIMABLE * size).all(axis=1)


def estimates_of(grid):
    """Estimate, standard error and degrees of freedom of each row; NaN where not estimable.

    Parameters
    ----------
    grid : EmmGrid

    Returns
    -------
    estimate, se, df : ndarray, shape (m,)
    V : ndarray, shape (m, m)
    """
    m = len(grid)
    ok = estimable(grid.linfct, grid.null_basis)
    L = grid.linfct[ok][:, grid.kept]
    estimate, se, df = (np.full(m, np.nan) for _ in range(3))
    V = np.full((m, m), np.nan)
    estimate[ok] = L @ grid.beta[grid.kept] + grid.offset[ok]
    V[np.ix_(ok, ok)] = L @ grid.method.vcov @ L.T
    se[ok] = np.sqrt(np.maximum(np.diagonal(V)[ok], 0.0))
    df[ok] = grid.method.df(L) if ok.any() else []
    return estimate, se, df, V


def summary_table(grid):
    """The table of a grid with its options.

    Parameters
    ----------
    grid : EmmGrid

    Returns
    -------
    EmmTable
    """
    estimate, se, df, V = estimates_of(grid)
    adjust, heads = _appropriate(grid)
    groups = grid.groups()
    families = [_family(grid, own, adjust) for own in groups]
    asymptotic = bool(np.isinf(df[~np.isnan(df)]).all()) and bool((~np.isnan(df)).any())
    limits, tests = np.full((2, len(grid)), np.nan), np.full((2, len(grid)), np.nan)
    for own, (method, family, rank) in zip(groups, families, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            R = V[np.ix_(own, own)] / np.outer(se[own], se[own])
            tests[0, own] = (estimate[own] - grid.null) / se[own]
        if grid.infer[0]:
            reach = critical_values(grid.level, df[own], method, grid.side, family, rank, R) * se[own]
            limits[0, own] = np.where(np.isnan(reach), np.nan, -np.inf) if grid.side < 0 else estimate[own] - reach
            limits[1, own] = np.where(np.isnan(reach), np.nan, np.inf) if grid.side > 0 else estimate[own] + reach
        if grid.infer[1]:
            tests[1, own] = adjusted_pvalues(tests[0, own], df[own], method, grid.side, family, rank, R)
    transformation = _back(grid)
    null, name = grid.null, grid.estimate
    if transformation is not None:
        name = "response" if name != "estimate" else "ratio"
        se, estimate = np.abs(transformation.slope(estimate)) * se, transformation.back(estimate)
        limits, null = np.sort(transformation.back(limits), axis=0), float(transformation.back(np.float64(null)))
    columns = {c: grid.labels[c] for c in [*grid.names, *grid.by]}
    if name == "ratio" and grid.ratio_names is not None:
        columns["contrast"] = pd.Series(grid.ratio_names, index=grid.labels.index)
    columns.update({name: estimate, "SE": se, "df": df})
    if grid.infer[0]:
        columns["asymp.LCL" if asymptotic else "lower.CL"], columns["asymp.UCL" if asymptotic else "upper.CL"] = limits
    if grid.infer[1]:
        if null != 0:
            columns["null"] = np.full(len(grid), null)
        columns["z.ratio" if asymptotic else "t.ratio"], columns["p.value"] = tests
    notes = _notes(grid, transformation, families)
    return EmmTable.of(pd.DataFrame(columns), labels=grid.names, by=list(grid.by), estimate=name, heads=heads, notes=notes)


def _back(grid):
    """The transformation to undo, or None."""
    if grid.type != "response":
        return None
    return grid.transformation


def _appropriate(grid):
    """The adjustment that can be used, and lines that say what was changed."""
    adjust = check_adjust(grid.adjust, "summary")
    if adjust == "tukey" and (grid.family is None or grid.side) and any(len(own) > 1 for own in grid.groups()):
        return "sidak", ['Note: adjust = "tukey" was changed to "sidak"', TUKEY_SIDE if grid.side else TUKEY_SETS]
    if adjust in TWO_SIDED and grid.side:
        return "sidak", [f'Note: adjust = "{adjust}" was changed to "sidak"', f'because "{adjust}" is not appropriate for one-sided inferences']
    return adjust, []


def _family(grid, own, adjust):
    """Method, size and rank of one group; a single estimate needs no adjustment."""
    if len(own) < 2 or adjust == "none":
        return "none", len(own), 1
    rank = 1
    if adjust == "scheffe":
        L = grid.linfct[own][estimable(grid.linfct[own], grid.null_basis)]
        rank = max(1, int(np.linalg.matrix_rank(L))) if len(L) else 1
    return adjust, grid.family if adjust == "tukey" else len(own), rank


def _notes(grid, transformation, families):
    """The lines below the table, in emmeans' order."""
    lines = list(grid.messages)
    lines.append(f"Degrees-of-freedom method: {grid.method.name.lower()} ")
    label = None if grid.transformation is None else grid.transformation.label
    if label and transformation is None:
        lines.append(f"Results are given on the {label} (not the response) scale. ")
    intervals, tests = grid.infer
    if intervals:
        lines.append(f"Confidence level used: {grid.level:g} ")
        lines += _adjustment_note(families, "Conf-level", "estimates")
        if transformation is not None:
            lines.append(f"Intervals are back-transformed from the {label} scale ")
    if tests:
        lines += _adjustment_note(families, "P value", "tests")
        if transformation is not None:
            lines.append(f"Tests are performed on the {label} scale ")
        if grid.side:
            lines.append(f"P values are {'right' if grid.side > 0 else 'left'}-tailed ")
    return lines


def _adjustment_note(families, what, of):
    used = [family for family in families if family[0] != "none"]
    if not used:
        return []
    method, size, rank = used[0]
    if what == "Conf-level" and method in STEPWISE:
        method = "bonferroni"
    varying = len({family[1:] for family in families}) > 1
    if method == "tukey":
        detail = "for comparing a family of " + f"{size} estimates" if not varying else "for varying family sizes"
    elif method == "scheffe":
        detail = f"with rank {rank}" if not varying else "with varying ranks"
    else:
        detail = "for varying family sizes" if varying else f"for {size} {of}"
    return [f"{what} adjustment: {method} method {detail} "]

