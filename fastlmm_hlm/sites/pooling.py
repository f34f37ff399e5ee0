"""Sums of several sites as the sums of all rows: levels united, bases moved to a common one, blocks added."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.design.basis import Centring, centring, no_centring
from fastlmm_hlm.design.crossprod import CrossProducts
from fastlmm_hlm.design.restrict import ColumnMap, restricted_products, transposed_pairs
from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.codes import sort_levels
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.materialize import INTERCEPT
from fastlmm_hlm.sites.summing import means_of


@dataclass
class Union:
    """The levels of one grouping factor over all sites.

    Attributes
    ----------
    name : str
    levels : pandas.Index
        In the order of a fit in memory.
    codes : list of ndarray of int64
        For each site, the place of each of its levels.
    """

    name: str
    levels: pd.Index
    codes: list


def united(sites, name, declared):
    """Unite the levels of a grouping factor.

    Parameters
    ----------
    sites : list of SiteCrossProducts
    name : str
        Of the factor.
    declared : dict of str to list of str
        Columns whose levels have a given order.

    Returns
    -------
    Union

    Raises
    ------
    DataError
        If a column holds numbers at one site and text at another.
    """
    where = [_place(site, name) for site in sites]
    parts = [site.header["factors"][f]["parts"] for site, f in zip(sites, where)]
    keys, levels = None, None
    for i in range(len(parts[0])):
        own, codes = _united_part(sites, [p[i] for p in parts], declared)
        codes = [places[site.arrays[f"{f}/codes{i}"]] for site, f, places in zip(sites, where, codes)]
        if keys is None:
            keys, levels = codes, own
            continue
        width = len(own)
        joined = [k.astype(np.int64) * width + c for k, c in zip(keys, codes)]
        observed = np.unique(np.concatenate(joined))
        keys = [np.searchsorted(observed, j) for j in joined]
        levels = pd.Index([f"{level_text(levels[a])}:{level_text(own[b])}" for a, b in zip(observed // width, observed % width)], dtype=object)
    return Union(name, levels, keys)


def _place(site, name):
    return [factor["name"] for factor in site.header["factors"]].index(name)


def _united_part(sites, parts, declared):
    """Levels of one column over all sites, and for each site the places of its own."""
    kinds = {part["kind"] for part in parts}
    if "text" in kinds and len(kinds) > 1:
        odd = next(k for k, part in enumerate(parts) if (part["kind"] == "text") != (parts[0]["kind"] == "text"))
        raise DataError(
            f"the grouping column '{parts[0]['name']}' is {_kind(parts[0])} at site '{sites[0].site}' and {_kind(parts[odd])} at site '{sites[odd].site}'; give it one "
            "type at all sites, or its groups are not the same ones."
        )
    dtype = object if "text" in kinds else float if "number" in kinds else np.int64
    every = pd.Index(np.concatenate([np.array(part["levels"], dtype=dtype) for part in parts])).unique()
    if parts[0]["name"] in declared:
        levels = pd.Index([level for level in declared[parts[0]["name"]] if level in set(every)], dtype=object)
    else:
        levels = sort_levels(np.arange(len(every), dtype=np.int32), every)[1]
    return levels, [levels.get_indexer(pd.Index(np.array(part["levels"], dtype=dtype))) for part in parts]


def _kind(part):
    return "text" if part["kind"] == "text" else "numeric"


def pooled_products(sites, unions, design, x_ones):
    """The cross-products of the rows of all sites.

    Parameters
    ----------
    sites : list of SiteCrossProducts
    unions : list of Union
        One per factor of the design.
    design : Design
        Its columns and terms; it has no rows.
    x_ones : list of int
        Columns of X that sum to the constant 1.

    Returns
    -------
    CrossProducts
    x_centring : Centring
    centrings : list of Centring
        Of each factor.
    """
    places = [[_place(site, union.name) for union in unions] for site in sites]
    x_old = [Centring(site.arrays["centre"], site.arrays["B"]) for site in sites]
    p = len(design.x_names)
    x_new = _common([site.arrays["XyWXy"][:p, :p] for site in sites], x_old, x_ones)
    made, z_old = zip(*[_of_site(site, own, design) for site, own in zip(sites, places)])
    z_new = [_common_of_factor(design, g, [own.ZtWZ[g].sum(axis=0) for own in made], [old[g] for old in z_old]) for g in range(len(unions))]
    maps = [[(g, ColumnMap(np.eye(len(new.centre)), old, new)) for g, (old, new) in enumerate(zip(olds, z_new))] for olds in z_old]
    fixed = [ColumnMap(np.eye(p), old, x_new) for old in x_old]
    beta0 = _common_shift(made, fixed, p)
    moved = [restricted_products(products, own, factors, beta0) for products, own, factors in zip(made, fixed, maps)]
    return _added(moved, unions, beta0), x_new, z_new


def _of_site(site, places, design):
    """The cross-products of a site with factors and columns in the order of the design, and the bases of its factors.

    A site orders its terms by its own numbers of levels.
    """
    a, orders = site.arrays, []
    for g, f in enumerate(places):
        factor = site.header["factors"][f]
        own = list(zip(factor["terms"], factor["columns"]))
        orders.append([own.index((term.text, name)) for term in design.terms if term.factor == g for name in term.names])
    pairs = {}
    for g in range(len(places)):
        for f in range(g):
            pairs[f, g] = _pairs_of(site, places[f], places[g], orders[f], orders[g])
    ZtWZ = [np.ascontiguousarray(a[f"{f}/ZtWZ"][:, o][:, :, o]) for f, o in zip(places, orders)]
    ZtWXy = [np.ascontiguousarray(a[f"{f}/ZtWXy"][:, o]) for f, o in zip(places, orders)]
    bases = [Centring(a[f"{f}/centre"][o], a[f"{f}/B"][np.ix_(o, o)]) for f, o in zip(places, orders)]
    return CrossProducts(site.n, site.header["sum_log_weights"], a["beta0"], ZtWZ, ZtWXy, a["XyWXy"], pairs), bases


def _pairs_of(site, f, g, order_f, order_g):
    a, (low, high) = site.arrays, sorted((f, g))
    table = tuple(a[f"{low}-{high}/{name}"] for name in ("indptr", "indices", "values"))
    indptr, indices, values = table if f < g else transposed_pairs(*table, len(a[f"{f}/counts"]))
    return indptr, indices, np.ascontiguousarray(values[:, order_f][:, :, order_g])


def _common(products, bases, ones):
    """The basis about the means of all sites: means and squared deviations join as in Chan, Golub and LeVeque (1983)."""
    if not len(ones):
        return no_centring(len(products[0]))
    own = [means_of(G, basis, ones) for G, basis in zip(products, bases)]
    totals = np.array([total for total, _, _ in own])
    means, variances = np.array([m for _, m, _ in own]), np.array([v for _, _, v in own])
    mean = means[0] + totals @ (means - means[0]) / totals.sum()
    variance = totals @ (variances + (means - mean) ** 2) / totals.sum()
    return centring(mean, np.sqrt(variance), ones)


def _common_of_factor(design, f, products, bases):
    k = len(design.factors[f].names)
    centre, B = np.zeros(k), np.eye(k)
    for term in design.terms:
        ones = [j for j, name in enumerate(term.names) if name == INTERCEPT]
        if term.factor == f and ones and term.covariance.may_change_basis:
            part = term.columns
            new = _common([G[part, part] for G in products], [Centring(b.centre[part], b.B[part, part]) for b in bases], ones)
            centre[part], B[part, part] = new.centre, new.B
    return Centring(centre, B)


def _common_shift(products, fixed, p):
    """Least-squares coefficients over all sites, to be taken off the response: any are the same model, these keep digits."""
    XtX, Xty = np.zeros((p, p)), np.zeros(p)
    for own, move in zip(products, fixed):
        T, known = move.between_sums, np.linalg.solve(move.old.B, own.beta0)
        G, g = own.XyWXy[:p, :p], own.XyWXy[:p, p]
        XtX += T.T @ G @ T
        Xty += T.T @ (G @ known + g)
    return fixed[0].new.B @ np.linalg.lstsq(XtX, Xty, rcond=None)[0] if p else np.zeros(0)


def _added(moved, unions, beta0):
    """The sums of all sites on the united levels, in the order of the sites."""
    factors = range(len(unions))
    nl = [len(union.levels) for union in unions]
    first = moved[0]
    ZtWZ = [np.zeros((nl[f], *first.ZtWZ[f].shape[1:])) for f in factors]
    ZtWXy = [np.zeros((nl[f], *first.ZtWXy[f].shape[1:])) for f in factors]
    XyWXy = np.zeros_like(first.XyWXy)
    for k, own in enumerate(moved):
        XyWXy += own.XyWXy
        for f in factors:
            ZtWZ[f][unions[f].codes[k]] += own.ZtWZ[f]
            ZtWXy[f][unions[f].codes[k]] += own.ZtWXy[f]
    pairs = {(f, g): _added_pairs([own.pairs[f, g] for own in moved], unions[f], unions[g]) for g in factors for f in range(g)}
    return CrossProducts(sum(own.n for own in moved), float(sum(own.sum_log_weights for own in moved)), beta0, ZtWZ, ZtWXy, XyWXy, pairs)


def _added_pairs(tables, union_f, union_g):
    """Blocks of two factors over the pairs of united levels that meet."""
    keys, width = [], len(union_g.levels)
    for (indptr, indices, _), f, g in zip(tables, union_f.codes, union_g.codes):
        keys.append(np.repeat(np.asarray(f, dtype=np.int64), np.diff(indptr)) * width + np.asarray(g)[indices])
    every = np.unique(np.concatenate(keys))
    out = np.zeros((len(every), *tables[0][2].shape[1:]))
    for own, (_, _, values) in zip(keys, tables):
        out[np.searchsorted(every, own)] += values
    indptr = np.searchsorted(every, np.arange(len(union_f.levels) + 1, dtype=np.int64) * width).astype(np.int64)
    return indptr, (every % width).astype(np.int32), np.ascontiguousarray(out)
