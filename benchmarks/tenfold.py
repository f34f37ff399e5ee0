"""Ten million rows: the case `nested` ten times as large, its time and memory."""

import statistics

from benchmarks.cases import BY_ID
from benchmarks.machine import describe_machine
from benchmarks.stages import timed
from benchmarks.tables import markdown, seconds, write_table
from benchmarks.versus.stopwatch import memory_mb, reset_peak
from fastlmm_hlm import lmer

CASE = BY_ID["nested"]
FULL = {"n": 10_000_000, "classes": 200_000, "schools": 10_000}
QUICK = {"n": 500_000, "classes": 10_000, "schools": 500}
REPEATS = 3


def run(options):
    """Write results/tenfold.md."""
    data = CASE.make(**(QUICK if options.quick else FULL))
    data = data.astype({factor: "category" for factor in CASE.factors})
    frame_mb = data.memory_usage(deep=True).sum() / 2**20
    base = reset_peak()
    times, peaks = [], []
    for _ in range(REPEATS):
        used, fit = timed(lmer, CASE.formula, data)
        times.append(used)
        peaks.append(memory_mb("VmHWM") - base)
    text = "\n".join([
        "# Ten million rows",
        "",
        describe_machine(options.threads),
        (f"`{CASE.formula}`; the median of {REPEATS} fits; memory is the peak of the first fit beyond what the process "
        "held with the data loaded."),
        "",
        markdown(
            ["rows", "classes", "schools", "lmer()", "evaluations", "data frame, MB", "peak beyond it, MB"],
            [[f"{len(data):,}", *(f"{data[g].nunique():,}" for g in ("class", "school")), seconds(statistics.median(times)),
              str(fit.optinfo["evaluations"]), f"{frame_mb:,.0f}", f"{peaks[0]:,.0f}"]],
        ),
    ])
    write_table("tenfold" + options.suffix, text)
