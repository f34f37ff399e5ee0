"""The report of a verification: one HTML page with its style and pictures, for light and dark screens and for paper."""

from html import escape

from fastlmm_hlm.report.html import table_html
from fastlmm_hlm.report.rformat import format_pvalues
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.verification import pictures, verdicts
from fastlmm_hlm.verification.verification import TITLES, criterion_lines, seconds_line, versions_line

STYLE = """
:root { color-scheme: light dark; --faint: #c9ced4; --ours: #0a6aa8; --theirs: #c2540a; --good: #17703a; --bad: #b3261e; --page: #fff; --text: #1b1f24; }
@media (prefers-color-scheme: dark) {
  :root { --faint: #4a5058; --ours: #63b3ed; --theirs: #f6a15b; --good: #6fd08c; --bad: #ff8a80; --page: #16191d; --text: #e6e8ea; }
}
@media print { :root { --page: #fff; --text: #000; --faint: #c9ced4; --ours: #0a6aa8; --theirs: #c2540a; --good: #17703a; --bad: #b3261e; } }
body { background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.3rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--faint); }
code, pre { font: 0.92em ui-monospace, monospace; } pre { overflow-x: auto; }
.verdict { border: 2px solid; border-radius: 6px; padding: 0.6rem 1rem; margin: 1rem 0; } .verdict b { font-size: 1.2rem; }
.good { border-color: var(--good); } .good b { color: var(--good); } .bad { border-color: var(--bad); } .bad b { color: var(--bad); }
.wide { overflow-x: auto; } .wide td, .wide tbody th, .wide thead th { white-space: nowrap; } .wide tfoot td { white-space: normal; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: 0.12rem 0.5rem; }
tbody tr:nth-child(even) { background: color-mix(in srgb, var(--faint) 25%, transparent); } caption { padding: 0.4rem 0; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair figure { flex: 1 1 20rem; } figure { margin: 1rem 0; break-inside: avoid; }
figcaption { font-size: 0.9rem; } svg text { font-family: system-ui, sans-serif; }
@media print { body { margin: 0; max-width: none; font-size: 9.5pt; } h2 { break-after: avoid; } tr { break-inside: avoid; } .wide { overflow: visible; font-size: 8.5pt; } .wide td:last-child { white-space: normal; } }
"""
READING = ("lme4 answers at three points. <b>lme4 default</b>: its fit as a user of lme4 gets it. <b>lme4 tight</b>: its optimizer, run on from "
           "there with tight tolerances. <b>lme4 at ours</b>: no optimizer, its own functions at the estimates found here. Each entry is the largest difference "
           "of that quantity, in the units named at the right.")


def page(verification):
    """The page of a verification.

    Parameters
    ----------
    verification : Verification

    Returns
    -------
    str
    """
    record = verification.record
    title = f"{TITLES[verification.verdict]}: {record['formula']}"
    parts = [
        f"<h1>Verified against lme4</h1>\n<p><code>{escape(record['formula'])}</code><br>{escape(verification.arguments_line())}</p>",
        f'<div class="verdict {"good" if verification.ok else "bad"}"><b>{TITLES[verification.verdict]}</b><br>{escape(verification.message)}</div>',
    ]
    if record["table"]:
        parts += [*_tables(verification), *_pictures(record)]
    parts.append(_versions(record))
    body = "\n".join(parts)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n")


def _tables(verification):
    record = verification.record
    lines = criterion_lines(record)
    warnings = [
        f"<li><q>{escape(w['text'])}</q> &mdash; <b>{w['judgement']}</b>{': ' + escape(w['why']) if w['why'] else ''}</li>" for w in record["warnings"]
    ]
    said = "<p>lme4 gave no warning.</p>" if not warnings else f"<ul>{''.join(warnings)}</ul>"
    sheet = verification.sheet()
    scales = [row["scale"] for row in record["table"]]
    for (_, cells), scale in zip(sheet.rows(), scales, strict=True):
        cells.append(type(cells[0])(scale))
    sheet.header[0].append("difference in")
    sheet.align.append("l")
    return [
        f'<h2>Differences</h2>\n<p>{READING}</p>\n<div class="wide">{sheet_html(sheet)}</div>',
        f"<h2>{escape(lines[0].rstrip(':'))}</h2>\n" + table_html(["value"], [[f"{v:.9f}"] for _, v in _criteria(record)], None, [n for n, _ in _criteria(record)]),
        f"<h2>What lme4 says</h2>\n{said}",
        f"<h2>Fixed effects</h2>\n<div class=\"wide\">{_fixed_table(record)}</div>",
    ]


