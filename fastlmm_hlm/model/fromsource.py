"""A fit from rows that are read block by block."""

import dataclasses

import numpy as np

from fastlmm_hlm.design.restrict import ColumnMap, restricted_products
from fastlmm_hlm.ingest.parts import run_parts
from fastlmm_hlm.ingest.passes import run_passes
from fastlmm_hlm.ingest.request import Request
from fastlmm_hlm.ingest.source import open_source
from fastlmm_hlm.model.fitting import Fitted, estimable_design, solve, threads_of


def fit_source(settings):
    """Read the source of the settings and fit.

    Returns
    -------
    Source, Plan, Fitted
    """
    source = open_source(settings.data)
    request = Request(settings.formula, settings.weights, settings.offset, settings.subset, settings.contrasts, settings.na_action)
    if source.in_parts:
        plan, products, kept = run_parts(source, request, settings.control.block_rows, settings.progress)
    else:
        plan, products, kept = run_passes(
            source, request, threads_of(settings.control), settings.control.block_rows, settings.progress
        )
    return source, plan, fit_products(plan, products, kept, settings)


def fit_products(plan, products, kept, settings):
    """Fit the model of a plan to its cross-products.

    Parameters
    ----------
    plan : Plan
    products : CrossProducts
    kept : ndarray of int
        Columns of X that can be estimated; see `ingest.passes.estimable`.
    settings : Settings

    Returns
    -------
    Fitted
    """
    whole = plan.design

    def sums_again(design):
        fixed = ColumnMap(np.eye(whole.p)[:, kept], whole.x_centring, design.x_centring)
        factors = [(f, ColumnMap(np.eye(len(own.names)), own.centring, own.centring)) for f, own in enumerate(whole.factors)]
        return restricted_products(products, fixed, factors)

    design, products, kept, dropped, combinations = estimable_design(whole, products, kept, settings.control, sums_again)
    centrings = [factor.centring for factor in design.factors]
    facts = dataclasses.astuple(plan.response)
    criterion, estimates, deviations, optinfo, messages = solve(design, products, centrings, settings, response=facts)
    return Fitted(design, products, criterion, estimates, deviations, optinfo, messages, dropped, kept, combinations)
