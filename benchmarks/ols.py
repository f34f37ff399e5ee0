"""The limit: least squares and one group mean per grouping factor, on the same rows.

A mixed model must at least read the rows, form X'X and X'y, and add up each
grouping factor's rows.  NumPy and pandas do just that here; `lmer` on the same
frame is measured in turns with them, in the same process.
"""

import statistics

import numpy as np

from benchmarks.cases import BY_ID
from benchmarks.machine import describe_machine
from benchmarks.stages import timed
from benchmarks.tables import markdown, number, seconds, write_table
from fastlmm_hlm import lmer

CASE = BY_ID["nested"]
RESPONSE, COVARIATES, GROUPS = "score", ["x1", "x2"], ["school", "class"]
BUDGET, MOST = 20.0, 21  # seconds and repeats of one kind of frame


def normal_equations(data):
    """Coefficients of the least-squares line."""
    X = np.column_stack([np.ones(len(data)), *(data[name].to_numpy() for name in COVARIATES)])
    return np.linalg.solve(X.T @ X, X.T @ data[RESPONSE].to_numpy())


def group_means(data):
    """Mean response per level of each grouping factor."""
    return [data.groupby(group, observed=True)[RESPONSE].mean() for group in GROUPS]


def measure(data):
    """Medians of the three, measured in turns; the first turn is not counted.

    Returns
    -------
    dict of str to float
        Seconds of "equations", "means", "lmer".
    """
    times = {"equations": [], "means": [], "lmer": []}
    while len(times["lmer"]) < 2 or (
        len(times["lmer"]) < MOST and sum(map(sum, times.values())) < BUDGET
    ):
        times["equations"].append(timed(normal_equations, data)[0])
        times["means"].append(timed(group_means, data)[0])
        times["lmer"].append(timed(lmer, CASE.formula, data)[0])
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def run(options):
    """Write results/ols.md."""
    codes = CASE.data(options.quick)
    rows = []
    for kind, data in (("integers", codes), ("categories", codes.astype(dict.fromkeys(GROUPS, "category")))):
        found = measure(data)
        limit = found["equations"] + found["means"]
        rows.append([
            kind, f"{len(data):,}", seconds(found["equations"]), seconds(found["means"]), seconds(found["lmer"]),
            number(found["lmer"] / limit),
        ])
    text = "\n".join([
        "# Against the limit: least squares and group means",
        "",
        describe_machine(options.threads),
        f"`{CASE.formula}`; medians of runs in turns, in one process.",
        "",
        markdown(["grouping factors held as", "rows", "normal equations (NumPy)", "group means (pandas)", "lmer()",
                  "lmer() / both"], rows),
    ])
    write_table("ols" + options.suffix, text)
