"""The fit of all sites from their sums."""

import glob
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd

from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.design.rank import clearly_independent, independent_columns
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.checks import check_random_terms
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.direct import DirectColumns
from fastlmm_hlm.formula.frame import ModelFrame, RandomTermFrame
from fastlmm_hlm.formula.materialize import MatrixRecipe
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.spec import DesignSpec, RandomTermSpec
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.formula.values import Factor, Logical, Matrix
from fastlmm_hlm.inference.emmeans.facts import Facts, Variable, null_basis_of
from fastlmm_hlm.ingest.plan import Plan, Response
from fastlmm_hlm.model.fitting import Settings
from fastlmm_hlm.model.fromsource import fit_products
from fastlmm_hlm.model.mixedmodel import LinearMixedModel
from fastlmm_hlm.optimize.control import Control
from fastlmm_hlm.sites.agreement import check_agreement
from fastlmm_hlm.sites.pooling import pooled_products, united
from fastlmm_hlm.sites.sitefile import SiteCrossProducts, from_plain
from fastlmm_hlm.sites.summing import ones_of

# Rows that stand in for data where only the names of columns are asked for.
STAND_INS = 16


def lmer_from_crossproducts(files, *, REML=None, start=None, control=None, verbose=0):  # noqa: N803
    """Fit a linear mixed model to the sums of several sites.

    The fit is that of the rows of all sites together, as `Study.prepare` gives them, but for
    rounding; the order of the files does not change a bit of it.

    Parameters
    ----------
    files : list of paths or SiteCrossProducts, or a pattern such as ``"sums/*.flmm"``
    REML : bool, optional
        By default what the study says.
    start, control, verbose
        As for `lmer`.

    Returns
    -------
    LinearMixedModel
        Without rows: all that comes from sums works, and `predict` with rows that are given.

    Raises
    ------
    DataError
        For files that are missing, damaged, of another version or study, twice the same, or do not fit together.
    ArgumentError

    Examples
    --------
    >>> from fastlmm_hlm import Study, datasets, lmer_from_crossproducts, site_crossproducts
    >>> rows = datasets.load("sleepstudy")
    >>> study = Study("Reaction ~ Days + (Days | Subject)")
    >>> parts = [site_crossproducts(study, rows[:90], site="north"), site_crossproducts(study, rows[90:], site="south")]
    >>> round(lmer_from_crossproducts(parts).REMLcrit(), 3)
    1743.628
    """
    if control is not None and not isinstance(control, Control):
        raise ArgumentError(f"lmer_from_crossproducts: control = {control!r}; make it with lmerControl(...).")
    if REML is not None and not isinstance(REML, (bool, np.bool_)):
        raise ArgumentError(f"lmer_from_crossproducts: REML = {REML!r}; expected True or False.")
    sites = check_agreement(_opened(files))
    study = sites[0].study
    request = study.request
    settings = Settings(
        study.formula.text, None, study.REML if REML is None else bool(REML), request.weights, request.offset, request.subset,
        request.contrasts, "omit", start, control or Control(), verbose,
    )
    plan, products, kept, triangle = _pooled(study, sites)
    fit = LinearMixedModel(settings, plan, fit_products(plan, products, kept, settings), _Sums(sites))
    fit._source = None
    fit._grid_facts = _facts(sites, fit, triangle)
    return fit


class _Sums:
    """What stands in the place of a source."""

    def __init__(self, sites):
        names = [site.site for site in sites]
        shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        self.description = f"sums of {len(names)} site{'s' if len(names) > 1 else ''} ({shown})"


def _opened(files):
    if isinstance(files, (str, os.PathLike)):
        found = sorted(glob.glob(os.fspath(files))) if glob.has_magic(os.fspath(files)) else [files]
        if not found:
            raise DataError(f"no file matches '{files}'; check the pattern and the folder '{os.getcwd()}'.")
        files = found
    if isinstance(files, SiteCrossProducts):
        files = [files]
    try:
        files = list(files)
    except TypeError:
        raise ArgumentError(f"lmer_from_crossproducts: files is {type(files).__name__}; give a list of paths.") from None
    if not files:
        raise ArgumentError("lmer_from_crossproducts: the list of files is empty; give at least one.")
    made = []
    for item in files:
        if not isinstance(item, (str, os.PathLike, SiteCrossProducts)):
            raise ArgumentError(f"lmer_from_crossproducts: {type(item).__name__} is in the list of files; give paths, or what site_crossproducts() returns.")
        made.append((item, item if isinstance(item, SiteCrossProducts) else SiteCrossProducts.load(item)))
    return made


