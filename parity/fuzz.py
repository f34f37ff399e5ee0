"""Draw models and data at random, fit them here and in lme4, and shrink what disagrees.

    python -m parity.fuzz --number 200 --seed 1
    python -m parity.fuzz --seed 1 --only 17        draw 17 alone, with its data written to a folder

Exit code 0 if no draw fails: our criterion is never above the best that is found with lme4's own deviance function by
more than 1e-6, and every other difference is within its tolerance or explained by a flat criterion.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import sys
import tempfile
import time

from parity import compare, lme4_live
from parity.cases import FOLDER
from parity.designs import draw
from parity.run import Outcome, outcome

# A direction of theta in which the criterion rises by less than this per unit is not determined to the digits compared.
FLAT = 1e-3
# With gradients good to 1e-6 and curvatures of 1 to 100, estimates of two optimizers agree to this; and lme4's deviance
# function rounds to this at a column of 1e5 that is not centred.
ROUNDING = {"VarCorr": 1e-5, "fixef": 1e-5, "vcov": 1e-5, "se": 1e-5, "theta": 1e-5, "sigma": 1e-5, "VarCorr, default fit": 1e-3}
ROUNDING_AT = 1e-7
# Gradient of lme4's deviance function, in whitened coordinates, from which on the reference is no minimum.
UNFINISHED_GRADIENT = 1e-4
MOST_SHRINKS = 60
COMPARED = ("criterion", "fixef", "se", "VarCorr", "theta", "ranef", "condsd", "fitted")
STORED = FOLDER / "fuzz.json"
AGREE, BETTER, FLAT_KIND, DIGITS, UNITS, UNFINISHED, BOTH_REFUSE, ONLY_HERE, FAILED = (
    "agree", "lower than all of lme4's optimizers", "explained: flat criterion", "explained: last digits",
    "explained: lme4's isSingular depends on units", "explained: the search in R did not reach its minimum",
    "both refuse", "only lme4 refuses", "FAILED")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of one draw.

    Attributes
    ----------
    draw : Draw
    kind : str
    outcome : Outcome or None
        None if lme4 refused.
    words : str
        What was found, for people.
    """

    draw: object
    kind: str
    outcome: Outcome | None
    words: str = ""


def judge(drawn, reference_of=lme4_live.reference):
    """Fit one draw on both sides and say what came of it.

    Parameters
    ----------
    drawn : Draw
    reference_of : callable
        From a case to lme4's answers.

    Returns
    -------
    Verdict
    """
    with tempfile.TemporaryDirectory() as folder:
        case = drawn.written(pathlib.Path(folder))
        try:
            result = outcome(case, reference_of)
        except lme4_live.NoLme4Error:
            raise
        except Exception as refusal:            # an error of R, as rpy2 raises it
            return _refused(drawn, case, f"{refusal}".strip().replace("\n", " "))
        curvature = _curvature(case) if result.failures else None
    if result.problem is not None:
        return Verdict(drawn, FAILED, result, f"only we refuse: {result.problem}")
    if not result.failures:
        return Verdict(drawn, BETTER if result.better else AGREE, result)
    words = "; ".join(f"{row.quantity} differs by {row.difference:.2e}, allowed {row.tolerance:.0e}" for row in result.failures)
    criterion = result.difference("criterion")
    if result.difference("criterion") < 0 and result.reference["gradient_norm"] > UNFINISHED_GRADIENT:
        return Verdict(drawn, UNFINISHED, result,
                       f"ours is lower by {-result.difference('criterion'):.1e}, the gradient there {result.reference['gradient_norm']:.0e}; {words}")
    if {row.quantity for row in result.failures} == {"isSingular"}:
        return Verdict(drawn, UNITS, result, "the smallest deviation is on either side of 1e-4 by column and by standardized column")
    if all(row.difference <= _allowed(row) for row in result.failures):
        return Verdict(drawn, DIGITS, result, words)
    if criterion <= compare.CRITERION and curvature is not None and curvature < FLAT:
        return Verdict(drawn, FLAT_KIND, result, f"{words}; smallest curvature {curvature:.1e}, criteria differ by {criterion:.1e}")
    return Verdict(drawn, FAILED, result, words)


def _allowed(row):
    """How much a row may differ for reasons of rounding alone."""
    return ROUNDING_AT if row.quantity.startswith("criterion at theta") else ROUNDING.get(row.quantity, 0.0)


def _refused(drawn, case, theirs):
    """The verdict where lme4 refused."""
    from parity.ours import answers

    try:
        answers(case, {"at": []})
    except ValueError as ours:
        return Verdict(drawn, BOTH_REFUSE, None, f"lme4: {theirs} -- here: {ours}")
    except Exception as ours:
        return Verdict(drawn, FAILED, None, f"lme4: {theirs} -- here {type(ours).__name__}: {ours}")
    return Verdict(drawn, ONLY_HERE, None, f"lme4: {theirs}")


