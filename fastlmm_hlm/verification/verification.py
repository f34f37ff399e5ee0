"""Verification: the result of comparing one model with lme4."""

import json

import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.report.plainvalues import plain_values
from fastlmm_hlm.report.sheet.html import sheet_html
from fastlmm_hlm.report.sheet.sheet import sheet_of
from fastlmm_hlm.report.sheet.text import sheet_text
from fastlmm_hlm.verification import verdicts
from fastlmm_hlm.verification.record import SCHEMA

TITLES = {
    verdicts.EQUAL: "EQUAL", verdicts.AFTER_REFIT: "EQUAL AFTER REFIT", verdicts.OURS_LOWER: "OURS LOWER",
    verdicts.DIFFERENT: "DIFFERENT", verdicts.REFUSED_HERE: "REFUSED HERE", verdicts.REFUSED_BY_R: "REFUSED BY R",
    verdicts.REFUSED_BY_BOTH: "REFUSED BY BOTH",
}
STATUS_WORDS = {
    verdicts.EQUAL: "equal", verdicts.AFTER_REFIT: "after refit", verdicts.OURS_LOWER: "at ours", verdicts.DIFFERENT: "DIFFERENT",
    verdicts.NOT_COMPARED: "-",
}
HEADER = ["lme4 default", "lme4 tight", "lme4 at ours", "tolerance", "verdict"]


class Verification:
    """What `verify` returns: prints as a table, shows as HTML in a notebook.

    Attributes
    ----------
    record : dict
        Everything in types that JSON has; its keys are those of the JSON file.
    """

    def __init__(self, record):
        self.record = plain_values(record)

    @property
    def verdict(self):
        """"equal", "equal_after_refit", "ours_lower", "different", "refused_here", "refused_by_r" or "refused_by_both"."""
        return self.record["verdict"]

    @property
    def ok(self):
        """Whether the model is verified: one of the first three verdicts."""
        return self.record["ok"]

    @property
    def exit_code(self):
        """0 verified, 1 not equal or refused here, 4 refused by R: int."""
        return verdicts.EXIT_CODES[self.verdict]

    @property
    def message(self):
        """The verdict in one or two sentences."""
        return self.record["message"]

    @property
    def ours(self):
        """Estimates of the fit made here, dict; None if it was refused."""
        return self.record.get("ours")

    @property
    def theirs(self):
        """lme4's: a dict with "default", "refit" and "at_ours", each as `ours`; None if either side refused."""
        return self.record.get("lme4")

    @property
    def table(self):
        """One row per quantity, DataFrame.

        Columns default, refit and at_ours are the largest differences to lme4 at its three points, in the units of
        `scale`; those of the criterion, logLik, AIC and BIC have a sign, ours minus lme4's.
        """
        columns = ["quantity", "default", "refit", "at_ours", "tolerance", "status", "scale", "mismatch", "note"]
        frame = pd.DataFrame(self.record["table"], columns=columns).set_index("quantity")
        return frame.astype(dict.fromkeys(columns[1:5], float))

    def to_json(self, path=None):
        """Everything as JSON.

        Parameters
        ----------
        path : str or pathlib.Path, optional
            Write there.

        Returns
        -------
        str
        """
        text = json.dumps(self.record, indent=2, allow_nan=False) + "\n"
        _write(path, text)
        return text

    @classmethod
    def from_json(cls, text):
        """A verification that was stored by `to_json`.

        Parameters
        ----------
        text : str

        Raises
        ------
        ArgumentError
            If it is none, or of another schema.
        """
        try:
            record = json.loads(text)
        except ValueError as error:
            raise ArgumentError(f"Verification.from_json: this is no JSON ({error}).") from None
        found = record.get("schema") if isinstance(record, dict) else None
        if found != SCHEMA:
            raise ArgumentError(f"Verification.from_json: the schema is {found!r}; expected {SCHEMA!r}.")
        return cls(record)

    def to_html(self, path=None):
        """A report with pictures as one HTML page that needs nothing else.

        Parameters
        ----------
        path : str or pathlib.Path, optional
            Write there.

        Returns
        -------
        str

        Raises
        ------
        FastlmmError
            If matplotlib is not installed.
        """
        from fastlmm_hlm.verification.page import page

        text = page(self)
        _write(path, text)
        return text

    # --- as text -------------------------------------------------------------------

    def sheet(self):
        """The table of differences in words."""
        rows = self.record["table"]
        columns = [
            *([difference_word(row, point) for row in rows] for point in verdicts.POINTS),
            [tolerance_word(row["tolerance"]) for row in rows],
            [STATUS_WORDS[row["status"]] for row in rows],
        ]
        notes = list(dict.fromkeys(f"{', '.join(r['quantity'] for r in rows if r['note'] == row['note'])}: {row['note']}"
                                   for row in rows if row["note"]))
        return sheet_of(columns, HEADER, [row["quantity"] for row in rows], ["r", "r", "r", "r", "l"], None, notes)

    def __repr__(self):
        record = self.record
        lines = [f"{TITLES[self.verdict]}: {record['formula']}", f"({self.arguments_line()})", *_wrapped(self.message), ""]
        if record["table"]:
            lines += [sheet_text(self.sheet()).rstrip("\n"), ""]
            lines += [*criterion_lines(record), *warning_lines(record), ""]
            lines.append(seconds_line(record))
        lines.append(versions_line(record))
        return "\n".join(lines) + "\n"

    def arguments_line(self):
        """Which likelihood, which degrees of freedom, which further arguments."""
        record = self.record
        words = ["REML" if record["REML"] else "ML", f"ddf = {record['ddf']}"]
        words += [f"{name} = {value}" for name, value in record["arguments"].items()]
        return ", ".join(words)

    def line(self, name=""):
        """One line: a name, the verdict, the largest share of a tolerance and the seconds of both sides."""
        record = self.record
        words = [f"{name:24}" if name else "", f"{TITLES[self.verdict]:18}"]
        if record["table"]:
            times = record["seconds"]
            words.append(f"criterion {record['criterion']['ours']:.4f} (lme4 {record['criterion']['lme4']:.4f}), "
                         f"{seconds_word(times['ours'])} s (lme4 {seconds_word(times['lme4'])} s)")
        if not self.ok:
            words.append(("" if not record["table"] else "; ") + self.message)
        return " ".join(word for word in words if word).rstrip()

    def _repr_html_(self):
        from html import escape

        head = f"<p><b>{TITLES[self.verdict]}</b>: <code>{escape(self.record['formula'])}</code><br>{escape(self.message)}</p>"
        table = sheet_html(self.sheet()) if self.record["table"] else ""
        lines = [*criterion_lines(self.record), *warning_lines(self.record), seconds_line(self.record)] if table else []
        below = "<br>\n".join(escape(line.strip()) for line in [*lines, versions_line(self.record)])
        return f"<div>\n{head}\n{table}<p>{below}</p>\n</div>\n"


