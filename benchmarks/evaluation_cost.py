"""Time of one evaluation of the criterion against the number of rows.

    python benchmarks/evaluation_cost.py

Same 2,000 groups, same model (a random slope), 1e4, 1e5 and 1e6 rows.  After the
data pass the criterion knows only cross-products, so the time must not grow.
"""

import statistics
import time

import numpy as np
import pandas as pd

from fastlmm_hlm.criterion.lmm import LmmCriterion
from fastlmm_hlm.design.crossprod import choose_shift, cross_products
from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.formula import build_frame

GROUPS, REPEATS = 2_000, 31


def simulate(n, seed=20261123):
    """n rows in GROUPS groups: y = 1 + x/2 + group intercept and slope + noise."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n)
    group[:GROUPS] = np.arange(GROUPS)
    x = rng.normal(size=n)
    effects = rng.normal(size=(GROUPS, 2)) * (0.6, 0.3)
    y = 1.0 + 0.5 * x + effects[group, 0] + effects[group, 1] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "group": group})


def main():
    print(f"{'rows':>10}  {'data pass, s':>12}  {'value, ms':>10}  {'with gradient and information, ms':>34}")
    base = None
    for n in (10_000, 100_000, 1_000_000):
        frame = build_frame("y ~ x + (x | group)", simulate(n))
        began = time.perf_counter()
        design = build_design(frame)
        products = cross_products(design, choose_shift(design))
        data_pass = time.perf_counter() - began
        criterion = LmmCriterion(products, design.terms, [f.centring for f in design.factors], True)
        par = criterion.start()
        times = {criterion.value: [], criterion.evaluate: []}
        for _ in range(REPEATS):
            for function, seconds in times.items():
                began = time.perf_counter()
                function(par)
                seconds.append(time.perf_counter() - began)
        value, full = (1e3 * statistics.median(seconds) for seconds in times.values())
        base = base or full
        print(f"{n:>10,}  {data_pass:>12.3f}  {value:>10.3f}  {full:>34.3f}   ({full / base:.2f} x the first row)")


if __name__ == "__main__":
    main()
