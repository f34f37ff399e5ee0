"""Power of the slope of sleepstudy against lme4 and lmerTest.

    python benchmarks/power.py [--nsim 1000] [--share 10] [--repeats 3]

One core, each side in its own process, CPU seconds.  simr is a loop of simulate(), refit() and a
test; that loop is run here in plain R, on the share of the responses, and multiplied.  Both sides
get the same simulated responses.  Checked: the power that both find, and the p-values of the first
responses, with an optimizer of lme4's that does not stop early.

R's p-values to compare with come from lmer() on each response.  refit() of lme4 1.1-31 is timed, since
it is faster, but for REML fits it minimizes another criterion (devcomp's REML is 1 where it should be
the number of fixed effects, so n - 1 stands for n - p), and its p-values are up to 4 times too large or small.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

FORMULA = "Reaction ~ Days + (Days | Subject)"
SLOPE = 5.0
METHODS = ("z", "lr", "t", "kr")
# Responses whose p-values are compared.
COMPARED = 20
R_PROGRAM = """
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
y <- as.matrix(read.csv(file.path(commandArgs(TRUE)[1], "y.csv"), header = FALSE))
compared <- as.integer(commandArgs(TRUE)[2])
tests <- function(fit, fit_ml, fit_null) list(
  z = function(k) 2 * pnorm(-abs(coef(summary(fit(k)))["Days", "t value"])),
  lr = function(k) anova(fit_null(k), fit_ml(k))[2, 8],
  t = function(k) coef(summary(as_lmerModLmerTest(fit(k))))["Days", 5],
  kr = function(k) coef(summary(as_lmerModLmerTest(fit(k)), ddf = "Kenward-Roger"))["Days", 5]
)
null <- Reaction ~ 1 + (Days | Subject)
by_refit <- function() {
  full <- lme4::lmer(FORMULA, sleepstudy); ml <- update(full, REML = FALSE); m0 <- lme4::lmer(null, sleepstudy, REML = FALSE)
  tests(function(k) refit(full, y[k, ]), function(k) refit(ml, y[k, ]), function(k) refit(m0, y[k, ]))
}
by_lmer <- function(control) {
  one <- function(formula, reml) function(k) {
    d <<- transform(sleepstudy, Reaction = y[k, ])
    eval(bquote(lme4::lmer(.(formula), d, REML = .(reml), control = .(control))), globalenv())
  }
  tests(one(FORMULA, TRUE), one(FORMULA, FALSE), one(null, FALSE))
}
quietly <- function(x) suppressMessages(suppressWarnings(x))
timed <- quietly(by_refit())
tight <- by_lmer(lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5)))
usual <- by_lmer(lmerControl())
out <- list()
for (name in names(timed)) {
  seconds <- sum(system.time(quietly(sapply(seq_len(nrow(y)), timed[[name]])))[1:2])
  out[[name]] <- list(seconds = seconds, p = quietly(sapply(seq_len(nrow(y)), usual[[name]])),
                      tight = quietly(sapply(seq_len(compared), tight[[name]])))
}
cat(toJSON(out, digits = 15, auto_unbox = TRUE))
""".replace("FORMULA", FORMULA)


def model():
    from fastlmm_hlm import datasets, lmer

    return lmer(FORMULA, datasets.load("sleepstudy")).with_parameters(fixef={"Days": SLOPE})


def ours(nsim, repeats, folder):
    """Seconds and p-values of each method; the responses go to a file."""
    import numpy as np

    from fastlmm_hlm import power_sim
    from fastlmm_hlm.inference.simulation import simulate_responses

    fit, out = model(), {}
    np.savetxt(pathlib.Path(folder) / "y_all.csv", simulate_responses(fit, nsim, seed=1), delimiter=",", fmt="%.17g")
    for method in METHODS:
        power_sim(fit, "Days", nsim=20, seed=2, method=method)
        seconds = []
        for _ in range(repeats):
            began = time.process_time()
            made = power_sim(fit, "Days", nsim=nsim, seed=1, method=method)
            seconds.append(time.process_time() - began)
        out[method] = {"seconds": sorted(seconds)[len(seconds) // 2], "p": made.pval.tolist()}
    return out


def theirs(folder):
    run = subprocess.run(["Rscript", "-e", R_PROGRAM, folder, str(COMPARED)], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nsim", type=int, default=1000)
    parser.add_argument("--share", type=int, default=10, help="R does one in so many")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.nsim, options.repeats, options.ours)))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--ours", folder, "--nsim", str(options.nsim), "--repeats", str(options.repeats)]
        mine = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        lines = (pathlib.Path(folder) / "y_all.csv").read_text().splitlines()
        some = max(options.nsim // options.share, COMPARED)
        (pathlib.Path(folder) / "y.csv").write_text("\n".join(lines[:some]) + "\n")
        r = theirs(folder)
    report(mine, r, options.nsim, some)


def report(mine, r, nsim, some):
    """Print the table, and fail if the two sides do not agree."""
    print(f"{FORMULA}, sleepstudy, slope {SLOPE:g}; {nsim} simulations (R: {some}, scaled); CPU seconds")
    print(f"{'test':>4}  {'fastlmm_hlm':>11}  {'R':>8}  {'ratio':>6}  {'power':>6}  {'power, R':>8}  {'p-values differ by':>18}")
    worst = 0.0
    for method in METHODS:
        a, b = mine[method], r[method]
        seconds = b["seconds"] * nsim / some
        apart = max(abs(p - q) / q for p, q in zip(a["p"], b["tight"]))
        same = sum(p < 0.05 for p in a["p"][:some]), sum(p < 0.05 for p in b["p"])
        worst = max(worst, apart)
        print(f"{method:>4}  {a['seconds']:>11.3f}  {seconds:>8.1f}  {seconds / a['seconds']:>6.0f}"
              f"  {same[0] / some:>6.3f}  {same[1] / some:>8.3f}  {apart:>18.1e}")
        error = (same[0] / some * (1 - same[0] / some) / some) ** 0.5
        if abs(same[0] - same[1]) / some > 2 * error:
            raise SystemExit(f"{method}: the powers differ by more than Monte-Carlo error")
    if worst > 2e-5:
        raise SystemExit(f"p-values differ by {worst:.1e}")


if __name__ == "__main__":
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    main()
