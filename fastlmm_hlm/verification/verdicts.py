"""What the differences amount to.

lme4 answers at three points: its default fit, its own fit with tight tolerances, and its own functions at the
theta found here.  The first explains what a user sees, the second what lme4's stopping rule has to do with it, the
third needs no optimizer at all.
"""

import math

from fastlmm_hlm.verification.differences import QUANTITIES, criterion_tolerance

EQUAL, AFTER_REFIT, OURS_LOWER, DIFFERENT = "equal", "equal_after_refit", "ours_lower", "different"
REFUSED_HERE, REFUSED_BY_R, REFUSED_BY_BOTH = "refused_here", "refused_by_r", "refused_by_both"
NOT_COMPARED = "not_compared"
OK = (EQUAL, AFTER_REFIT, OURS_LOWER)
EXIT_CODES = {EQUAL: 0, AFTER_REFIT: 0, OURS_LOWER: 0, DIFFERENT: 1, REFUSED_HERE: 1, REFUSED_BY_R: 4, REFUSED_BY_BOTH: 4}
SAME_CRITERION = ("criterion", "logLik", "AIC", "BIC")
POINTS = ("default", "refit", "at_ours")
# lme4's warnings that the optimum was not reached, or is none.
CONVERGENCE_WORDS = ("failed to converge", "nearly unidentifiable", "numerically singular", "scaled gradient", "convergence code", "negative eigenvalue")
FALSE, RIGHT, OTHER = "false", "right", "not judged"


def table_rows(found, tolerances, criterion, excused):
    """One row per quantity.

    Parameters
    ----------
    found : dict of str to dict
        Point -> differences; None for a point that was not reached.
    tolerances : dict of str to float
    criterion : float
        Ours.
    excused : dict of str to str
        Quantities that are not judged where they differ, with the reason.

    Returns
    -------
    list of dict
        quantity, default, refit, at_ours, tolerance, scale, status, mismatch (names or levels do not match,
        so there is no difference to give), note.
    """
    rows = []
    for quantity, (_, scale) in QUANTITIES.items():
        tolerance = tolerances[quantity]
        if quantity in SAME_CRITERION:
            tolerance = max(tolerance, criterion_tolerance(tolerances, criterion) if tolerance else 0.0)
        row = {"quantity": quantity} | {point: None if found[point] is None else found[point][quantity] for point in POINTS}
        within = {point: value is not None and abs(value) <= tolerance for point, value in row.items() if point in POINTS}
        known = any(row[point] is not None and not math.isnan(row[point]) for point in POINTS)
        status = next((name for name, point in zip(OK, POINTS, strict=True) if within[point]), DIFFERENT)
        note = excused.get(quantity)
        if status in (EQUAL, AFTER_REFIT):
            note = None
        elif note or not known:
            status = NOT_COMPARED
        mismatch = any(value is not None and math.isinf(value) for point, value in row.items() if point in POINTS)
        rows.append(row | {"tolerance": tolerance, "scale": scale, "status": status, "mismatch": mismatch, "note": note})
    return rows


def all_within(rows, point):
    """Whether every quantity that is judged agrees at one of lme4's points."""
    judged = [row for row in rows if row["status"] != NOT_COMPARED]
    return bool(judged) and all(
        row[point] is not None and (math.isnan(row[point]) or abs(row[point]) <= row["tolerance"]) for row in judged
    )


def judge(rows, lowest):
    """The verdict and its sentence.

    Parameters
    ----------
    rows : list of dict
        Of `table_rows`.
    lowest : float
        The lowest criterion that any search of lme4 reached, minus ours.

    Returns
    -------
    (str, str)
    """
    criterion = rows[0]
    tolerance = criterion["tolerance"]
    if lowest < -tolerance:
        return DIFFERENT, f"lme4 reached a criterion that is lower by {-lowest:.3g}: the fit made here is not at the optimum."
    if all_within(rows, "default"):
        return EQUAL, "Every quantity agrees with lme4's fit as it is."
    if all_within(rows, "refit"):
        return AFTER_REFIT, (f"Every quantity agrees once lme4's optimizer is run on to tight tolerances; its default fit "
                             f"stops {max(-criterion['default'], 0.0):.2g} above in the criterion.")
    if lowest > tolerance and all_within(rows, "at_ours"):
        return OURS_LOWER, (f"The optimum found here is lower: lme4's default fit stops {-criterion['default']:.3g} above it, the best of its "
                            f"optimizers with tight tolerances {lowest:.3g} above. At the theta found here lme4's own functions give "
                            "the same criterion and every other number that is judged.")
    failed = ", ".join(row["quantity"] for row in rows if row["status"] not in (NOT_COMPARED, EQUAL, AFTER_REFIT))
    if is_flat(rows, lowest):
        return DIFFERENT, (f"The criterion is the same and {failed} differ: the likelihood is flat there. At the theta found here lme4's own "
                           "functions give the numbers found here.")
    return DIFFERENT, f"Not equal: {failed or 'some quantities at one of the points'}."


def is_flat(rows, lowest):
    """Whether other estimates than ours have the same criterion, by lme4's own functions at both."""
    return abs(lowest) <= rows[0]["tolerance"] and all_within(rows, "at_ours") and not all_within(rows, "refit")


def close_statuses(rows, verdict):
    """Statuses that go with the verdict: agreement at our own theta alone counts only where ours is lower."""
    for row in rows:
        if row["status"] == OURS_LOWER and verdict != OURS_LOWER:
            row["status"] = DIFFERENT
    return rows


def judged_warnings(words, default_gap, tolerance, ours_singular, ours_converged, flat):
    """What to think of each of lme4's warnings.

    Parameters
    ----------
    words : list of str
    default_gap : float
        Criterion of lme4's default fit minus ours.
    tolerance : float
        Of the criterion.
    ours_singular, ours_converged, flat : bool
        What the fit made here says of its optimum, and `is_flat`.

    Returns
    -------
    list of dict
        text, judgement ("false", "right" or "not judged"), why.
    """
    found = []
    for text in words:
        judgement, why = OTHER, ""
        if "boundary (singular)" in text:
            judgement, why = _of_singular(default_gap > tolerance, ours_singular)
        elif any(word in text for word in CONVERGENCE_WORDS):
            judgement, why = _of_convergence(default_gap, tolerance, ours_converged, flat)
        found.append({"text": text, "judgement": judgement, "why": why})
    return found


def _of_singular(stopped_early, ours_singular):
    if not ours_singular:
        return FALSE, "the covariance at the optimum has full rank"
    return RIGHT, "singular here too, at a lower criterion" if stopped_early else "the fit made here is singular too"


def _of_convergence(default_gap, tolerance, ours_converged, flat):
    if default_gap > tolerance:
        return RIGHT, f"the default fit lies {default_gap:.3g} above the optimum"
    if flat:
        return RIGHT, "other estimates have the same criterion: the likelihood is flat"
    if ours_converged:
        return FALSE, "the default fit is at the optimum: the exact gradient and curvature say so here"
    return OTHER, "the fit made here has no certificate of convergence either"
