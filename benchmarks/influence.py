"""Influence of the schools of Hsb82: 160 deletions, each refitted, against lme4's influence(fit, "school").

    python benchmarks/influence.py [--repeats 5] [--lme4-repeats 1]

Both on one core, each in its own process, the fit made before the clock starts.  lme4 runs
as an R user would at best: ncores = 1, the optimizer and tolerances of influence() itself, which
takes no others; its tight variant (nloptwrap's tolerances 1e-11) is in the second line.  CPU and
wall seconds, medians of the repeats.  Every answer is compared with a fit by lmer() of the rows left, data frame and
all: the largest distance of a fixed effect in standard errors, and of a standard deviation of the
random effects relative to the largest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

FORMULAS = (
    "mAch ~ cses + (cses | school)",
    "mAch ~ meanses * cses + sector * cses + (1 + cses | school)",
)
R_PROGRAM = """
suppressMessages({library(lme4); library(jsonlite)})
arguments <- commandArgs(TRUE)
data <- read.csv(arguments[1], stringsAsFactors = TRUE)
data$school <- factor(data$school)
data$sector <- factor(data$sector, levels = c("Public", "Catholic"))
if (arguments[4] == "tight") assign("defaultControl", list(algorithm = "NLOPT_LN_BOBYQA", xtol_abs = 1e-11, ftol_abs = 1e-13,
    maxeval = 1e5), envir = environment(nloptwrap))
fit <- suppressWarnings(eval(substitute(lmer(f, data), list(f = as.formula(arguments[2])))))
times <- sapply(seq_len(as.integer(arguments[3])), function(i) {
    t <- system.time(measured <<- influence(fit, "school"))
    c(t[[1]] + t[[2]], t[[3]])
})
cat(toJSON(list(cpu = times[1, ], wall = times[2, ], deleted = as.character(measured$deleted), fixef = unname(measured[[2]]),
                varcorr = unname(measured[[4]])), digits = 15))
"""


def ours(formula, repeats):
    """Times and estimates of this package."""
    from fastlmm_hlm import datasets, influence, lmer

    fit = lmer(formula, datasets.load("Hsb82"))
    influence(fit, "school")
    cpu, wall = [], []
    for _ in range(repeats):
        at, began = time.process_time(), time.perf_counter()
        made = influence(fit, "school")
        cpu.append(time.process_time() - at)
        wall.append(time.perf_counter() - began)
    return {"cpu": cpu, "wall": wall, "deleted": [str(label) for label in made.deleted], "fixef": made.fixef.to_numpy().tolist(),
            "varcorr": made.varcorr.to_numpy().tolist()}


def theirs(formula, repeats, how):
    """Times and estimates of lme4."""
    from fastlmm_hlm import datasets

    command = ["Rscript", "-e", R_PROGRAM, str(datasets.FOLDER / "Hsb82.csv"), formula, str(repeats), how]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def fits_without(formula):
    """School -> fixed effects, standard errors, standard deviations of a fit by lmer() of the other schools."""
    import numpy as np

    from fastlmm_hlm import datasets, lmer

    data, out = datasets.load("Hsb82"), {}
    for school in data["school"].unique():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = lmer(formula, data[data["school"] != school])
        V = next(iter(fit.VarCorr().values())).to_numpy()
        out[str(school)] = fit.fixef().to_numpy(), fit.bse.to_numpy(), np.array([fit.sigma() ** 2, V[0, 0], V[1, 0], V[1, 1]])
    return out


def distances(answer, wanted):
    """How far an answer lies from the fits of the rows left."""
    import numpy as np

    fixed = variances = 0.0
    for school, fixef, varcorr in zip(answer["deleted"], answer["fixef"], answer["varcorr"]):
        beta, se, components = wanted[school]
        fixed = max(fixed, float(np.abs((np.array(fixef) - beta) / se).max()))
        variances = max(variances, float(np.abs(np.array(varcorr) - components).max() / components[1:].max()))
    return fixed, variances


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lme4-repeats", type=int, default=1)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.ours, options.repeats)))
        return
    for formula in FORMULAS:
        command = [sys.executable, __file__, "--ours", formula, "--repeats", str(options.repeats)]
        answers = {"fastlmm_hlm": json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)}
        for how in ("default", "tight"):
            answers[f"lme4, {how}"] = theirs(formula, options.lme4_repeats, how)
        wanted = fits_without(formula)
        mine = statistics.median(answers["fastlmm_hlm"]["cpu"]), statistics.median(answers["fastlmm_hlm"]["wall"])
        print(f"{formula}, Hsb82: 160 schools left out one at a time")
        print(f"{'':>14}  {'CPU s':>8}  {'wall s':>8}  {'CPU ratio':>9}  {'wall ratio':>10}  {'fixed, se':>9}  {'variances':>9}")
        for name, answer in answers.items():
            cpu, wall = statistics.median(answer["cpu"]), statistics.median(answer["wall"])
            fixed, variances = distances(answer, wanted)
            ratios = f"{cpu / mine[0]:>9.1f}  {wall / mine[1]:>10.1f}"
            print(f"{name:>14}  {cpu:>8.3f}  {wall:>8.3f}  {ratios}  {fixed:>9.1e}  {variances:>9.1e}")
        print()


if __name__ == "__main__":
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    main()
