"""The tables of the comparison, from the results kept."""

import statistics

from benchmarks.tables import markdown, number, seconds
from benchmarks.versus import goals
from benchmarks.versus.agreement import compare, same
from benchmarks.versus.peers import LME4, OURS, PEERS
from benchmarks.versus.records import key

NOTICEABLE = 1e-3  # difference of criteria that gets a remark
WARM = 3  # with this many fits or more, the first is not counted: it loads and compiles
DETAILS = ["program", "setting", "fits", "CPU", "wall", "ratio (CPU)", "memory, MB", "criterion - ours",
           "fixed effects vs ours", "variances vs ours", "fixed effects vs lme4", "variances vs lme4"]


def median_fit(result, what):
    """Median over the fits of "cpu", "wall"; the peak of the first fit for "peak_mb"."""
    values = [fit[what] for fit in result["fits"]]
    if what == "peak_mb":
        return values[0]
    return statistics.median(values[1:] if len(values) >= WARM else values)


def ratio(result, ours):
    """CPU time as a multiple of ours.

    Returns
    -------
    (float, bool)
        The ratio, and True if it is only a lower bound; (None, False) if there is none.
    """
    if result["fits"]:
        return median_fit(result, "cpu") / median_fit(ours, "cpu"), False
    if "cpu_so_far" in result:
        return result["cpu_so_far"] / median_fit(ours, "cpu"), True
    return None, False


def has_fit(result):
    return bool(result and result["fits"] and result["estimates"])


def difference(result, reference, ours):
    """How far a result lies from a reference; None if one of them has no estimates."""
    if not (has_fit(result) and has_fit(reference)):
        return None
    return compare(result["estimates"], reference["estimates"], ours["estimates"]["se"])


def best_of(results, case, peer):
    """The setting of a peer that speaks for it: the first that agrees with ours, else its default.

    Returns
    -------
    (dict or None, bool)
        The result, and whether its estimates agree.
    """
    ours = results.get(key(case, OURS.name, "default", peer.REML))
    found = [results[k] for setting in peer.settings if (k := key(case, peer.name, setting, peer.REML)) in results]
    if not has_fit(ours):
        return (found[0] if found else None), False
    for result in found:
        if has_fit(result) and same(difference(result, ours, ours)):
            return result, True
    return (found[0] if found else None), False


def bounded(value, bound):
    return ("> " if bound else "") + number(value)


def cell(results, case, peer):
    """A program's ratio with its default setting; where that differs from ours, also with the one that agrees."""
    if case in peer.cannot:
        return "cannot"
    ours = results.get(key(case, OURS.name, "default", peer.REML))
    default = results.get(key(case, peer.name, next(iter(peer.settings)), peer.REML))
    if default is None or not has_fit(ours):
        return ""
    value, bound = ratio(default, ours)
    if value is None:
        return "failed"
    best, agrees = best_of(results, case, peer)
    if bound or (agrees and best is default):
        return bounded(value, bound)
    return f"{number(value)} *" + (f" ({number(ratio(best, ours)[0])})" if agrees else "")


def overview(results, cases):
    """One row per case: our seconds and everybody's multiple of them."""
    rows = []
    for case in cases:
        ours = results.get(key(case.id, OURS.name, "default", case.REML))
        if not has_fit(ours):
            continue
        row = [case.id, f"{ours['rows']:,}", seconds(median_fit(ours, "cpu")), f"{median_fit(ours, 'peak_mb'):,.0f}"]
        for peer in PEERS:
            row.append(cell(results, case.id, peer))
            if peer is LME4:
                result, _ = best_of(results, case.id, peer)
                row.append(f"{median_fit(result, 'peak_mb'):,.0f}" if has_fit(result) else "")
        rows.append(row)
    header = ["case", "rows", "fastlmm_hlm, CPU", "MB", "lme4, ratio", "lme4, MB"]
    return markdown(header + [f"{peer.name}, ratio" for peer in PEERS if peer is not LME4], rows)


def details(results, case):
    """All programs and settings on one case, and the remarks under the table."""
    rows, remarks = [], []
    base = {reml: results.get(key(case.id, OURS.name, "default", reml)) for reml in (True, False)}
    lme4, _ = best_of(results, case.id, LME4)
    for peer in [OURS, *PEERS]:
        for setting in peer.settings:
            for reml in (True, False) if peer is OURS else (peer.REML,):
                result = results.get(key(case.id, peer.name, setting, reml))
                if result is not None:
                    rows.append(detail(peer, setting, reml, result, base[reml], lme4 if reml == LME4.REML else None))
                    remarks += [f"{peer.name}, {setting}: {text}" for text in notes(result, base[reml])]
        if case.id in peer.cannot:
            remarks.append(f"{peer.name} cannot fit this model: {peer.cannot[case.id]}.")
    return markdown(DETAILS, rows) + "".join(f"\n- {remark}" for remark in ["", *remarks] if remark)


