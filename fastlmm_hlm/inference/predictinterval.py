"""Prediction intervals by simulation, as merTools' predictInterval gives them."""

from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, UnknownNameError, warn_user
from fastlmm_hlm.formula.grouping import match_with_new
from fastlmm_hlm.inference.contest import check_level
from fastlmm_hlm.inference.jointdraws import FIRST_FREE, JointDraws
from fastlmm_hlm.inference.predictionrows import rows_for, slices
from fastlmm_hlm.inference.priorweights import weights_for
from fastlmm_hlm.inference.reform import chosen_columns
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence

WHICH = ("full", "fixed", "random", "all")
# Simulated values of a block of rows.
ELEMENTS = 2_000_000


def predict_interval(
    fit, newdata=None, *, which="full", level=0.8, n_sims=1000, stat="median", include_resid_var=True, seed=None,
    fix_intercept_variance=False, ignore_fixed_terms=None, return_sims=False, allow_new_levels=False, weights=None,
):
    """Prediction intervals from simulated fixed effects, random effects and errors.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are needed only without `newdata`.
    newdata : data frame or dict of columns, optional
    which : {"full", "fixed", "random", "all"}
        The whole prediction, offset and X beta, or Z b; "all" gives the whole, every grouping factor
        and the fixed part one below the other.
    level : float
    n_sims : int
    stat : {"median", "mean"}
        Of the simulated values, for the column fit.
    include_resid_var : bool
        Add errors, to parts of the prediction too; False gives intervals of the mean.
    seed : None, int, numpy.random.SeedSequence or Generator
    fix_intercept_variance : bool
        Changes nothing: merTools reduces the variance of the intercept by it, roughly, for the covariance with
        the random effects, which is held exactly here.
    ignore_fixed_terms : list of str or int, optional
        Fixed effects that are taken as known.
    return_sims : bool
        Also return the simulated values.
    allow_new_levels : bool
        Draw the effects of levels that the fit did not see, and of missing ones, from their distribution in the model.
    weights : str, array or float, optional
        Prior weights of the rows; by default those of the fit.

    Returns
    -------
    DataFrame (n,) with the columns fit, upr, lwr
        Index as in `predict`; for which="all" the columns effect, fit, upr, lwr, obs with a row per effect and row.
    sims : ndarray (n, n_sims), for which="all" a dict effect -> ndarray
        With return_sims only.

    Raises
    ------
    ArgumentError
        For arguments out of range.
    UnknownNameError
        If ignore_fixed_terms names a coefficient that is not there.
    DataError, UnknownColumnError
        As for `predict`.

    Notes
    -----
    beta and b are drawn together from N((beta-hat, b), sigma^2 C^-1), theta given, so their negative covariance narrows
    the sum as it should.  merTools draws beta from its covariance matrix and b, independently, from
    the conditional variances, which is wider for intercepts.  The residual standard deviation is
    drawn as there, sigma^2 (n - p) / chi-square(n - p).  Levels that the fit did not see have the
    fixed effects alone in merTools; here their effects are drawn.

    References
    ----------
    .. [1] Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, sec. 7.2.
    """
    _check(which, level, n_sims, stat)
    if fix_intercept_variance:
        warn_user(
            "predict_interval: fix_intercept_variance=True changes nothing; beta and b are drawn together, so the covariance "
            "that it allows for is there already", FastlmmWarning,
        )
    known = _known_coefficients(fit, ignore_fixed_terms)
    rows = rows_for(fit, newdata, chosen_columns(fit, None), True, "predict_interval")
    weight = weights_for(fit, newdata, rows, weights, "predict_interval") if include_resid_var else None
    sequence = seed_sequence(seed)
    simulation = _Simulation(fit, rows, _codes(fit, rows, allow_new_levels), JointDraws(fit, int(n_sims), sequence, known), which)
    if include_resid_var:
        df = fit._estimates.n - fit._estimates.p
        sigmas = fit._estimates.sigma * np.sqrt(df / generator_of(sequence, FIRST_FREE).chisquare(df, int(n_sims)))
    effects = simulation.names
    out, sims = np.empty((len(effects), rows.n, 3)), {name: np.empty((rows.n, int(n_sims))) for name in effects if return_sims}
    for number, part in enumerate(slices(rows.n, max(1, ELEMENTS // int(n_sims)))):
        rng = generator_of(sequence, FIRST_FREE + 1 + number)
        for k, (name, values) in enumerate(simulation.block(part)):
            if include_resid_var:
                errors = sigmas * rng.standard_normal(values.shape)
                values += errors if weight is None else errors / np.sqrt(weight[part])[:, None]
            out[k, part] = _summary(values, level, stat)
            if return_sims:
                sims[name][part] = values
    table = _table(effects, out, rows, which)
    if not return_sims:
        return table
    return table, (sims if which == "all" else sims[effects[0]])


class _Simulation:
    """Simulated values of blocks of rows."""

    def __init__(self, fit, rows, codes, draws, which):
        self.fit, self.rows, self.codes, self.draws, self.which = fit, rows, codes, draws, which
        factors = [name for name, _, _ in fit._factor_labels]
        self.names = ["combined", *factors, "fixed"] if which == "all" else [which]

    def block(self, part):
        """(effect, values (k, n_sims)) of the rows of a slice; the values may be written to."""
        block, e = self.rows.block(part), self.fit._estimates
        x = block.x(e.p)
        fixed = x @ self.draws.beta + (x @ e.beta + (0.0 if block.offset is None else block.offset))[:, None]
        if self.which == "fixed":
            return [("fixed", fixed)]
        random = [self._random(factor, self._codes_of(factor, part)) for factor in block.factors]
        if self.which == "random":
            return [("random", sum(random))]
        if self.which == "full":
            return [("full", fixed + sum(random))]
        return [("combined", fixed + sum(random)), *zip(self.names[1:-1], random), ("fixed", fixed)]

    def _codes_of(self, factor, part):
        if self.codes is not None:
            return self.codes[factor.factor][part]
        if factor.codes.min() < 0:
            self.rows.refuse_unknown()
        return factor.codes

    def _random(self, factor, codes):
        """Z b* of one factor, (k, n_sims)."""
        b = self.fit._estimates.b[factor.factor]
        levels, local = np.unique(codes, return_inverse=True)
        effects = self.draws.effects(factor.factor, levels)
        old = levels < len(b)
        effects[old] += b[levels[old]][:, :, None]
        total = 0.0
        for j, column in zip(factor.which, factor.columns):
            values = effects[local, j]
            total = total + (values if column is None else values * column[:, None])
        return total


def _codes(fit, rows, allow_new_levels):
    """Codes of all rows by grouping factor, new levels numbered after those of the fit; None without new levels."""
    if not allow_new_levels or not hasattr(rows, "new"):
        return None
    whole, codes = rows.new.whole(), {}
    for term, spec in zip(fit._terms, fit._spec.random_terms, strict=True):
        if term.factor not in codes:
            codes[term.factor] = match_with_new(spec.group_node, whole, spec.levels)[0]
    return codes


def _summary(values, level, stat):
    """fit, upr, lwr of each row, (k, 3)."""
    tail = 0.5 * (1.0 - level)
    lower, middle, upper = np.quantile(values, [tail, 0.5, 1.0 - tail], axis=1)
    return np.column_stack([middle if stat == "median" else values.mean(axis=1), upper, lower])


def _table(effects, out, rows, which):
    index = rows.rows.index if hasattr(rows, "rows") else rows.index
    if which != "all":
        return pd.DataFrame(out[0], index=index, columns=["fit", "upr", "lwr"])
    parts = [
        pd.DataFrame({"effect": name, "fit": v[:, 0], "upr": v[:, 1], "lwr": v[:, 2], "obs": index}) for name, v in zip(effects, out)
    ]
    return pd.concat(parts, ignore_index=True)


def _check(which, level, n_sims, stat):
    if which not in WHICH:
        raise ArgumentError(f"predict_interval: which = {which!r} is not known; use {', '.join(map(repr, WHICH))}.")
    if stat not in ("median", "mean"):
        raise ArgumentError(f"predict_interval: stat = {stat!r} is not known; use 'median' or 'mean'.")
    if isinstance(n_sims, bool) or not isinstance(n_sims, Integral) or n_sims < 2:
        raise ArgumentError(f"predict_interval: n_sims = {n_sims!r}; expected a whole number, at least 2.")
    check_level(level, "predict_interval")


def _known_coefficients(fit, ignored):
    """Fixed effects that are taken as known, ndarray of bool (p,)."""
    names = list(fit._x_names)
    known = np.zeros(len(names), dtype=bool)
    for one in [] if ignored is None else [ignored] if isinstance(ignored, (str, Integral)) else ignored:
        if isinstance(one, str) and one in names:
            known[names.index(one)] = True
        elif isinstance(one, Integral) and not isinstance(one, bool) and 0 <= one < len(names):
            known[one] = True
        else:
            raise UnknownNameError(
                f"predict_interval: ignore_fixed_terms has {one!r}; give names of coefficients ({', '.join(names)}) or their "
                "places from 0."
            )
    return known