def _pooled(study, sites):
    """Plan, cross-products, columns of X that can be estimated, and R of a QR of X."""
    names = [factor["name"] for factor in sites[0].header["factors"]]
    unions = {name: united(sites, name, study.factors) for name in names}
    n = sum(site.n for site in sites)
    frame = _frame(study, sites, unions)
    check_random_terms(frame.random, n, True, ())
    design = build_design(frame)
    if list(frame.x_names) != sites[0].header["x_names"]:
        raise DataError(f"the sums have the fixed columns {', '.join(sites[0].header['x_names'])} and this release makes {', '.join(frame.x_names)}; use the same release at all sites.")
    ones = ones_of(frame.x_names, frame.assign, frame.spec.fixed_recipe)
    own = [unions[factor.name] for factor in design.factors]
    products, x_centring, centrings = pooled_products(sites, own, design, ones)
    _check_columns(design, products)
    factors = [replace(factor, codes=None, columns=None, centring=basis) for factor, basis in zip(design.factors, centrings)]
    weights = np.ones(1) if study.request.weights is not None else None
    design = replace(design, y=None, x_columns=None, weights=weights, offset=None, factors=factors, x_centring=x_centring)
    response = _response(sites, study)
    counts = {key: sum((Counter(site.header[key]) for site in sites), Counter()) for key in ("dropped", "missing")}
    plan = Plan(
        request=study.request, names=[], columns=frame.spec.variables, n=n, n_input=sum(site.header["n_input"] for site in sites),
        dropped=dict(counts["dropped"]), missing=dict(counts["missing"]), spec=frame.spec, x_names=frame.x_names, assign=frame.assign,
        term_labels=frame.term_labels, contrasts=frame.contrasts, design=design, groups=[None] * len(factors), beta0=products.beta0,
        response=response, doubtful=True, within=[None] * len(factors), shared={},
    )
    triangle = np.linalg.qr(np.vstack([site.arrays["triangle"] for site in sites]), mode="r")
    p, centre = products.p, x_centring.centre
    clear = p == 0 or clearly_independent(products.XyWXy[:p, :p], products.XyWXy.diagonal()[:p] + n * response.weight * centre**2)
    return plan, products, np.arange(p) if clear else independent_columns(triangle), triangle


def _check_columns(design, products):
    """Refuse columns of random effects that are zero in all rows: a fit in memory has none for a level that does not occur.

    Raises
    ------
    DataError
    """
    for factor, G in zip(design.factors, products.ZtWZ):
        for name, square in zip(factor.names, np.diagonal(G.sum(axis=0))):
            if square == 0.0:
                raise DataError(f"the random effect '{name}' of '{factor.name}' is zero in every row of all sites; if it is a level that does not occur, make the study without it.")


def _response(sites, study):
    """Facts of the response; its extremes, which would be values of rows, are bounded by four deviations."""
    n, means = np.array([site.n for site in sites], dtype=float), np.array([site.header["response"]["mean"] for site in sites])
    mean = means[0] + n @ (means - means[0]) / n.sum()
    sd = float(np.sqrt((sum(site.header["response"]["m2"] for site in sites) + n @ (means - mean) ** 2) / n.sum()))
    if sd == 0.0 and n.sum() > 1:
        raise DataError(f"the response '{study.formula.response}' is constant ({mean:g} in all {int(n.sum())} rows of all sites); there is no variation to model.")
    weight = float(n @ [site.header["weight"] for site in sites] / n.sum())
    return Response(float(mean - 4 * sd), float(mean + 4 * sd), sd, weight)


