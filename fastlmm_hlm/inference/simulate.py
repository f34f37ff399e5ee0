"""Responses simulated from a fit, for its rows or for new data: lme4's simulate."""

from dataclasses import replace
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.design.design import Design, GroupingFactor
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import match_with_new
from fastlmm_hlm.formula.newrows import NewRows
from fastlmm_hlm.formula.rows import vector_argument
from fastlmm_hlm.inference.newparams import with_parameters
from fastlmm_hlm.inference.predictionrows import RowsOfFit
from fastlmm_hlm.inference.priorweights import weights_for
from fastlmm_hlm.inference.reform import chosen_columns
from fastlmm_hlm.inference.simulation import ResponseSimulator, generator_of, seed_sequence


class _NotGiven:
    """The default of re_form, told from an "NA" that the user wrote."""

    def __repr__(self):
        return "'NA'"


NOT_GIVEN = _NotGiven()


def simulate(
    fit, nsim=1, seed=None, *, use_u=None, re_form=NOT_GIVEN, newdata=None, newparams=None, allow_new_levels=False, weights=None,
    offset=None, cond_sim=True, cluster_rand=None,
):
    """Responses drawn from the model: y = offset + X beta + Z b + e.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are needed only without `newdata`.
    nsim : int
        Responses.
    seed : None, int, numpy.random.SeedSequence or Generator
        Response i depends on it and on i alone.
    use_u : bool, optional
        True keeps all random effects at their conditional modes, False (the default) draws them
        anew in every response.
    re_form : "NA", None or str
        Instead of `use_u`: "NA" draws all random effects anew, None keeps all at their conditional
        modes, a formula such as "~ (1 | g)" keeps those of its terms and draws the others.
    newdata : data frame or dict of columns, optional
        Rows to simulate for; by default those of the fit.
    newparams : dict, optional
        Other "beta", "theta" (in the order of ``fit.theta``) or "sigma".
    allow_new_levels : bool
        Take levels that the fit did not see, and missing ones; their effects are drawn, whatever re_form says.
    weights, offset : str or array, optional
        Of the rows, in the place of the fit's own.
    cond_sim : bool
        Add the errors; False gives offset + X beta + Z b alone.
    cluster_rand : callable, optional
        ``cluster_rand(rng, size)`` gives standardized random effects (mean 0, variance 1) of another
        distribution than the normal one.

    Returns
    -------
    DataFrame (n, nsim)
        Columns sim_1, sim_2, ...; index as in `fitted`, or that of newdata.  ``.attrs["seed"]`` is the
        seed sequence: give it again for the same responses.

    Raises
    ------
    ArgumentError
        For arguments out of range; if use_u and re_form are both given; if re_form has a part of a term.
    DataError, UnknownColumnError
        If newdata do not fit the model, as in `predict`.
    RowsNotKeptError
        Without newdata, if the fit was pickled without its rows.
    """
    nsim = _count(nsim)
    kept = _kept(fit, use_u, re_form)
    if cluster_rand is not None and not callable(cluster_rand):
        raise ArgumentError(f"simulate: cluster_rand = {cluster_rand!r} is no function; give one, cluster_rand(rng, size).")
    own = with_parameters(fit, newparams, "simulate")
    if newdata is None:
        rows = own._rows_or_raise("simulate")
        design, index = _design_of_fit(own, rows, weights, offset), rows.index
    else:
        rows, design, index = None, *_design_of(own, newdata, allow_new_levels, weights, offset)
    e = own._estimates
    some_kept = any(columns.any() for columns in kept)
    simulator = ResponseSimulator(
        design, e.beta, e.sigma, e.templates, e.b if some_kept else None, kept=kept if some_kept else None,
        with_errors=bool(cond_sim), standard=cluster_rand,
    )
    sequence = seed_sequence(seed)
    y = np.empty((nsim, design.n))
    for i in range(nsim):
        simulator.draw(generator_of(sequence, i), y[i])
    names = [f"sim_{i + 1}" for i in range(nsim)]
    if rows is not None and rows.padded is not None:
        made = pd.DataFrame({name: rows.series(values, name) for name, values in zip(names, y)})
    else:
        made = pd.DataFrame(y.T, index=index, columns=names)
    made.attrs["seed"] = sequence
    return made


