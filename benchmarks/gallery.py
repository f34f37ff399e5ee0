"""Every picture of a fit, for models of all sizes and kinds, with the time each took.

    python benchmarks/gallery.py FOLDER [--cases sleep seven many million ...] [--pictures qq panels ...]

PNG files go to FOLDER/CASE_PICTURE.png, and the table of CPU seconds to the screen: the data frame
and its drawing, without writing the file.  `million` has 1,000,000 rows in 7 groups, `million_groups` in 7,000.
"""

import argparse
import os
import pathlib
import sys
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import matplotlib  # noqa: E402

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from fastlmm_hlm import datasets, dotplot, lmer, qqmath, ranef  # noqa: E402
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning  # noqa: E402

SEED = 20261124


def pupils(n, classes, seed=SEED):
    """Scores of pupils in classes with a random slope; a covariate that is skewed, a kind of class, a few outliers."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(classes, 2.0))
    klass = rng.choice(classes, n, p=share)
    klass[: min(n, classes)] = np.arange(min(n, classes))
    hours, age = rng.gamma(2.0, 1.5, n), rng.normal(12.0, 1.0, n)
    effects = rng.normal(size=(classes, 2)) @ np.array([[6.0, 0.6], [0.0, 1.2]])
    y = 50.0 + 2.0 * hours + 0.5 * age + effects[klass, 0] + effects[klass, 1] * hours + rng.normal(0.0, 8.0, n)
    y[rng.choice(n, 3, replace=False)] += 45.0
    return pd.DataFrame({
        "score": y, "hours": hours, "age": age, "w": rng.uniform(0.5, 3.0, n),
        "kind": np.where(klass % 3 == 0, "private", "public"),
        "class": [f"class {k + 1}" for k in klass] if classes < 1000 else klass + 1,
    })


def three_columns(seed=SEED):
    """Growth curves: an intercept, a slope and a curvature for each of 60 children."""
    rng = np.random.default_rng(seed)
    child, t = np.repeat(np.arange(60), 8), np.tile(np.linspace(-1.0, 1.0, 8), 60)
    root = np.linalg.cholesky(np.array([[9.0, 2.4, -0.9], [2.4, 4.0, 0.3], [-0.9, 0.3, 1.0]]))
    b = (rng.normal(size=(60, 3)) @ root.T)[child]
    y = 30.0 + 5.0 * t - 2.0 * t**2 + b[:, 0] + b[:, 1] * t + b[:, 2] * t**2 + rng.normal(0.0, 0.8, len(t))
    return pd.DataFrame({"height": y, "t": t, "child": [f"c{k:02d}" for k in child]})


# Formula, data, predictor of lines, column of colours, grouping factor, arguments of lmer.
CASES = {
    "sleep": ("Reaction ~ Days + (Days | Subject)", lambda: datasets.load("sleepstudy"), "Days", None, "Subject", {}),
    "schools": ("mAch ~ meanses * cses + sector * cses + (cses | school)", lambda: datasets.load("Hsb82"), "cses", "sector", "school", {}),
    "seven": ("score ~ hours + age + kind + (hours | class)", lambda: pupils(210, 7), "hours", "kind", "class", {}),
    "many": ("score ~ hours + age + (hours | class)", lambda: pupils(70_000, 7_000), "hours", "kind", "class", {}),
    "three": ("height ~ t + I(t^2) + (t + I(t^2) | child)", three_columns, "t", None, "child", {}),
    "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: datasets.load("Penicillin"), None, None, "plate", {}),
    "singular": ("Yield ~ 1 + (1 | Batch)", lambda: datasets.load("Dyestuff2"), None, None, "Batch", {}),
    "weights": ("score ~ hours + (hours | class)", lambda: pupils(600, 30), "hours", "kind", "class", {"weights": "w"}),
    "million": ("score ~ hours + age + (hours | class)", lambda: pupils(1_000_000, 7), "hours", None, "class", {}),
    "million_groups": ("score ~ hours + age + (hours | class)", lambda: pupils(1_000_000, 7_000), "hours", "kind", "class", {}),
}


def pictures(fit, x, by, group):
    """Name -> function that draws it."""
    out = {
        "averages": lambda: fit.plot_averages(group),
        "ranef": lambda: fit.plot_ranef(),
        "dotplot": lambda: dotplot(ranef(fit)),
        "qq": lambda: fit.plot_qq(),
        "qqmath": lambda: qqmath(fit),
        "ranef_qq": lambda: qqmath(ranef(fit)),
        "residuals": lambda: fit.plot(id=0.01),
        "residuals_by_group": lambda: fit.plot_residuals(group),
        "scale_location": lambda: fit.plot_scale_location(),
        "ranef_pairs": lambda: fit.plot_ranef_pairs(group),
        "shrinkage": lambda: fit.plot_shrinkage(group),
        "cooks": lambda: fit.plot_cooks(),
        "predictive": lambda: fit.plot_predictive(seed=1),
        "check": lambda: fit.check_model(predictive=True, seed=1),
    }
    if x is not None:
        out |= {
            "residuals_by_x": lambda: fit.plot_residuals(x),
            "lines": lambda: fit.plot_lines(x, by=by),
            "panels": lambda: fit.plot_panels(x, ols=True),
        }
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--pictures", nargs="+")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for case in options.cases:
        formula, data, x, by, group, arguments = CASES[case]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FastlmmWarning)
            fit = lmer(formula, data(), **arguments)
        for name, draw in pictures(fit, x, by, group).items():
            if options.pictures and name not in options.pictures:
                continue
            began = time.process_time()
            try:
                axes = draw()
            except ArgumentError as error:
                print(f"| {case} | {name} | {error} |", flush=True)
                continue
            seconds = time.process_time() - began
            figure = np.ravel(axes)[0].figure
            figure.savefig(options.folder / f"{case}_{name}.png", dpi=100)
            plt.close(figure)
            print(f"| {case} | {name} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
