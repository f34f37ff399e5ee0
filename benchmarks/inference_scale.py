"""Degrees of freedom of large models: the fit, the summary after it, Kenward and Roger's method.

    python benchmarks/inference_scale.py [--repeats 5] [--cases slopes growth crossed2000]

CPU seconds on one thread, medians.  `crossed2000` has 100,000 rows and 2,000 crossed random effects.
"""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks.cases import BY_ID, crossed  # noqa: E402 - threads are set before any library is loaded
from fastlmm_hlm import lmer, lmerControl, summary  # noqa: E402
from fastlmm_hlm.inference.ddf import method_of  # noqa: E402


def model(case):
    """Formula and data."""
    if case == "crossed2000":
        return BY_ID["crossed"].formula, crossed(n=100_000, students=1_500, teachers=500)
    return BY_ID[case].formula, BY_ID[case].data()


def seconds(work):
    """CPU seconds of one call, and what it returns."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def measure(case, repeats):
    """Medians of the fit, of summary(fit), of Satterthwaite's and Kenward and Roger's methods alone."""
    formula, data = model(case)
    times = []
    for _ in range(repeats):
        fit_time, fit = seconds(lambda: lmer(formula, data, control=lmerControl(threads=1)))
        summary_time, _ = seconds(lambda: summary(fit))
        fit._ddf_methods.clear()
        alone = [seconds(lambda name=name: method_of(fit, name))[0] for name in ("Satterthwaite", "Kenward-Roger")]
        times.append((fit_time, summary_time, *alone))
    return [statistics.median(column) for column in zip(*times)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=["slopes", "growth", "crossed2000"])
    options = parser.parse_args()
    print("| case | fit | summary | Satterthwaite alone | Kenward-Roger alone |")
    print("|---|---|---|---|---|")
    for case in options.cases:
        print(f"| {case} | " + " | ".join(f"{s:.3f} s" for s in measure(case, options.repeats)) + " |", flush=True)


if __name__ == "__main__":
    main()
