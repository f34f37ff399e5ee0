"""Estimated marginal means: averages of the reference grid."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.grid import all_combinations, reference_grid
from fastlmm_hlm.inference.emmeans.result import EmmGrid, EmmList
from fastlmm_hlm.inference.emmeans.specs import read_specs
from fastlmm_hlm.inference.emmeans.transform import response_transformation
from fastlmm_hlm.inference.emmeans.degrees import choose_method

WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")
MISLEADING = "NOTE: Results may be misleading due to involvement in interactions"


def emmeans(fit, specs, by=None, at=None, cov_reduce="mean", weights="equal", ddf=None, level=0.95, type="link", adjust=None):
    """Estimated marginal means: least-squares means averaged over a grid of the predictors.

    Parameters
    ----------
    fit : LinearMixedModel
    specs : str or list of str
        As in R: ``"a"``, ``["a", "b"]``, ``"~ a * b"``, ``"~ a | b"``; with a left side,
        ``"pairwise ~ a | b"``, the means and their contrasts are returned.
    by : str or list of str, optional
        Predictors whose levels make separate tables, also after ``|``.
    at : dict, optional
        Predictor -> value or values at which the grid stands.
    cov_reduce : "mean", False, callable, or dict of predictor -> such
        What covariates are reduced to.  Covariates with two values keep both.
    weights : {"equal", "proportional", "outer", "cells", "flat"} or array
        How the levels that are averaged over count: equally; by the frequencies of their
        combinations; by the products of their own frequencies; by the frequencies in each
        cell; equally where there are data; or one weight for each combination.
    ddf : {"Kenward-Roger", "Satterthwaite", "asymptotic"}, optional
        Method for standard errors and degrees of freedom.  By default Kenward-Roger for REML fits
        with at most 3,000 random effects, else Satterthwaite; at any number of rows.
    level : float
        Confidence level.
    type : {"link", "response"}
        "response" turns means of log(y), sqrt(y), ... back to y.
    adjust : str, optional
        Adjustment of the intervals for several estimates; none by default.

    Returns
    -------
    EmmGrid, or EmmList with ``.emmeans`` and ``.contrasts``

    Raises
    ------
    ArgumentError
        If specs, by or at name no predictor or level of the model, or an option is unknown.
    RowsNotKeptError
        If the fit was pickled without its rows and what the grid needs was not stored.

    References
    ----------
    .. [1] Searle, Speed and Milliken (1980), The American Statistician 34(4).
    """
    grid = reference_grid(fit, at, cov_reduce)
    wanted = read_specs(specs, by, grid.levels, "emmeans")
    made = average(fit, grid, wanted, weights, "emmeans", ddf=ddf, level=level, type=type, adjust=adjust)
    return made if wanted.method is None else EmmList.of("emmeans", made, wanted.method)


def ref_grid(fit, at=None, cov_reduce="mean", ddf=None):
    """The reference grid of a fit with its predictions, an EmmGrid.

    Parameters
    ----------
    fit, at, cov_reduce, ddf
        As for `emmeans`.

    Returns
    -------
    EmmGrid

    Raises
    ------
    ArgumentError, RowsNotKeptError
        As for `emmeans`.
    """
    grid = reference_grid(fit, at, cov_reduce, "ref_grid")
    wanted = read_specs(list(grid.levels), None, grid.levels, "ref_grid")
    return average(fit, grid, wanted, "equal", "ref_grid", ddf=ddf, estimate="prediction", note=False, infer=(False, False), order=False)


def average(fit, grid, wanted, weights, caller, *, ddf=None, level=0.95, type="link", adjust=None, estimate="emmean",
            note=True, infer=(True, False), order=True, terms=None, extra=(), transformed=True):
    """Average a grid to the combinations of some of its predictors.

    Parameters
    ----------
    fit : LinearMixedModel
    grid : Grid
    wanted : Specs
    weights : str or array
    caller : str
    estimate : str
        Name of the column of estimates.
    note : bool
        Whether to say that averages over interacting factors may mislead.
    terms : list of tuple of str, optional
        Terms that the note is about.
    extra : tuple of str
        Names that count as wanted in the note.

    Returns
    -------
    EmmGrid
    """
    names = _with_parents(wanted.names, wanted.by, grid) if order else list(wanted.names)
    targets = [*names, *wanted.by]
    place = {name: i for i, name in enumerate(grid.names)}
    own = [place[name] for name in targets]
    rest = [i for i in range(len(place)) if i not in own]
    sizes = [len(grid.levels[name]) for name in targets]
    combos = all_combinations(sizes)
    cell_target = _number(grid.codes[:, own], sizes)
    W = _weights(grid, weights, cell_target, len(combos), rest, caller)
    occurs = np.bincount(cell_target, weights=grid.occurs, minlength=len(combos)) > 0
    W, combos = W[occurs], combos[occurs]
    labels = pd.DataFrame({
        name: pd.Series(np.array(grid.levels[name], dtype=object)[combos[:, j]].tolist())
        for j, name in enumerate(targets)
    }, index=pd.RangeIndex(len(combos)))
    if not targets:
        labels["1"] = ["overall"]
        targets = names = ["1"]
    averaged = [grid.names[i] for i in rest if len(grid.levels[grid.names[i]]) > 1]
    messages = [f"Results are averaged over the levels of: {', '.join(averaged)} "] if averaged else []
    notes = _nesting_notes(grid)
    if note and _misleading({*targets, *extra}, grid.terms if terms is None else terms):
        notes.append(MISLEADING)
    method = choose_method(fit, ddf, caller)
    made = EmmGrid(
        labels=labels, levels={name: grid.levels.get(name, ("overall",)) for name in targets}, by=list(wanted.by),
        linfct=W @ grid.linfct, offset=W @ grid.offset, method=method, beta=_all_beta(fit, method),
        kept=np.asarray(fit._kept_columns), x_names=list(fit._all_x_names), null_basis=grid.facts.null_basis, terms=grid.terms, nesting=grid.nesting,
        estimate=estimate, messages=messages, notes=notes, infer=infer,
        transformation=response_transformation(fit._spec.formula.response_node) if transformed else None,
    )
    return made.with_options(level=level, type=type, adjust=adjust)


def _all_beta(fit, method):
    """Estimates of all columns, zero where dropped; the method has its own when it fitted again by REML."""
    beta = np.zeros(len(fit._all_x_names))
    beta[fit._kept_columns] = getattr(method, "beta", fit.fixef())
    return beta


def _with_parents(names, by, grid):
    """The names, with the factors that a nested one is nested in right behind them."""
    out = list(names)
    for name in [*names, *by]:
        for outer in grid.nesting.get(name, ()):
            if outer not in out and outer not in by:
                out.append(outer)
    return out


def _number(codes, sizes):
    """One number for each combination of codes, the first varying fastest."""
    steps = np.cumprod([1, *sizes[:-1]]) if sizes else np.zeros(0, dtype=int)
    return codes @ steps if sizes else np.zeros(len(codes), dtype=int)


def _weights(grid, weights, cell_target, targets, rest, caller):
    """Weights of the cells in each target, (targets, cells); NaN where all are zero."""
    sizes = [len(grid.levels[grid.names[i]]) for i in rest]
    cell_rest = _number(grid.codes[:, rest], sizes)
    total = int(np.prod(sizes)) if sizes else 1
    exists = grid.occurs.astype(float)
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise ArgumentError(f"{caller}: weights = {weights!r} is not known; use one of {', '.join(WEIGHTS)}, or one number per combination averaged over.")
        counts = grid.counts * exists
        if weights == "equal":
            per_cell = exists
        elif weights == "proportional":
            per_cell = np.bincount(cell_rest, weights=counts, minlength=total)[cell_rest] * exists
        elif weights == "outer":
            per_cell = exists.copy()
            for i in rest:
                per_cell = per_cell * np.bincount(grid.codes[:, i], weights=counts)[grid.codes[:, i]]
        else:
            per_cell = counts if weights == "cells" else (counts > 0).astype(float)
    else:
        given = np.asarray(weights, dtype=float).ravel()
        if len(given) != total or not np.isfinite(given).all() or (given < 0).any():
            listed = ", ".join(grid.names[i] for i in rest if len(grid.levels[grid.names[i]]) > 1) or "nothing"
            raise ArgumentError(f"{caller}: weights has {len(given)} numbers; expected {total} that are not negative, one for each combination averaged over ({listed}).")
        per_cell = given[cell_rest] * exists
    W = np.zeros((targets, len(cell_target)))
    W[cell_target, np.arange(len(cell_target))] = per_cell
    sums = W.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return W / np.where(sums > 0, sums, np.nan)


def _misleading(names, terms):
    """Whether some term holds all of these names and others as well."""
    return "1" not in names and any(names < set(term) for term in terms)


def _nesting_notes(grid):
    if not grid.nesting:
        return []
    lines = [f"    {inner} %in% {'*'.join(outer)}" for inner, outer in grid.nesting.items()]
    return ["NOTE: A nesting structure was detected in the fitted model:\n" + "\n".join(lines)]