def _frame(study, sites, unions):
    """A model frame of stand-in rows: the columns, their names and codings, and the levels of all sites."""
    formula, parts, header = study.formula, study.parts, sites[0].header
    rng = np.random.default_rng(1)
    values = {text: _stand_in(header["variables"][text], study.factors.get(getattr(node, "text", None)), rng) for text, node in parts.nodes.items()}
    fixed, maker = MatrixRecipe(parts.terms, study.request.contrasts or {}), DirectColumns(STAND_INS)
    x_columns = fixed.build(values, maker)
    random, specs = [], []
    for bar, side in zip(formula.bars, parts.sides, strict=True):
        recipe = MatrixRecipe(side)
        columns = recipe.build(values, maker)
        levels = unions[bar.group_name].levels
        codes = np.arange(STAND_INS, dtype=np.int32) % len(levels)
        random.append(RandomTermFrame(bar.group_name, levels, codes, columns, recipe.names, bar.covariance, bar.hom, bar.text))
        specs.append(RandomTermSpec(bar.group, levels, recipe))
    sizes = [len(term.levels) for term in random]
    if any(later > earlier for earlier, later in zip(sizes[:-1], sizes[1:])):
        order = sorted(range(len(sizes)), key=sizes.__getitem__)[::-1]      # ties are reversed, as in lme4
        random, specs = [random[i] for i in order], [specs[i] for i in order]
    arguments = {role: getattr(study.request, role) for role in ("weights", "offset", "subset")}
    extra = {role: parse_expression(text) for role, text in arguments.items() if text}
    offsets = (*parts.terms.offsets, *([extra["offset"]] if "offset" in extra else []))
    nodes = [*parts.all_nodes(formula), *(extra[role] for role in ("weights", "offset") if role in extra)]
    spec = DesignSpec(
        formula=formula, variables=list(dict.fromkeys(name for node in nodes for name in column_names(node))), fixed_recipe=fixed, random_terms=specs,
        offset_nodes=offsets, offset_is_vector=False, state=from_plain(header["state"]), levels={name: tuple(levels) for name, levels in study.factors.items()},
    )
    return ModelFrame(
        formula=formula, index=pd.RangeIndex(STAND_INS), rows=None, n_input=STAND_INS, y=rng.uniform(1, 2, STAND_INS), response=deparse(formula.response_node),
        x_columns=x_columns, x_names=fixed.names, assign=fixed.assign, term_labels=parts.terms.labels, weights=None, offset=None, random=random, dropped={},
        missing={}, contrasts=fixed.codings(), spec=spec,
    )


def _stand_in(kind, levels, rng):
    """Values of one variable's kind."""
    if kind["kind"] == "factor":
        return Factor(np.arange(STAND_INS, dtype=np.int32) % len(levels), tuple(levels), kind["ordered"])
    if kind["kind"] == "truth":
        return Logical(np.arange(STAND_INS) % 2.0)
    if kind["kind"] == "matrix":
        return Matrix(rng.uniform(1, 2, (STAND_INS, len(kind["names"]))), tuple(kind["names"]))
    return rng.uniform(1, 2, STAND_INS)


# --- what marginal means ask for -------------------------------------------------------------


def _facts(sites, fit, triangle):
    """Levels, means and counts of combinations over all sites."""
    names = list(sites[0].header["predictors"])
    known = {name: [site.header["predictors"][name] for site in sites] for name in names}
    n = np.array([site.n for site in sites], dtype=float)
    variables = {name: _variable(name, own, n) for name, own in known.items()}
    counted = [name for name in names if variables[name].levels is not None]
    tables = []
    for site in sites:
        cells, places = site.arrays["cells"], site.header["counted"]
        columns = {name: np.array(site.header["predictors"][name]["levels"], dtype=object)[cells[:, places.index(name)]] for name in counted}
        tables.append(pd.DataFrame({**columns, "n": site.arrays["cell_counts"]}))
    table = pd.concat(tables, ignore_index=True)
    table = table.groupby(counted, sort=False, as_index=False)["n"].sum() if counted else pd.DataFrame({"n": [table["n"].sum()]})
    codes = [pd.Index(variables[name].levels).get_indexer(pd.Index(table[name])) for name in counted]
    cells = np.column_stack(codes).astype(np.int64) if counted else np.zeros((len(table), 0), dtype=np.int64)
    order = np.lexsort(cells.T[::-1]) if counted else np.arange(len(table))
    return Facts(variables, counted, cells[order], table["n"].to_numpy(dtype=float)[order], 0.0, null_basis_of(fit, triangle))


def _variable(name, own, n):
    first, levels = own[0], None
    if all(v["levels"] is not None for v in own):
        found = {level for v in own for level in v["levels"]}
        order = first["categories"]
        levels = tuple(level for level in order if level in found) if order is not None else tuple(sorted(found))
        if not first["is_factor"] and len(levels) > 2:
            levels = None
    mean = None if first["mean"] is None else float(n @ [v["mean"] for v in own] / n.sum())
    categories = None if first["categories"] is None else pd.Index(first["categories"])
    return Variable(name, first["is_factor"], levels, mean, categories, first["ordered"], first["is_date"], max(v["spread"] for v in own))
