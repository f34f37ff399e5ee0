"""The same bits with one thread and with two."""

import inspect

import numpy as np

from benchmarks.cases import CASES
from benchmarks.machine import describe_machine
from benchmarks.stages import timed
from benchmarks.tables import markdown, seconds, write_table
from fastlmm_hlm import lmer, lmerControl


def bits(fit):
    """Everything estimated, as bytes."""
    arrays = [fit.theta, fit.fixef().to_numpy(), fit.vcov().to_numpy(), [fit.sigma(), fit.REMLcrit()]]
    arrays += [block.to_numpy() for block in fit.ranef().values()]
    return [np.asarray(array, dtype=float).tobytes() for array in arrays]


def measure(case, quick):
    """One row: seconds with one and two threads, and whether all bits agree."""
    data = case.data(quick).astype({factor: "category" for factor in case.factors})
    fits, times = [], []
    for threads in (1, 2):
        used, fit = timed(lambda: lmer(case.formula, data, control=lmerControl(threads=threads)))  # noqa: B023
        times.append(used)
        fits.append(bits(fit))
    return [case.id, f"{len(data):,}", *map(seconds, times), "yes" if fits[0] == fits[1] else "NO"]


def run(options):
    """Write results/threads.md."""
    if "threads" not in inspect.signature(lmerControl).parameters:
        print("threads: this version's lmerControl has no argument 'threads'; nothing to compare.\n", flush=True)
        return
    rows = [measure(case, options.quick) for case in CASES if case.id in options.cases]
    text = "\n".join([
        "# One thread and two",
        "",
        describe_machine(2),
        ("One fit each, wall-clock time. The bits are those of theta, the fixed effects and their covariance matrix, "
        "sigma, the criterion and all conditional modes."),
        "",
        markdown(["case", "rows", "1 thread", "2 threads", "same bits"], rows),
    ])
    write_table("threads" + options.suffix, text)