def _curvature(case):
    """The smallest eigenvalue of the criterion's Hessian at our optimum."""
    import warnings

    import fastlmm_hlm as flmm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flmm.lmer(case.formula, data=case.frame(), **case.arguments()).optinfo["min_eigenvalue"]


def shrink(verdict, reference_of=lme4_live.reference, most=MOST_SHRINKS):
    """The smallest draw that fails as this one does, by leaving out one thing after the other.

    Parameters
    ----------
    verdict : Verdict
        One that failed.
    most : int
        Draws to try at most.

    Returns
    -------
    Verdict
    """
    tried, moved = 0, True
    while moved and tried < most:
        moved = False
        for smaller in verdict.draw.smaller():
            tried += 1
            found = judge(smaller, reference_of)
            if found.kind == FAILED:
                verdict, moved = found, True
                break
            if tried >= most:
                break
    return verdict


def description(verdict):
    """A draw and what was found, in a few lines."""
    d = verdict.draw
    options = {name: getattr(d, name) for name in ("weights", "offset", "subset", "contrasts")}
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    lines = [f"seed {d.seed[0]} draw {d.seed[1]}: {verdict.kind}", f"    lmer({d.formula!r}, REML={d.REML}{given})"
             + ("  with gaps" if d.missing else "") + (f"  first {d.share:.3g} of the rows" if d.share < 1 else "")]
    return "\n".join([*lines, *([f"    {verdict.words}"] if verdict.words else [])])


def record(verdict):
    """A verdict in types that JSON has, for the report.

    Returns
    -------
    dict
        number, formula, kind, words; differences by quantity where both sides fitted the same
        optimum; lower_than_default and lower_than_all: whether lme4 stops above.
    """
    fitted = verdict.outcome is not None and verdict.outcome.answers is not None
    compared = fitted and verdict.kind in (AGREE, BETTER)
    return {
        "number": verdict.draw.seed[1], "formula": verdict.draw.formula, "kind": verdict.kind, "words": " ".join(verdict.words.split()),
        "differences": {q: verdict.outcome.difference(q) for q in COMPARED} if compared else {},
        "lower_than_default": fitted and verdict.outcome.better_than_default, "lower_than_all": fitted and verdict.outcome.better,
    }


def summary(records):
    """Counts and worst differences, text."""
    counts = collections.Counter(r["kind"] for r in records)
    lines = [f"{len(records)} designs: " + ", ".join(f"{n} {kind}" for kind, n in counts.most_common())]
    for quantity in COMPARED:
        found = [(r["differences"][quantity], r["number"]) for r in records if r["differences"].get(quantity) is not None]
        if found:
            lines.append(f"  worst {quantity:10} {max(found)[0]:10.2e}  (draw {max(found)[1]})")
    lines.append(f"  lme4's default stops above our optimum by more than {compare.CRITERION:g}: "
                 f"{sum(r['lower_than_default'] for r in records)}; all of its optimizers that were tried: "
                 f"{sum(r['lower_than_all'] for r in records)}")
    return "\n".join(lines)


def run(number, seed, only=None, verbose=True):
    """Judge draws one after the other; what is not plain agreement is printed as it comes.

    Returns
    -------
    list of Verdict
    """
    verdicts = []
    for k in range(number) if only is None else [only]:
        verdict = judge(draw(seed, k))
        verdicts.append(verdict)
        if verbose and verdict.kind != AGREE:
            print(description(verdict), flush=True)
        if verdict.kind == FAILED:
            small = shrink(verdict)
            if verbose and small is not verdict:
                print("  as small as it gets:\n" + description(small), flush=True)
    return verdicts


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m parity.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=200, metavar="N", help="designs to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--only", type=int, metavar="K", help="draw K alone, and write its data to --folder")
    parser.add_argument("--store", action="store_true", help=f"write the outcome to {STORED.name}, for the report")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("fuzz_draw"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        lme4_live.session()
    except lme4_live.NoLme4Error as problem:
        print(problem, file=sys.stderr)
        return 2
    began = time.perf_counter()
    verdicts = run(options.number, options.seed, options.only)
    if options.only is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        draw(options.seed, options.only).written(options.folder)
        print(description(verdicts[0]))
        print(f"the data are in {options.folder}/drawn.csv")
    records = [record(verdict) for verdict in verdicts]
    if options.store:
        lines = ",\n".join(json.dumps(r) for r in records)
        STORED.write_text(f'{{"seed": {options.seed}, "designs": [\n{lines}\n]}}\n')
    print(f"{summary(records)}\n  {time.perf_counter() - began:.0f} s")
    return int(any(verdict.kind == FAILED for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