def detail(peer, setting, reml, result, ours, lme4):
    """One row of the details."""
    name = (result["version"] or peer.name) + ("" if reml else " (ML)")
    if not has_fit(result):
        value, bound = ratio(result, ours) if has_fit(ours) else (None, False)
        used = f"> {seconds(result['cpu_so_far'])}" if "cpu_so_far" in result else ""
        return [name, setting, "0", used, "", f"> {number(value)}" if bound else "", *[""] * (len(DETAILS) - 6)]
    row = [name, setting, str(len(result["fits"])), seconds(median_fit(result, "cpu")), seconds(median_fit(result, "wall"))]
    value = ratio(result, ours)[0] if has_fit(ours) else None
    row += [number(value) if value else "", f"{median_fit(result, 'peak_mb'):,.0f}"]
    from_ours, from_lme4 = (difference(result, reference, ours) if has_fit(ours) else None for reference in (ours, lme4))
    if result is ours:
        from_ours = None
    if result is lme4:
        from_lme4 = None
    row.append(f"{from_ours['criterion']:+.1e}" if from_ours and "criterion" in from_ours else "")
    for found in (from_ours, from_lme4):
        row += [f"{found[what]:.0e}" if found and what in found else "" for what in ("fixef", "varcomp")]
    return row


def notes(result, ours):
    """What must be said about a result besides its numbers."""
    if "stopped" in result:
        yield f"stopped: {result['stopped']}."
        return
    if remark := result["estimates"].get("remark"):
        yield f"{remark}."
    found = difference(result, ours, ours)
    if found and "differs" in found:
        yield f"not the same model: {found['differs']}."
    elif found and abs(found["criterion"]) > NOTICEABLE:
        where = "above" if found["criterion"] > 0 else "below"
        yield f"not the same optimum: its criterion is {abs(found['criterion']):.3g} {where} ours."


def goal_rows(results):
    """Goal and measurement, case by case."""
    for case, goal in goals.LME4.items():
        ours = results.get(key(case, OURS.name, "default", True))
        result, agrees = best_of(results, case, LME4)
        if has_fit(ours) and result:
            yield goal_row(case, "lme4", goal, ratio(result, ours), agrees)
    for case, goal in goals.PYTHON.items():
        ours = results.get(key(case, OURS.name, "default", True))
        fastest = None
        for peer in PEERS:
            result, agrees = best_of(results, case, peer)
            if peer is LME4 or not peer.REML or not has_fit(ours) or result is None:
                continue
            measured = ratio(result, ours)
            if measured[0] is not None and (fastest is None or measured[0] < fastest[1][0]):
                fastest = (peer.name, measured, agrees)
        if fastest:
            yield goal_row(case, fastest[0], goal, *fastest[1:])


def goal_row(case, name, goal, measured, agrees):
    value, bound = measured
    if value is None:
        return [case, name, f"{goal}", "failed", ""]
    reached = "yes" if value >= goal else ("not known" if bound else "no")
    mark = "" if agrees or bound else " *"
    return [case, name, f"{goal}", bounded(value, bound) + mark, reached + mark]


def report(results, cases, machine, versions):
    """The whole of results/versus.md."""
    measured = [case for case in cases if any(name.startswith(case.id + "/") for name in results)]
    parts = [
        "# Against other programs",
        "",
        machine + (f" {versions}." if versions else ""),
        ("Every program runs in its own process on the same file; loading and making factors are not counted. CPU seconds "
        "(user and system) of the fit alone, medians; ratio = its CPU time / ours; memory = peak beyond the loaded data. "
        "lme4's derivative check is off. `*`: estimates that differ from ours by more than 1e-5 with the program's default "
        "setting; in brackets the ratio with one that agrees, if there is any. `>`: stopped at a limit, a lower bound. "
        "Memory includes libraries loaded on first use. gpboost maximizes the likelihood, not the restricted one, and is "
        "compared with our maximum-likelihood fit."),
        "",
        overview(results, measured),
        "",
        "## Goals",
        "",
        ("The default setting counts, or the first that agrees with ours; among the Python programs the fastest that "
        "maximizes the restricted likelihood."),
        "",
        markdown(["case", "against", "goal", "measured", "reached"], list(goal_rows(results))),
        "",
        "## Case by case",
        "",
        ("Differences: of fixed effects, relative to the effect or its standard error if that is larger; of variances and "
        "covariances, relative to the product of standard deviations."),
    ]
    for case in measured:
        parts += ["", f"### {case.id}: `{case.formula}`", "", details(results, case)]
    return "\n".join(parts)
