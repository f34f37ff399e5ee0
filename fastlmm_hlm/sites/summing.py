"""The sums of one site: two passes over its rows, and nothing kept that is not a sum."""

from functools import partial
from types import SimpleNamespace

import numpy as np

from fastlmm_hlm.design.basis import Centring, centring, no_centring
from fastlmm_hlm.design.restrict import ColumnMap, restricted_products
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.checks import numeric_response
from fastlmm_hlm.formula.materialize import INTERCEPT
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.values import Factor, Logical, Matrix
from fastlmm_hlm.inference.emmeans.streamedfacts import streamed_facts
from fastlmm_hlm.ingest.moments import Moments
from fastlmm_hlm.ingest.passes import read_blocks
from fastlmm_hlm.ingest.plan import make_plan
from fastlmm_hlm.ingest.products import Products
from fastlmm_hlm.ingest.request import Reading
from fastlmm_hlm.ingest.scan import Scan
from fastlmm_hlm.model.fitting import threads_of
from fastlmm_hlm.optimize.control import Control
from fastlmm_hlm.sites.prepared import PreparedSource
from fastlmm_hlm.sites.sitefile import SiteCrossProducts
from fastlmm_hlm.sites.study import Study, checked_site

CODED = ("text", "category")
TRUTH = ("FALSE", "TRUE")


def site_crossproducts(study, data, *, site, control=None, progress=False):
    """The sums over the rows of one site that a fit of all sites needs.

    Parameters
    ----------
    study : Study, path of one, or str
        A formula stands for ``Study(formula)``.
    data : data frame, or any source of `lmer`
        The rows of this site.
    site : str
        Its name, which no other site has.
    control : lmerControl(...), optional
        Threads and rows of a block.
    progress : bool
        Show a bar for each pass.

    Returns
    -------
    SiteCrossProducts
        ``.save("north.flmm")`` writes it, ``.disclosure()`` says what it reveals.

    Raises
    ------
    FormulaError, UnknownColumnError, DataError, ArgumentError
        As `lmer`; also for text among the predictors whose levels the study does not give, and for
        levels that it does not have.

    Examples
    --------
    >>> from fastlmm_hlm import datasets, site_crossproducts
    >>> sums = site_crossproducts("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"), site="lab")
    >>> sums.n, sums.levels
    (180, {'Subject': 18})
    """
    study, site = as_study(study), checked_site(site)
    if control is not None and not isinstance(control, Control):
        raise ArgumentError(f"site_crossproducts: control = {control!r}; make it with lmerControl(...).")
    source = PreparedSource(study, data, site)
    return _summed(study, source, site, control or Control(), progress)


def as_study(study):
    """A Study, from itself, a file, or a formula.

    Raises
    ------
    ArgumentError, DataError
    """
    if isinstance(study, Study):
        return study
    if isinstance(study, str) and "~" in study:
        return Study(study)
    try:
        return Study.load(study)
    except TypeError:
        raise ArgumentError(f"study is {type(study).__name__}; give a Study, the path of one, or a formula.") from None


def _summed(study, source, site, control, progress):
    request = study.request
    wanted = set(Reading(request, source.names).columns)
    columns = [name for name in source.names if name in wanted]
    read = partial(read_blocks, source, columns, control.block_rows, progress)
    before = source.fingerprint()
    scan, head = Scan(request), None
    for block in read("first pass"):
        scan.update(block)
        head = block.iloc[:1] if head is None else head
    _check_declared(study, scan, site)
    for name, levels in study.factors.items():
        if name in scan.used_levels:
            scan.used_levels[name] = set(levels)
    plan = make_plan(scan, complete=False)
    _check_made_factors(plan, study)
    plan.doubtful = True                   # one site cannot know whether the columns of all depend on each other
    facts = _Facts(plan)
    with Products(plan, threads=threads_of(control) if source.blocks_stay else 1) as products:
        for block in read("second pass"):
            products.update(block)
            facts.add(block)
        made = products.finish()
    if source.fingerprint() != before:
        raise DataError(f"{source.description} was changed while it was read, so the two passes saw different rows; sum again when nothing writes to it.")
    known = streamed_facts(SimpleNamespace(
        _plan=plan, _source=source, _spec=plan.spec, _all_x_names=plan.x_names, _dropped_columns=[], _kept_columns=np.arange(len(plan.x_names)),
    ), "site_crossproducts")
    kinds = _kinds(plan, head)
    record = SiteCrossProducts.of(study, site, plan, _about_means(plan, made), _triangle(products.triangle), facts, known, kinds, source.removed)
    record._source, record._again = source, partial(_summed, study, source, site, control, progress)
    return record