# --- words ---------------------------------------------------------------------------


def difference_word(row, point):
    """A difference of the table in words: with its sign where it has one."""
    value, quantity = row[point], row["quantity"]
    if value is None:
        return "names" if row["mismatch"] else ""
    signed = quantity in verdicts.SAME_CRITERION
    return "0" if value == 0 else f"{value:+.1e}" if signed else f"{value:.0f}" if row["tolerance"] == 0 else f"{value:.1e}"


def tolerance_word(value):
    """A tolerance in words."""
    return "exact" if value == 0 else f"{value:.0e}"


def seconds_word(value):
    """Seconds in three digits."""
    return "?" if value is None else f"{value:.3g}"


def criterion_lines(record):
    """The criterion of both sides, at lme4's points and at ours."""
    found, name = record["criterion"], "REML criterion" if record["REML"] else "Deviance"
    rows = [("here", found["ours"]), ("lme4, at the theta found here", found["lme4_at_ours"]), ("lme4, default", found["lme4"])]
    rows += [(f"lme4, {k}"[:60], v) for k, v in record["optimizers"].items() if k != "default"]
    rows.append(("lme4, started at the theta found here", found["lme4_started_from_ours"]))
    return [f"{name}:", *(f"  {where:44} {value:.9f}" for where, value in rows if value is not None)]


def warning_lines(record):
    """What lme4 warned of, with what is to be thought of it."""
    lines = []
    for warning in record["warnings"]:
        why = f" ({warning['judgement']}{': ' if warning['why'] else ''}{warning['why']})"
        lines += _wrapped(f"lme4 says: {' '.join(warning['text'].split())}{why}")
    return lines


def seconds_line(record):
    """Seconds of both fits."""
    times, counts = record["seconds"], record["evaluations"]
    return (f"Fit: {seconds_word(times['ours'])} s and {counts['ours']} evaluation{'s'[: counts['ours'] != 1]} here, "
            f"{seconds_word(times['lme4'])} s and {counts['lme4']} evaluations in lme4.")


def versions_line(record):
    """Versions of both sides."""
    return ", ".join(f"{name} {version}" for name, version in record["versions"].items()) + "."


def _wrapped(text):
    import textwrap

    return textwrap.wrap(text, 100, subsequent_indent="  ")


def _write(path, text):
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
