"""The steps of a fit, one by one."""

import gc
import statistics
import time

from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.formula import build_frame


def timed(function, *arguments):
    """Seconds and result of one call."""
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def median_of(function, *arguments, budget=2.0, most=31):
    """Median seconds of repeated calls that together stay near `budget` seconds; at least one call."""
    times = []
    while not times or (len(times) < most and sum(times) + times[-1] <= budget):
        times.append(timed(function, *arguments)[0])
    return statistics.median(times)


def make_products(frame):
    """Design and cross-products of a frame."""
    design = build_design(frame)
    return design, cross_products(design, choose_shift(design))


def make_criterion(design, products, REML=True):
    """The criterion, its pattern analysed."""
    return LmmCriterion(products, design.terms, [f.centring for f in design.factors], REML)


def stages(formula, data, REML=True):
    """Seconds of each step up to the start of the search, and the criterion with its start.

    Returns
    -------
    times : dict
        "frame", "design", "cross-products", "analyse", "start".
    criterion : LmmCriterion
    par : ndarray
        Where the search would begin.
    """
    gc.collect()
    times = {}
    times["frame"], frame = timed(build_frame, formula, data)
    times["design"], design = timed(build_design, frame)
    times["cross-products"], products = timed(lambda: cross_products(design, choose_shift(design)))
    times["analyse"], criterion = timed(make_criterion, design, products, REML)
    times["start"], par = timed(criterion.start)
    return times, criterion, par
