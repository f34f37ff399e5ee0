"""Time of the criterion against the number of groups (a random slope)."""

import numpy as np
import pandas as pd

from benchmarks.machine import describe_machine
from benchmarks.stages import median_of, stages
from benchmarks.tables import markdown, number, seconds, write_table

ROWS_PER_GROUP = 5
GROUPS = (20_000, 200_000, 1_000_000)
QUICK_GROUPS = (2_000, 20_000, 100_000)
FORMULA = "y ~ x + (1 + x | group)"


def simulate(groups, seed=20261123):
    """`ROWS_PER_GROUP` rows for each group, in random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(groups), ROWS_PER_GROUP))
    x = rng.normal(size=len(group))
    effects = rng.normal(size=(groups, 2)) * (0.6, 0.3)
    y = 1.0 + 0.5 * x + effects[group, 0] + effects[group, 1] * x + rng.normal(size=len(group))
    return pd.DataFrame({"y": y, "x": x, "group": group})


def run(options):
    """Write results/groups.md."""
    rows = []
    for groups in QUICK_GROUPS if options.quick else GROUPS:
        data = simulate(groups)
        times, criterion, par = stages(FORMULA, data)
        del data
        value, evaluate = median_of(criterion.value, par), median_of(criterion.evaluate, par)
        rows.append([
            f"{groups:,}", f"{groups * ROWS_PER_GROUP:,}", seconds(sum(times.values())), seconds(value),
            seconds(evaluate), number(1e9 * value / groups), number(1e9 * evaluate / groups),
        ])
    text = "\n".join([
        "# The criterion against the number of groups",
        "",
        describe_machine(options.threads),
        f"`{FORMULA}`, {ROWS_PER_GROUP} rows per group; medians of repeated evaluations.",
        "",
        markdown(["groups", "rows", "up to the start", "value", "with gradient and information", "value, ns per group",
                  "with both, ns per group"], rows),
    ])
    write_table("groups" + options.suffix, text)
