"""parity/REPORT.md: what was compared with lme4, in one page for people.

    python -m parity.report             every case of cases.toml against lme4 now
    python -m parity.report --stored    against the stored answers; needs no R

The random designs of the page are those that `make parity-fuzz` stored last.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import sys

from parity import compare, fuzz, lme4_live
from parity.cases import FOLDER, all_cases
from parity.run import closing_summary, outcome, table_header, table_line

PAGE = FOLDER / "REPORT.md"
QUANTITIES = {
    "criterion": "REML criterion or deviance, ours minus the best found with lme4's deviance function",
    "fixef": "fixed effects, relative (to their standard error where that is larger)",
    "se": "their standard errors, relative",
    "vcov": "their covariances, in units of the standard errors",
    "VarCorr": "variances and covariances, relative",
    "VarCorr, default fit": "the same against lme4's default fit, where that has converged",
    "sigma": "residual standard deviation, relative",
    "theta": "theta, relative to its row",
    "ranef": "conditional modes, relative to the root mean square of their column",
    "condsd": "their standard deviations, likewise",
    "fitted": "fitted values, in units of sigma",
    "residuals": "residuals, in units of sigma",
    "logLik": "log-likelihood",
}
NOT_SUPPORTED = (
    ("`glmer`, `glmer.nb`, `nlmer`", "generalized and nonlinear models"),
    ("formulas with functions of the user's own", "make the column first"),
    ("`lmer(..., devFunOnly = TRUE)` before fitting", "`fit.devfun()` of a fit"),
)


def page(results, records, seed, versions, today):
    """The page, text.

    Parameters
    ----------
    results : list of Outcome
        Of the cases.
    records : list of dict
        Of the random designs, as `fuzz.record` makes them; may be empty.
    seed : int
        Theirs.
    versions : str
    today : str
    """
    lines = ["# Parity with lme4", "", f"Written by `python -m parity.report` on {today}; {versions}.", ""]
    lines += _cases(results)
    if records:
        lines += _designs(records, seed)
    lines += ["## Not supported yet", "", "| lme4 | |", "|---|---|", *(f"| {what} | {why} |" for what, why in NOT_SUPPORTED), ""]
    return "\n".join(lines)


def _cases(results):
    failed = [result for result in results if not result.ok]
    fitted = [result for result in results if result.answers is not None]
    lines = [f"## {len(results)} cases: {len(results) - len(failed)} agree, {len(failed)} fail", "",
             "| quantity | worst difference | allowed | case |", "|---|---:|---:|---|"]
    for name, meaning in QUANTITIES.items():
        found = [(row.difference, row.tolerance, r.case.id) for r in fitted for row in r.rows if row.quantity == name]
        if found:
            worst, allowed, case = max(found)
            lines.append(f"| {meaning} | {worst:.1e} | {allowed:.0e} | {case} |")
    evaluations = [r.answers["evaluations"] for r in fitted]
    theirs = [r.reference["default"]["evaluations"] for r in fitted]
    lines += ["", f"Evaluations of the criterion: ours median {statistics.median(evaluations):g}, most {max(evaluations)}; lme4's default "
              f"median {statistics.median(theirs):g}, most {max(theirs)}.", ""]
    if failed:
        lines += ["### Cases that fail", "", *(f"- {r.case.id}: {r.problem or _words(r)}" for r in failed), ""]
    better = [r for r in fitted if r.better_than_default]
    lines += ["### Where lme4 stops above our optimum", "",
              f"By more than {compare.CRITERION:g}. The last column is the lowest of lme4's own optimizers with tight tolerances.", "",
              "| case | ours | lme4's default | its best |", "|---|---:|---:|---:|"]
    for r in sorted(better, key=lambda r: r.answers["criterion"] - r.reference["default"]["criterion"]):
        ours = r.answers["criterion"]
        lines.append(f"| {r.case.id} | {ours:.6f} | +{r.reference['default']['criterion'] - ours:.2e} "
                     f"| {r.reference['lme4_criterion'] - ours:+.1e} |")
    said = [(r.case.id, " ".join(message.split())) for r in fitted for message in r.reference["default"]["messages"]
            if "failed to converge" in message or "nearly unidentifiable" in message]
    if said:
        lines += ["", "### Where lme4 warns and the optimum is certified", "", *(f"- {case}: {text}" for case, text in said)]
    return [*lines, "", "### All cases", "", "| case | formula | criterion | evaluations | lme4's |", "|---|---|---:|---:|---:|",
            *(f"| {r.case.id} | `{r.case.formula}` | {r.difference('criterion'):+.0e} | {r.answers['evaluations']} "
              f"| {r.reference['default']['evaluations']} |" for r in fitted), ""]


def _designs(records, seed):
    kinds = list(dict.fromkeys(r["kind"] for r in records))
    lines = [f"## {len(records)} random designs", "",
             f"`make parity-fuzz N={len(records)} SEED={seed}`: formulas and data drawn at random (`parity/designs.py`).", "",
             "| outcome | designs |", "|---|---:|", *(f"| {kind} | {sum(r['kind'] == kind for r in records)} |" for kind in kinds), ""]
    lines += ["```text", fuzz.summary(records), "```", ""]
    for kind in kinds:
        if kind not in (fuzz.AGREE, fuzz.BETTER):
            lines += [f"### {kind[0].upper()}{kind[1:]}", ""]
            lines += [f"- draw {r['number']}, `{r['formula']}`: {r['words'][:400]}" for r in records if r["kind"] == kind]
            lines.append("")
    return lines


def _words(result):
    return "; ".join(f"{row.quantity} differs by {row.difference:.2e}, allowed {row.tolerance:.0e}" for row in result.failures)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m parity.report", description=__doc__.splitlines()[0])
    parser.add_argument("--stored", action="store_true", help="the stored answers of lme4 for the cases")
    parser.add_argument("--out", type=pathlib.Path, default=PAGE)
    options = parser.parse_args(arguments)
    reference_of = (lambda case: case.reference()) if options.stored else lme4_live.reference
    print(table_header(), flush=True)
    results = []
    for case in all_cases():
        results.append(outcome(case, reference_of))
        print(table_line(results[-1]), flush=True)
    reference = results[0].reference["versions"]
    versions = f"R {reference['R']}, lme4 {reference['lme4']}, Python {platform.python_version()}"
    drawn = json.loads(fuzz.STORED.read_text()) if fuzz.STORED.exists() else {"designs": [], "seed": 0}
    text = page(results, drawn["designs"], drawn["seed"], versions, datetime.date.today().isoformat())
    partial = options.out.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(options.out)
    print(f"{closing_summary(results)}\nwritten: {options.out}")
    return int(any(not r.ok for r in results))


if __name__ == "__main__":
    sys.exit(main())
