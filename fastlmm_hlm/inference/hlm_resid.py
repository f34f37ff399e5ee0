"""Residuals of every kind in one data frame, for the rows or for the groups (HLMdiag's hlm_resid)."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmWarning, warn_user
from fastlmm_hlm.inference import elimination
from fastlmm_hlm.inference.decorrelate import LARGEST_DENSE, cholesky_residuals, symmetric_residuals
from fastlmm_hlm.inference.grouped_ls import grouped_least_squares
from fastlmm_hlm.inference.leveleffects import least_squares_effects
from fastlmm_hlm.inference.residuals import NO_VARIANCE, marginal, standardized
from fastlmm_hlm.inference.tidy import own_columns


def hlm_resid(fit, level=1, standardize=False, include_ls=True):
    """Residuals of the rows, or random effects of the groups, beside the data.

    Parameters
    ----------
    fit : LinearMixedModel
    level : 1 or str
        1 for the rows; the name of a grouping factor for its levels.
    standardize : bool or "semi"
        True: residuals in units of their own deviation.  "semi" (rows only): least squares residuals
        over the root of 1 - leverage in their group.
    include_ls : bool
        Also give least squares quantities.

    Returns
    -------
    DataFrame
        level=1: response, predictors and groups of the rows used, then

        .resid, .fitted
            y - offset - X beta - Z b, and its complement (.std.resid: over sigma sqrt((1 - h) / w))
        .ls.resid, .ls.fitted
            least squares in each level of the finest grouping factor alone, on all columns
            of X and Z that its rows tell apart: free of the random effects (Hilden-Minton 1995)
            (.std.ls.resid: over sigma sqrt((1 - h) / w) with h of that fit; .semi.ls.resid)
        .mar.resid, .mar.fitted
            y - offset - X beta, and its complement (.chol.mar.resid: times the inverse of
            the lower triangular root of V; .sym.mar.resid: of the symmetric one, for crossed
            factors and more rows than a triangular root is made for)

        A grouping factor: its levels, the columns that are constant in each of them, and for every random effect

        .ranef.x
            conditional mode (.std.ranef.x: over the root of sigma^2 Psi - condVar, its variance
            over samples with beta known)
        .ls.x
            (Z'WZ)^-1 Z'W(y - offset - X beta) of the level: the same without shrinkage;
            NaN where its rows do not determine them all
            (.std.ls.x: over the root of sigma^2 (Psi + (Z'WZ)^-1); models with one factor)

        with "intercept" for "(Intercept)".

    Raises
    ------
    ArgumentError
        For another level or standardize, or "semi" with a grouping factor.
    RowsNotKeptError
        If the fit was pickled without its rows (level=1; levels of a factor need none).

    Warns
    -----
    FastlmmWarning
        Least squares residuals of rows are left out where grouping factors are crossed: no level
        has all random effects of its rows constant.

    References
    ----------
    .. [1] Loy, Hofmann (2014), HLMdiag, JSS 56(5).  Hilden-Minton (1995).  Snijders, Berkhof (2008).
    """
    names = [name for name, _, _ in fit._factor_labels]
    if standardize not in (False, True, "semi"):
        raise ArgumentError(f"hlm_resid: standardize = {standardize!r}; use True, False or 'semi'.")
    standardize = standardize if isinstance(standardize, str) else bool(standardize)
    if isinstance(level, str) and level in names:
        if standardize == "semi":
            raise ArgumentError(
                f"hlm_resid: standardize='semi' is for the residuals of rows, not for the levels of {level!r}; use "
                "True."
            )
        return _of_levels(fit, names.index(level), standardize, include_ls)
    if isinstance(level, (bool, str)) or level != 1:
        raise ArgumentError(
            f"hlm_resid: level = {level!r}; use 1 for the rows, or a grouping factor: {', '.join(map(repr, names))}."
        )
    return _of_rows(fit, standardize, include_ls)


# --- rows ----------------------------------------------------------------------------


def _of_rows(fit, standardize, include_ls):
    rows = fit._rows_or_raise("hlm_resid")
    design, whole = rows.design, standardize is True
    mu, fixed = fit._linear_predictor(), fit._linear_predictor(with_random=False)
    added = {}
    added[".std.resid" if whole else ".resid"] = standardized(fit, "conditional", "hlm_resid") if whole else design.y - mu
    added[".fitted"] = mu
    nested = elimination.is_nested(fit._products.pairs)
    if include_ls and nested:
        name, r = _least_squares_of_rows(design, fit._estimates.sigma, standardize)
        added[name[0]], added[".ls.fitted"] = r
    elif include_ls:
        crossed = ", ".join(f.name for f in design.factors)
        warn_user(
            f"hlm_resid: the grouping factors {crossed} are crossed, so no group can be fitted alone; the columns "
            ".ls.resid and .ls.fitted are left out", FastlmmWarning,
        )
    xi = marginal(fit, design)
    if not whole:
        added[".mar.resid"] = xi
    elif nested or design.n <= LARGEST_DENSE:
        added[".chol.mar.resid"] = cholesky_residuals(fit, xi, "hlm_resid")
    else:
        added[".sym.mar.resid"] = symmetric_residuals(fit, xi, "hlm_resid")
    added[".mar.fitted"] = fixed
    out = own_columns(fit, rows)
    return pd.concat([out, pd.DataFrame(added, index=out.index)], axis=1)


def _least_squares_of_rows(design, sigma, standardize):
    """Name of the residual column, and (residuals, fitted values)."""
    finest = design.factors[0]
    columns = [*design.x_columns, *(column for factor in design.factors for column in factor.columns)]
    y = design.y if design.offset is None else design.y - design.offset
    found = grouped_least_squares(columns, y, finest.codes, len(finest.levels), design.weights)
    fitted = design.y - found.residuals
    if not standardize:
        return [".ls.resid"], (found.residuals, fitted)
    left = 1.0 - found.leverage
    root = np.sqrt(np.where(left > NO_VARIANCE, left, np.nan))
    if standardize == "semi":
        return [".semi.ls.resid"], (found.residuals / root, fitted)
    w = 1.0 if design.weights is None else np.sqrt(design.weights)
    return [".std.ls.resid"], (found.residuals * w / (sigma * root), fitted)


# --- levels of a factor -----------------------------------------------------------------


def _of_levels(fit, f, standardize, include_ls):
    name, levels, columns = fit._factor_labels[f]
    prefix = ".std" if standardize else ""
    modes = fit.ranef(condVar=standardize)
    b, e = modes[name].to_numpy(), fit._estimates
    Psi = np.zeros((len(columns), len(columns)))
    for term, T in zip(fit._terms, e.templates):
        if term.factor == f:
            Psi[term.columns, term.columns] = e.sigma**2 * (T @ T.T)
    if standardize:
        variance = np.diagonal(Psi) - np.diagonal(modes.condVar[name], axis1=1, axis2=2)
        b = b / np.sqrt(np.where(variance > NO_VARIANCE * np.diagonal(Psi), variance, np.nan))
    out = _constant_columns(fit, f, name, levels)
    words = ["intercept" if column == "(Intercept)" else column for column in columns]
    for j, word in enumerate(words):
        out[f"{prefix}.ranef.{word}"] = b[:, j]
    if include_ls and not (standardize and len(fit._factor_labels) > 1):
        effects, inverse = least_squares_effects(fit, f)
        if standardize:
            effects = effects / np.sqrt(np.diagonal(Psi + e.sigma**2 * inverse, axis1=1, axis2=2))
        for j, word in enumerate(words):
            out[f"{prefix}.ls.{word}"] = effects[:, j]
    return out


def _constant_columns(fit, f, name, levels):
    """The levels, and the data's own columns that are constant in each of them (where the fit has its data)."""
    out = pd.DataFrame({name: levels})
    if fit._rows is None or fit._settings.data is None:
        return out
    codes = fit._rows.design.factors[f].codes
    first = np.empty(len(levels), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    for column, values in own_columns(fit, fit._rows).items():
        places = pd.factorize(values)[0]
        if column != name and (places == places[first][codes]).all():
            out[column] = values.iloc[first].set_axis(out.index)
    return out
