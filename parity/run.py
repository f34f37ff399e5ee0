"""Compare fastlmm_hlm with lme4 on every case and print one table.

    python -m parity.run                 lme4 now, through rpy2
    python -m parity.run --stored        lme4 as stored in parity/reference
    python -m parity.run ID ...          some cases only
"""

import argparse
import dataclasses
import statistics
import sys
import warnings

from parity import compare, lme4_live, ours
from parity.cases import all_cases

COLUMNS = ("criterion", "fixef", "se", "VarCorr", "theta", "ranef", "condsd", "fitted")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one case; `problem` is the message if it could not be fitted."""

    case: object
    rows: tuple = dataclasses.field(default=(), repr=False)
    answers: dict | None = dataclasses.field(default=None, repr=False)
    reference: dict | None = dataclasses.field(default=None, repr=False)
    problem: str | None = None

    @property
    def failures(self):
        return [row for row in self.rows if not row.ok]

    @property
    def ok(self):
        return self.problem is None and not self.failures

    @property
    def better(self):
        """True if lme4's own optimizers, all of them, stop above our optimum."""
        return self._lower_than("lme4_criterion")

    @property
    def better_than_default(self):
        """True if the fit that `lmer` gives without further arguments stops above our optimum."""
        return self._lower_than("default", "criterion")

    def _lower_than(self, *path):
        if self.answers is None:
            return False
        theirs = self.reference
        for name in path:
            theirs = theirs[name]
        return self.answers["criterion"] < theirs - compare.CRITERION

    def difference(self, quantity):
        """The difference of one quantity, or None if it was not compared."""
        return next((row.difference for row in self.rows if row.quantity == quantity), None)


def outcome(case, reference_of):
    """Fit one case on both sides and compare.

    Parameters
    ----------
    case : Case
    reference_of : callable
        From a case to lme4's answers.

    Returns
    -------
    Outcome
    """
    reference = reference_of(case)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = ours.answers(case, reference)
    except Exception as problem:
        return Outcome(case, reference=reference, problem=f"{type(problem).__name__}: {problem}")
    return Outcome(case, tuple(compare.compare(answers, reference, case.identified)), answers, reference)


def table_header():
    return f"{'case':42}" + "".join(f"{name:>11}" for name in COLUMNS) + f"{'evaluations':>12}{'seconds':>9}"


def table_line(result):
    """One line of the table, and one more line per failure."""
    if result.problem is not None:
        return f"{result.case.id:42} FAILED  {result.problem}"
    cells = "".join(_cell(result.difference(name)) for name in COLUMNS)
    line = f"{result.case.id:42}{cells}{result.answers['evaluations']:12}{result.answers['seconds']:9.3f}"
    notes = []
    if result.better:
        notes.append(
            f"better: ours {result.answers['criterion']:.6f}, best of lme4's optimizers that were tried {result.reference['lme4_criterion']:.6f}"
        )
    notes += [f"FAILED: {row.quantity} differs by {row.difference:.2e}, allowed {row.tolerance:.0e}" for row in result.failures]
    return "\n".join([line, *(f"    {note}" for note in notes)])


def closing_summary(results):
    """Counts, the worst difference of each quantity with its case, and evaluations."""
    fitted = [result for result in results if result.answers is not None]
    failed = [result for result in results if not result.ok]
    lines = [f"{len(results)} cases, {len(results) - len(failed)} agree, {len(failed)} fail"]
    if failed:
        lines.append("failing: " + ", ".join(result.case.id for result in failed))
    quantities = dict.fromkeys(row.quantity for result in fitted for row in result.rows)
    for quantity in quantities:
        found = [(result.difference(quantity), result.case.id) for result in fitted if result.difference(quantity) is not None]
        difference, name = max(found)
        tolerance = next(row.tolerance for result in fitted for row in result.rows if row.quantity == quantity)
        lines.append(f"  worst {quantity:28} {difference:10.2e}  allowed {tolerance:7.0e}  ({name})")
    if fitted:
        evaluations = [result.answers["evaluations"] for result in fitted]
        theirs = [result.reference["default"]["evaluations"] for result in fitted]
        lines += [
            f"our optimum is lower than lme4's default by more than {compare.CRITERION:g}: "
            f"{sum(result.better_than_default for result in fitted)} cases; "
            f"lower than all of lme4's optimizers that were tried: {sum(result.better for result in fitted)}",
            f"evaluations: ours median {statistics.median(evaluations):g}, most {max(evaluations)}; "
            f"lme4's default median {statistics.median(theirs):g}, most {max(theirs)}",
        ]
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m parity.run", description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", help="cases to run; all of them if none is named")
    parser.add_argument("--stored", action="store_true", help="compare with the stored answers; R is not needed")
    options = parser.parse_args(arguments)
    cases = all_cases()
    unknown = set(options.ids) - {case.id for case in cases}
    if unknown:
        parser.error(f"no case is called {', '.join(sorted(unknown))}; the ids are in parity/cases.toml")
    reference_of = (lambda case: case.reference()) if options.stored else lme4_live.reference
    print(table_header(), flush=True)
    results = []
    for case in cases:
        if not options.ids or case.id in options.ids:
            results.append(outcome(case, reference_of))
            print(table_line(results[-1]), flush=True)
    print(closing_summary(results))
    return 0 if all(result.ok for result in results) else 1


def _cell(difference):
    return f"{'-':>11}" if difference is None else f"{difference:11.1e}"


if __name__ == "__main__":
    sys.exit(main())
