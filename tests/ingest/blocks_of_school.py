"""A small data set with everything that a formula can meet, and helpers to cut it."""

import numpy as np
import pandas as pd

from fastlmm_hlm.ingest import Products, Request, Scan


def school_data(n=600, seed=1):
    """Students in classes in schools: numbers, text, categories, logical values, dates, gaps."""
    rng = np.random.default_rng(seed)
    school, room = rng.integers(0, 12, n), rng.integers(0, 4, n)
    x, z = rng.normal(50, 10, n), rng.normal(size=n)
    track = rng.choice(["b", "a", "C"], n)
    year = rng.integers(2010, 2020, n)
    data = pd.DataFrame({
        "school": [f"s{k}" for k in school], "room": room, "x": x, "z": z, "track": track, "year": year,
        "grade": pd.Categorical.from_codes(rng.integers(0, 3, n), ["low", "mid", "high", "never"]),
        "rank": pd.Categorical.from_codes(rng.integers(0, 3, n), ["one", "two", "three"], ordered=True),
        "girl": rng.random(n) < 0.5, "w": rng.uniform(0.5, 2, n), "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 5, n), "D"),
        "k": rng.integers(-3, 4, n),
    })
    effects = rng.normal(size=12)[school] * 3 + rng.normal(size=(12, 4))[school, room] * 2
    data["y"] = 100 + 0.5 * x + 2 * z + (track == "a") + 0.3 * (year - 2010) + effects + rng.normal(size=n) * 4
    gaps = data.copy()
    gaps.loc[rng.choice(n, 9, replace=False), "x"] = np.nan
    gaps.loc[rng.choice(n, 7, replace=False), "y"] = np.nan
    gaps.loc[rng.choice(n, 5, replace=False), "track"] = None
    gaps.loc[rng.choice(n, 5, replace=False), "school"] = None
    return data, gaps


def cut(data, sizes):
    """Blocks of these sizes, one after the other; the last size is repeated."""
    first, sizes = 0, list(sizes)
    while first < len(data):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield data.iloc[first : first + size]
        first += size


def scanned(formula, blocks, part=0, **arguments):
    scan = Scan(Request(formula, **arguments), part)
    for block in blocks:
        scan.update(block)
    return scan


def summed(plan, blocks, part=0, threads=1):
    products = Products(plan, part, threads)
    for block in blocks:
        products.update(block)
    return products


def arrays_of(products):
    """Every number of CrossProducts, in one list of arrays."""
    pairs = [array for key in sorted(products.pairs) for array in products.pairs[key]]
    return [products.beta0, products.XyWXy, *products.ZtWZ, *products.ZtWXy, *pairs, np.array([products.n, products.sum_log_weights])]


def same_bits(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(arrays_of(ours), arrays_of(theirs), strict=True))
