"""Residuals, separate regressions and ranks at scale: CPU seconds of one process.

    python benchmarks/diagnostics_scale.py

Medians of three calls; the fit is made once.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastlmm_hlm import allFit, check_predictions, check_variance, expected_rank, hlm_resid, lmer, lmList, reliability  # noqa: E402
from fastlmm_hlm.inference.expected_rank import expected_ranks  # noqa: E402

TIMES = 3


def cpu(call):
    """Median CPU seconds of a call."""
    taken = []
    for _ in range(TIMES):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def nested(rows, schools, classes, seed=1):
    """Classes in schools, one covariate."""
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"class": rng.integers(classes, size=rows), "x": rng.normal(size=rows)})
    d["school"] = d["class"] % schools
    slopes, effects = 0.3 * rng.normal(size=schools), rng.normal(size=classes)
    d["y"] = d["x"] * (1 + slopes[d["school"]]) + 0.5 * rng.normal(size=schools)[d["school"]] + effects[d["class"]] + rng.normal(size=rows)
    return d


def crossed(rows, a, b, seed=2):
    """Two crossed factors."""
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({"a": rng.integers(a, size=rows), "b": rng.integers(b, size=rows), "x": rng.normal(size=rows)})
    d["y"] = d["x"] + rng.normal(size=a)[d["a"]] + rng.normal(size=b)[d["b"]] + rng.normal(size=rows)
    return d


def report(what, call):
    print(f"{what:<92}{cpu(call):8.2f} s")


def main():
    d = nested(1_000_000, 2_000, 20_000)
    fit = lmer("y ~ x + (x | school) + (1 | class)", d)
    print("1,000,000 rows, 20,000 classes in 2,000 schools, random slope of schools")
    for type in ("response", "standardized", "cholesky", "symmetric"):
        report(f"  residuals(type={type!r})", lambda type=type: fit.residuals(type))
    report("  residuals(type='standardized', level='marginal')", lambda: fit.residuals("standardized", level="marginal"))
    report("  hlm_resid(fit, standardize=True)", lambda: hlm_resid(fit, standardize=True))
    report("  hlm_resid(fit, 'school')", lambda: hlm_resid(fit, "school"))
    report("  reliability(fit)", lambda: reliability(fit))
    report("  check_variance(fit, 'school')", lambda: check_variance(fit, "school"))
    report("  check_predictions(fit)", lambda: check_predictions(fit, seed=1))
    report("  allFit(fit), 7 optimizers", lambda: allFit(fit))
    report("  expected_rank(fit, 'school'), all pairs", lambda: expected_rank(fit, "school"))
    report("  expected_rank(fit, 'class'), interpolated", lambda: expected_rank(fit, "class"))

    print("100,000 rows, 1,500 x 500 crossed levels")
    fit = lmer("y ~ x + (1 | a) + (1 | b)", crossed(100_000, 1_500, 500))
    report("  residuals(type='symmetric')", lambda: fit.residuals("symmetric"))

    print("100,000 groups, 1,000,000 rows")
    d = nested(1_000_000, 2_000, 100_000)
    report("  lmList('y ~ x | class')", lambda: lmList("y ~ x | class", d))
    regressions = lmList("y ~ x | class", d)
    report("  its summary and to_frame", lambda: (regressions.summary(), regressions.to_frame()))
    rng = np.random.default_rng(3)
    v = rng.gamma(3.0, 1 / 30, 100_000) + 0.02
    b = rng.normal(size=100_000) * np.sqrt(1.0 - np.minimum(v, 0.9))
    report("  expected ranks of 100,000 modes", lambda: expected_ranks(b, v))


if __name__ == "__main__":
    main()
