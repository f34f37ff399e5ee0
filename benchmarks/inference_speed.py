"""Profile likelihood and bootstrap of sleepstudy against lme4.

    python benchmarks/inference_speed.py [--repeats 5] [--nsim 1000]

Both on one core, each in its own process.  lme4 runs as an R user would at best:
parallel = "no", refits by its own refit path.  CPU seconds, the best of the repeats.
"""

import argparse
import json
import os
import subprocess
import sys
import time

FORMULA = "Reaction ~ Days + (Days | Subject)"
TASKS = ("profile", "confint, profile", "bootMer, fixef", "confint, boot")
R_PROGRAM = """
suppressMessages(library(lme4))
n <- as.integer(commandArgs(TRUE)[1]); repeats <- as.integer(commandArgs(TRUE)[2])
fit <- lmer({formula}, sleepstudy)
best <- function(what) min(sapply(seq_len(repeats), function(i) sum(system.time(suppressMessages(suppressWarnings(what())))[1:2])))
times <- list(best(function() profile(fit)), best(function() confint(fit)),
              best(function() bootMer(fit, fixef, nsim = n, parallel = "no")) * {scale},
              best(function() confint(fit, method = "boot", nsim = n, parallel = "no")) * {scale})
cat(sprintf("%.5f", unlist(times)), "\\n")
"""
# lme4 is measured on this share of the replicates.
SHARE = 10


def best_of(function, repeats):
    """Least CPU time of one call, seconds."""
    out = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        out.append(time.process_time() - began)
    return min(out)


def ours(nsim, repeats):
    from fastlmm_hlm import bootMer, confint, datasets, fixef, lmer, profile

    fit = lmer(FORMULA, datasets.load("sleepstudy"))
    tasks = (
        lambda: profile(fit),
        lambda: confint(fit),
        lambda: bootMer(fit, fixef, nsim=nsim, seed=1),
        lambda: confint(fit, method="boot", nsim=nsim, seed=1),
    )
    for task in tasks:
        task()
    return [best_of(task, repeats) for task in tasks]


def theirs(nsim, repeats):
    program = R_PROGRAM.format(formula=FORMULA, scale=SHARE)
    run = subprocess.run(["Rscript", "-e", program, str(nsim // SHARE), str(repeats)], capture_output=True, text=True, check=True)
    return [float(word) for word in run.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--nsim", type=int, default=1000)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.nsim, options.repeats)))
        return
    command = [sys.executable, __file__, "--ours", "--nsim", str(options.nsim), "--repeats", str(options.repeats)]
    mine = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    lme4 = theirs(options.nsim, options.repeats)
    print(f"{FORMULA}, sleepstudy; bootstrap of {options.nsim} replicates; CPU seconds, best of {options.repeats}")
    print(f"{'':>18}  {'fastlmm_hlm':>11}  {'lme4':>8}  {'ratio':>6}")
    for task, a, b in zip(TASKS, mine, lme4):
        print(f"{task:>18}  {a:>11.3f}  {b:>8.2f}  {b / a:>6.1f}")


if __name__ == "__main__":
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    main()
