"""Prediction of many rows against NumPy's X @ beta for the same rows.

    python benchmarks/predict.py [--rows 10000000] [--groups 100000] [--repeats 7] [--threads 1]

y ~ x1 + x2 + (1 + x1 | g), float64 columns; groups as integers and as a Categorical.  The fit comes from
1,000,000 rows.  NumPy has X formed beforehand, and again with the forming.  CPU and wall-clock milliseconds, medians; both sides'
results are compared first.  The last column is the ratio of CPU time to X @ beta.
"""

import argparse
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np  # noqa: E402 - threads are set before any library is loaded
import pandas as pd  # noqa: E402

from fastlmm_hlm import lmer, lmerControl, predict  # noqa: E402

FITTED, ACCURACY = 1_000_000, 1e-12
WITH_ERRORS = 1_000_000


def make(rows, groups, seed=20261124):
    """Data with every group among the first rows."""
    rng = np.random.default_rng(seed)
    g = rng.integers(0, groups, rows)
    g[:groups] = np.arange(groups)
    data = pd.DataFrame({"x1": rng.normal(size=rows), "x2": rng.normal(size=rows), "g": g})
    fitted, b = data.head(min(FITTED, rows)).copy(), rng.normal(size=(groups, 2))
    own = fitted["g"].to_numpy()
    fitted["y"] = 1.0 + fitted["x1"] + fitted["x2"] + b[own, 0] + b[own, 1] * fitted["x1"] + rng.normal(size=len(fitted))
    return data, fitted


def milliseconds(work, repeats):
    """Medians of CPU and wall-clock time, after one call that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return [1e3 * statistics.median(column) for column in zip(*times)]


def same(ours, theirs):
    """Stop if two predictions differ."""
    off = float(np.abs(np.asarray(ours) - theirs).max())
    if not off < ACCURACY * np.abs(theirs).max():
        raise SystemExit(f"the results differ by {off:.3g}; there is nothing to compare")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data, fitted = make(options.rows, options.groups)
    fit = lmer("y ~ x1 + x2 + (1 + x1 | g)", fitted, control=lmerControl(threads=options.threads))
    beta, b = fit.fixef().to_numpy(), fit.ranef(condVar=False)["g"].to_numpy()
    columns = [np.ones(options.rows), data["x1"].to_numpy(), data["x2"].to_numpy()]
    X, g, x1 = np.column_stack(columns), data["g"].to_numpy(), data["x1"].to_numpy()
    categorical = data.assign(g=pd.Categorical.from_codes(g.astype(np.int32), categories=range(options.groups)))

    same(predict(fit, data, re_form="NA"), X @ beta)
    for frame in (data, categorical):
        same(predict(fit, frame), X @ beta + b[g, 0] + b[g, 1] * x1)
    work = {
        "NumPy: X @ beta": lambda: X @ beta,
        "NumPy: X formed, X @ beta": lambda: np.column_stack(columns) @ beta,
        "NumPy: X @ beta + b[g, 0] + b[g, 1] * x1": lambda: X @ beta + b[g, 0] + b[g, 1] * x1,
        'predict(re_form="NA")': lambda: predict(fit, data, re_form="NA"),
        "predict, integer groups": lambda: predict(fit, data),
        "predict, categorical groups": lambda: predict(fit, categorical),
    }
    print(f"{options.rows:,} rows, {options.groups:,} groups, {options.threads} thread(s)\n")
    print("| | CPU, ms | wall clock, ms | CPU / X @ beta |")
    print("|---|---|---|---|")
    base = None
    for name, one in work.items():
        cpu, wall = milliseconds(one, options.repeats)
        base = base or cpu
        print(f"| {name} | {cpu:.0f} | {wall:.0f} | {cpu / base:.1f} |", flush=True)
    some = data.head(WITH_ERRORS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = milliseconds(lambda: predict(fit, some, se_fit=True), 1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\npredict(se_fit=True), {len(some):,} rows: {cpu / 1e3:.1f} s of CPU; the peak of memory rose by {max(grown, 0.0):.0f} MB")


if __name__ == "__main__":
    main()