def _criteria(record):
    """Names and values behind the lines of the criterion."""
    return [(line[2:].rsplit(" ", 1)[0].strip(), float(line.rsplit(" ", 1)[1])) for line in criterion_lines(record)[1:]]


def _fixed_table(record):
    rows, names = [], []
    for k, mine in enumerate(record["ours"]["fixef"]):
        for label, side in (("here", mine), ("lme4", _compared(record)["fixef"][k])):
            names.append(mine["name"] if label == "here" else "")
            rows.append([label, f"{side['estimate']:.8g}", f"{side['se']:.6g}", _word(side["df"], ".5g"), _word(side["t"], ".5g"),
                         "" if side["p"] is None else format_pvalues([side["p"]], 4)[0]])
    return table_html(["", "Estimate", "Std. Error", "df", "t value", "p-value"], rows, None, names)


def _word(value, form):
    return "" if value is None else format(value, form)


def _compared(record):
    """lme4's side at the point that the verdict rests on."""
    point = verdicts.POINTS[verdicts.OK.index(record["verdict"])] if record["ok"] else "refit"
    return record["lme4"][point]


def _sides(record):
    """Label -> side: ours, lme4's default fit, and the point that the verdict rests on where it is another."""
    sides = {"here": record["ours"], "lme4 default": record["lme4"]["default"]}
    if record["verdict"] != verdicts.EQUAL:
        sides[{verdicts.OURS_LOWER: "lme4 at ours"}.get(record["verdict"], "lme4 tight")] = _compared(record)
    return sides


def _pictures(record):
    sides, theirs = _sides(record), _compared(record)
    tolerance = next(row["tolerance"] for row in record["table"] if row["quantity"] == "fitted")
    drawn = [("Every difference against its tolerance.", pictures.differences_picture(record))]
    if record["ours"]["fixef"] and _agree(sides, lambda side: [row["name"] for row in side["fixef"]]):
        drawn.append(("Fixed effects. At the right: estimates and standard errors.", pictures.fixed_picture(sides)))
    if _agree(sides, lambda side: [(row["grp"], row["var1"], row["var2"]) for row in side["VarCorr"]]):
        drawn.append(("Variance components: standard deviations and correlations.", pictures.variance_picture(sides)))
    pair, fitted = [], record["agreement"]["fitted"]
    if record["agreement"]["ranef"]:
        pair.append(("Random effects against random effects; the line is equality.", pictures.ranef_picture(record["agreement"]["ranef"])))
    if fitted["n"]:
        shown = "" if len(fitted["ours"]) == fitted["n"] else f" {len(fitted['ours']):,} of {fitted['n']:,} rows, those that differ most among them."
        pair.append((f"Fitted values, differences.{shown}", pictures.fitted_picture(fitted, theirs["sigma"], tolerance)))
    which = {verdicts.EQUAL: "lme4's default fit", verdicts.OURS_LOWER: "lme4's own functions at the estimates found here"}
    basis = which.get(record["verdict"], "lme4's fit with tight tolerances")
    return [
        "<h2>Pictures</h2>\n" + "\n".join(map(_figure, drawn)),
        f'<p>Random effects and fitted values below are compared with {basis}.</p>\n<div class="pair">{"".join(map(_figure, pair))}</div>',
    ]


def _agree(sides, part):
    first, *others = map(part, sides.values())
    return all(other == first for other in others)


def _figure(drawn):
    caption, svg = drawn
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _versions(record):
    seconds = f"{escape(seconds_line(record))}<br>\n" if record["table"] else ""
    said = "".join(f"<li>{escape(text)}</li>" for text in record["messages"])
    here = f"<p>Warnings here:</p>\n<ul>{said}</ul>\n" if said else ""
    return f"<h2>Both sides</h2>\n{here}<p>{seconds}{escape(versions_line(record))}</p>"