def _check_declared(study, scan, site):
    """Refuse predictors of text without levels: another site may have others.

    Raises
    ------
    DataError
    """
    for node in study.parts.nodes.values():
        for name in column_names(node):
            if scan.kinds.get(name) in CODED and name not in study.factors:
                levels = scan.texts.get(name) or (scan.categories[name].levels() if name in scan.categories else [])
                shown = ", ".join(repr(str(level)) for level in sorted(map(str, levels))[:8])
                raise DataError(
                    f"the predictor '{name}' of site '{site}' is {'text' if scan.kinds[name] == 'text' else 'categorical'} (here: {shown}), and its coding must be the same at "
                    f"every site; give its levels in the study: Study(..., factors={{'{name}': [{shown}]}})."
                )


def _check_made_factors(plan, study):
    """Refuse expressions that make a factor, whose levels depend on the rows."""
    for recipe in (plan.spec.fixed_recipe, *(term.recipe for term in plan.spec.random_terms)):
        for text, levels in recipe.levels.items():
            if tuple(levels) != TRUTH and not isinstance(recipe.terms.variables[text], Name):
                raise DataError(f"{text} makes a factor, whose levels depend on the rows of a site; make the column at every site and give its levels in the study.")


def _kinds(plan, head):
    """What each variable of the formula is: number, truth, factor, or a matrix of so many columns."""
    rows, nodes = plan.rows_of(head), plan.reading.plan.nodes
    found = {}
    for text, node in nodes.items():
        value = rows.value(node)
        if isinstance(value, Factor):
            found[text] = {"kind": "factor", "ordered": bool(value.ordered)}
        elif isinstance(value, Matrix):
            found[text] = {"kind": "matrix", "names": list(value.names)}
        else:
            found[text] = {"kind": "truth" if isinstance(value, Logical) else "number"}
    return found


class _Facts:
    """Counts and means that are no cross-products."""

    def __init__(self, plan):
        self._plan = plan
        self.y, self.weight = Moments(), Moments()
        self.counts = [np.zeros(len(factor.levels), dtype=np.int64) for factor in plan.design.factors]

    def add(self, block):
        rows = self._plan.rows_of(block)
        if not rows.count:
            return
        formula = self._plan.formula
        self.y.add_quickly(numeric_response(rows.chosen(rows.value(formula.response_node)), formula.response, "numeric"))
        weights = rows.numbers("weights")
        if weights is not None:
            self.weight.add_quickly(rows.chosen(weights))
        for counts, group in zip(self.counts, self._plan.groups):
            counts += np.bincount(group.codes(rows), minlength=len(counts))


def _triangle(R):
    """A triangular factor with a diagonal that is not negative, so that it is a function of X'X."""
    return R * np.where(np.diagonal(R) < 0, -1.0, 1.0)[:, None]


# --- the basis of the sums ------------------------------------------------------------------


def ones_of(names, assign, recipe):
    """Columns of X that sum to the constant 1, as `design.build_design` finds them, by their names alone."""
    if INTERCEPT in names:
        return [names.index(INTERCEPT)]
    for number, members in enumerate(recipe.terms.terms, start=1):
        own = np.flatnonzero(assign == number)
        if len(own) > 1 and all(name in recipe.levels for name in members) and len(own) == np.prod([len(recipe.levels[name]) for name in members]):
            return own.tolist()
    return []


def means_of(G, basis, ones):
    """Weight, means and mean squared deviations of the user's columns, from the sums of their products.

    Parameters
    ----------
    G : ndarray (k, k)
        Of the columns as summed.
    basis : Centring
    ones : list of int
        Columns that sum to the constant.

    Returns
    -------
    total : float
    means, variances : ndarray (k,)
    """
    total = float(G[np.ix_(ones, ones)].sum())
    shifts = G[ones].sum(axis=0) / total
    return total, basis.centre + shifts, np.maximum(np.diagonal(G) / total - shifts**2, 0.0)


def _about_means(plan, products):
    """The cross-products about the site's own means and least-squares fit, so that all they hold are sums of its rows."""
    design, p = plan.design, products.p
    own = []
    x_ones = ones_of(plan.x_names, plan.assign, plan.spec.fixed_recipe)
    x = _about(products.XyWXy[:p, :p], design.x_centring, x_ones)
    for f, factor in enumerate(design.factors):
        G, k = products.ZtWZ[f].sum(axis=0), len(factor.names)
        centre, B = np.zeros(k), np.eye(k)
        for term in design.terms:
            ones = [j for j, name in enumerate(term.names) if name == INTERCEPT]
            if term.factor == f and ones and term.covariance.may_change_basis:
                part = term.columns
                old = Centring(factor.centring.centre[part], factor.centring.B[part, part])
                new = _about(G[part, part], old, ones)
                centre[part], B[part, part] = new.centre, new.B
        own.append(Centring(centre, B))
    fixed = ColumnMap(np.eye(p), design.x_centring, x)
    factors = [(f, ColumnMap(np.eye(len(new.centre)), factor.centring, new)) for f, (factor, new) in enumerate(zip(design.factors, own))]
    return restricted_products(products, fixed, factors), x, own


def _about(G, old, ones):
    if not len(ones):
        return no_centring(len(G))
    _, means, variances = means_of(G, old, ones)
    return centring(means, np.sqrt(variances), ones)
