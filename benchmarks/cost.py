"""What cost() foretells against what is measured, and on paper to 10^10 rows.

    python benchmarks/cost.py            the cases nested, growth, crossed and valueadded
    python benchmarks/cost.py --quick

Each case is written to .data/ as Parquet and fitted from there in a process of its own, one thread. Seconds are CPU seconds; memory is the
process's peak beyond what it held after the imports.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
import warnings

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
CASES = ("nested", "growth", "crossed", "valueadded")
# Sizes known beforehand, as a user would state them.
GIVEN = {
    "nested": {"nested": {"class": "school"}}, "growth": {"nested": {"student": "school"}}, "crossed": {}, "valueadded": {"parts": 100},
}
PAPER = [
    ("score ~ x1 + x2 + (1 | school) + (1 | class)", 10, {"class": 2e4, "school": 1e3}, {"class": "school"}),
    ("score ~ year + (1 + year | student) + (1 | school)", 10, {"student": None, "school": 2e3}, {"student": "school"}),
]


def written(name, quick):
    """The Parquet file of a case."""
    from benchmarks.cases import CASES as EVERY

    case = next(case for case in EVERY if case.id == name)
    path = FOLDER / ".data" / f"cost_{name}{'_quick' if quick else ''}.parquet"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        case.data(quick).to_parquet(path, index=False, row_group_size=1_000_000)
    return case, path


def measured(name, quick):
    """Seconds of a pass and of an evaluation, MB, and what cost() says of the same model."""
    from benchmarks.versus.stopwatch import memory_mb, reset_peak
    from fastlmm_hlm import cost, datasets, lmer, lmerControl
    from fastlmm_hlm.ingest.passes import run_passes
    from fastlmm_hlm.ingest.request import Request
    from fastlmm_hlm.ingest.source import open_source

    case, path = written(name, quick)
    warnings.simplefilter("ignore")
    # the kernels and readers once, so that loading them is not counted
    lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    next(open_source(str(path)).blocks(case.formula.split(" ~")[:1], 1000))
    base = reset_peak()
    fit = lmer(case.formula, str(path), control=lmerControl(threads=1, check_conv_singular="ignore"))
    peak = memory_mb("VmHWM") - base
    began = time.process_time()
    run_passes(open_source(str(path)), Request(case.formula))
    reading = time.process_time() - began
    criterion, par = fit._criterion, fit._criterion.start()
    times = []
    for _ in range(3):
        began = time.process_time()
        criterion.evaluate(par)
        times.append(time.process_time() - began)
    evaluation = sorted(times)[1]
    levels = fit.ngrps.to_dict() if hasattr(fit.ngrps, "to_dict") else dict(fit.ngrps())
    given = cost(case.formula, {"rows": int(fit.nobs), "levels": levels, **GIVEN[name]})
    seen = cost(case.formula, str(path))
    return {
        "rows": int(fit.nobs), "pass": reading, "evaluation": evaluation, "memory": peak * 2**20,
        **{f"{label}_{what}": getattr(made, "seconds")[what] if what != "memory" else made.memory["total"]
           for label, made in (("given", given), ("seen", seen)) for what in ("pass", "evaluation", "memory")},
    }


def paper():
    """The table to 10^10 rows."""
    from fastlmm_hlm import cost

    rows = []
    for formula, most, levels, nested in PAPER:
        for power in range(6, most + 1):
            n = 10**power
            own = {name: count if count else n / 5 for name, count in levels.items()}
            made = cost(formula, {"rows": n, "levels": own, "nested": nested})
            rows.append([f"`{formula}`".replace("|", "\\|"), f"{n:.0e}", f"{sum(own.values()):,.0f}", f"{made.memory['total'] / 1e9:,.2f}", f"{made.seconds['pass']:,.1f}", f"{made.seconds['evaluation']:,.2g}"])
    return rows


def main():
    from benchmarks.machine import describe_machine
    from benchmarks.tables import markdown, write_table
    from benchmarks.versus.process import thread_environment

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options.quick)))
        return
    rows = []
    for name in CASES:
        written(name, options.quick)
        run = subprocess.run([sys.executable, __file__, "--one", name, *(["--quick"] if options.quick else [])], capture_output=True, text=True,
                             check=True, env=thread_environment(1) | {"PATH": "/usr/bin:/bin"})
        m = json.loads(run.stdout)
        rows.append([name, f"{m['rows']:,}"])
        for what, unit in (("pass", 1), ("evaluation", 1), ("memory", 1e6)):
            rows[-1] += [f"{m[what] / unit:,.3g}", f"{m[f'given_{what}'] / m[what]:.2f}", f"{m[f'seen_{what}'] / m[what]:.2f}"]
    header = ["case", "rows", "pass, s", "given", "seen", "evaluation, s", "given", "seen", "memory, MB", "given", "seen"]
    text = "\n".join([
        "# What a fit costs", "", describe_machine(1), "Measured, and the estimate of `cost()` as a multiple of it: `given` from numbers of rows and levels, `seen` from the file.",
        "", markdown(header, rows), "", "On paper:", "", markdown(["formula", "rows", "levels", "memory, GB", "pass, s", "evaluation, s"], paper()),
    ])
    write_table("cost" + ("_quick" if options.quick else ""), text)


if __name__ == "__main__":
    main()
