"""Time of each floor: frame, design, cross-products, analysis, start, value, gradient, whole fit."""

import statistics

from benchmarks.cases import CASES
from benchmarks.machine import describe_machine
from benchmarks.stages import median_of, stages
from benchmarks.tables import markdown, seconds, write_table
from fastlmm_hlm import lmer

STEPS = ("frame", "design", "cross-products", "analyse", "start")
HEADER = ["case", "rows", "random effects", *STEPS, "value", "with gradient and information", "evaluations", "lmer()"]
BUDGET, MOST = 6.0, 15  # seconds and repeats of the steps of one case


def measure(case, quick):
    """One row of the table.

    Returns
    -------
    list of str
    """
    data = case.data(quick)
    data = data.astype({factor: "category" for factor in case.factors})
    rounds = []
    while not rounds or (len(rounds) < MOST and sum(sum(r.values()) for r in rounds) < BUDGET):
        times, criterion, par = stages(case.formula, data, case.REML)
        rounds.append(times)
    steps = [statistics.median(times[step] for times in rounds) for step in STEPS]
    value, evaluate = median_of(criterion.value, par), median_of(criterion.evaluate, par)
    whole = median_of(lambda: lmer(case.formula, data, REML=case.REML), budget=BUDGET, most=MOST)
    fit = lmer(case.formula, data, REML=case.REML)
    effects = int(sum(len(block) * block.shape[1] for block in fit.ranef().values()))
    times = [seconds(t) for t in (*steps, value, evaluate)]
    return [case.id, f"{len(data):,}", f"{effects:,}", *times, str(fit.optinfo["evaluations"]), seconds(whole)]


def run(options):
    """Measure the chosen cases and write results/floors.md."""
    rows = [measure(case, options.quick) for case in CASES if case.id in options.cases]
    text = "\n".join([
        "# Time of each floor",
        "",
        describe_machine(options.threads),
        "Medians of repeated runs, wall-clock time; grouping factors are pandas categories.",
        "",
        markdown(HEADER, rows),
    ])
    write_table("floors" + options.suffix, text)