def _count(nsim):
    if isinstance(nsim, bool) or not isinstance(nsim, Integral) or nsim < 1:
        raise ArgumentError(f"simulate: nsim = {nsim!r}; expected a whole number, at least 1.")
    return int(nsim)


def _kept(fit, use_u, re_form):
    """The random-effects columns that stay at their conditional modes: list of ndarray of bool, per factor."""
    if use_u is not None and re_form is not NOT_GIVEN:
        raise ArgumentError("simulate: use_u and re_form say the same thing; give one of them.")
    if use_u is not None and not isinstance(use_u, (bool, np.bool_)):
        raise ArgumentError(f"simulate: use_u = {use_u!r}; expected True or False.")
    if re_form is NOT_GIVEN:
        re_form = None if use_u else "NA"
    chosen = chosen_columns(fit, re_form, "simulate")
    for term, columns in zip(fit._terms, chosen):
        if columns.any() and not columns.all():
            raise ArgumentError(
                f"simulate: re_form = {re_form!r} has a part of the term {term.text}; its effects are correlated, so keep "
                "the whole term or none of it."
            )
    kept = [np.zeros(part.shape[1], dtype=bool) for part in fit._estimates.b]
    for term, columns in zip(fit._terms, chosen):
        kept[term.factor][term.columns] = columns
    return kept


def _design_of_fit(fit, rows, weights, offset):
    """The fit's own design, with other weights and offset where they are given."""
    design = rows.design
    if weights is not None:
        every = [np.zeros(len(term.names), dtype=bool) for term in fit._terms]
        design = replace(design, weights=weights_for(fit, None, RowsOfFit(fit, every, True, "simulate"), weights, "simulate"))
    if isinstance(offset, str):
        raise ArgumentError(f"simulate: offset = {offset!r} names a column, and there is no newdata; give one number per row.")
    if offset is not None:
        design = replace(design, offset=rows.select(offset, "simulate: offset"))
    return design


def _design_of(fit, newdata, allow_new_levels, weights, offset):
    """A design of new data, in which levels that the fit did not see follow its own; and the row labels."""
    terms = range(len(fit._terms))
    new = NewRows(fit._spec, newdata, terms, True, "simulate", offset is None)
    if not allow_new_levels:
        new.refuse_unknown()
    made, whole = new.block(slice(0, new.n)), new.whole()
    factors = []
    for f, (name, levels, names) in enumerate(fit._factor_labels):
        mine = [k for k in terms if fit._terms[k].factor == f]
        columns = [None] * len(names)
        for k in mine:
            columns[fit._terms[k].columns] = made.z_columns[k]
        codes, count = match_with_new(fit._spec.random_terms[mine[0]].group_node, whole, levels)
        factors.append(GroupingFactor(name, pd.RangeIndex(count), codes, columns, names, fit._centrings[f]))
    if offset is not None:
        made = replace(made, offset=_vector(offset, "offset", newdata))
    weights = weights_for(fit, newdata, new, weights, "simulate")
    design = Design(
        y=np.broadcast_to(np.nan, (new.n,)), x_columns=[made.x_columns[j] for j in fit._kept_columns], x_names=fit._x_names,
        x_centring=fit._x_centring, weights=weights, offset=made.offset, factors=factors, terms=fit._terms,
    )
    return design, new.index


def _vector(values, role, newdata):
    given = vector_argument(values, role, Evaluator(DataColumns(newdata)))[0]
    if np.isnan(given).any():
        raise DataError(f"simulate: {role} is missing in {int(np.isnan(given).sum())} rows.")
    return given
