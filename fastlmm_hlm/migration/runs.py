"""--verify: run both scripts, and compare every fitted model that they leave behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError

# lme4 stops its search up to 1e-4 (relative) from the optimum in parameters; the criterion is flat there.
CRITERION_ABS, FIXEF_IN_SE, SE_REL, SD_IN_SIGMA = 1e-3, 1e-2, 1e-2, 1e-2
SAME, LOWER, DIFFERENT, MISSING = "equal", "lme4 stopped early", "DIFFERENT", "not in Python"

# A fitted model as a list; lists of models are searched, too.
EPILOGUE = r"""
local({
  hex <- function(x) paste0("\"", paste(format(charToRaw(enc2utf8(x))), collapse = ""), "\"")
  num <- function(x) paste0("[", paste(ifelse(is.finite(x), format(x, digits = 17), "null"), collapse = ","), "]")
  out <- character()
  one <- function(name, m) {
    fixed <- lme4::fixef(m); v <- as.data.frame(lme4::VarCorr(m))
    crit <- if (lme4::isREML(m)) lme4::REMLcrit(m) else as.numeric(-2 * stats::logLik(m))
    out <<- c(out, paste0("{\"name\":", hex(name), ",\"criterion\":", num(crit), ",\"fixef\":", num(unname(fixed)), ",\"terms\":[",
      paste(vapply(names(fixed), hex, ""), collapse = ","), "],\"se\":", num(sqrt(diag(as.matrix(stats::vcov(m))))),
      ",\"sdcor\":", num(v$sdcor), ",\"cor\":", num(as.numeric(!is.na(v$var2))), ",\"sigma\":", num(stats::sigma(m)),
      ",\"nobs\":", num(stats::nobs(m)), "}"))
  }
  look <- function(name, x, depth) {
    if (inherits(x, "lmerMod")) one(name, x)
    else if (is.list(x) && !is.data.frame(x) && depth < 3 && is.null(attr(x, "class"))) for (k in seq_along(x)) {
      key <- names(x)[k]
      look(paste0(name, if (is.null(key) || is.na(key) || key == "") paste0("[[", k, "]]") else paste0("$", key)), x[[k]], depth + 1)
    }
  }
  for (n in ls(globalenv())) look(n, get(n, globalenv()), 0)
  writeLines(paste0("[", paste(out, collapse = ","), "]"), Sys.getenv("FASTLMM_VERIFY"))
})
"""

PYTHON_EPILOGUE = '''
def _look(name, value, found, depth=0):
    if hasattr(value, "isLMM") and hasattr(value, "fixef"):
        frame = value.VarCorr().to_frame()
        found.append({
            "name": name, "criterion": float(value.deviance(REML=value.isREML())), "fixef": list(map(float, value.fixef())),
            "terms": list(value.fixef().index), "se": list(map(float, value.bse)), "sdcor": list(map(float, frame["sdcor"])),
            "sigma": float(value.sigma()), "nobs": int(value.nobs()),
        })
    elif isinstance(value, dict) and depth < 3:
        for key, item in value.items():
            _look(f"{name}[[{key}]]" if isinstance(key, int) else f"{name}${key}", item, found, depth + 1)
    elif isinstance(value, list) and depth < 3:
        for key, item in enumerate(value):
            _look(f"{name}[[{key + 1}]]", item, found, depth + 1)
'''


class RScriptFailed(Exception):
    """What R said before it stopped."""


def r_missing():
    """Why R cannot be used, or None."""
    if shutil.which("Rscript") is None:
        return "there is no Rscript. Install R (Debian: apt install r-base-core; else https://cran.r-project.org)"
    run = subprocess.run(["Rscript", "--vanilla", "-e", 'quit(status = !requireNamespace("lme4", quietly = TRUE))'], capture_output=True)
    if run.returncode:
        return 'R has no package lme4. In R: install.packages("lme4") (Debian: apt install r-cran-lme4)'
    return None


def fits_of_r(text, folder):
    """Fitted models that a script leaves in R's global environment.

    Raises
    ------
    RScriptFailed
    """
    with tempfile.TemporaryDirectory() as scratch:
        script, answer = Path(scratch) / "script.R", Path(scratch) / "fits.json"
        script.write_text(f"{text}\n{EPILOGUE}", encoding="utf-8")
        # Pictures go to the scratch folder, not into Rplots.pdf beside the script.
        start = f'options(device = function(...) pdf({json.dumps(str(Path(scratch) / "plots.pdf"))})); source({json.dumps(str(script))}, echo = FALSE)'
        run = subprocess.run(["Rscript", "--vanilla", "-e", start], cwd=folder, capture_output=True, text=True,
                             env={**os.environ, "FASTLMM_VERIFY": str(answer)})
        if run.returncode or not answer.exists():
            raise RScriptFailed("\n".join(run.stderr.strip().splitlines()[-6:]))
        found = json.loads(answer.read_text(encoding="utf-8"))
    return [_from_r(record) for record in found]


def _from_r(record):
    def text(word):
        return bytes.fromhex(word).decode("utf-8")

    values = {key: np.array([np.nan if x is None else x for x in record[key]], dtype=float) for key in ("fixef", "se", "sdcor", "cor")}
    single = {key: record[key][0] for key in ("criterion", "sigma", "nobs")}
    return {"name": text(record["name"]), "terms": [text(word) for word in record["terms"]], **values, **single}


def fits_of_python(text, folder, names):
    """Fitted models that the translated script leaves behind.

    Raises
    ------
    ArgumentError
        With the message of the script, if it fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        script, answer = Path(scratch) / "script.py", Path(scratch) / "fits.json"
        program = (f"{text}\n{PYTHON_EPILOGUE}\n_found = []\nfor _r, _python in {names!r}.items():\n    if _python in globals():\n"
                   f"        _look(_r, globals()[_python], _found)\n__import__('pathlib').Path({str(answer)!r}).write_text("
                   "__import__('json').dumps(_found))\n")
        script.write_text(program, encoding="utf-8")
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        run = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True,
                             env={**os.environ, "PYTHONPATH": paths, "MPLBACKEND": "Agg"})
        if run.returncode:
            said = "\n".join(run.stderr.strip().splitlines()[-6:])
            raise ArgumentError(f"migrate --verify: the Python script stopped:\n{said}")
        found = json.loads(answer.read_text())
    return found


def compare(theirs, ours):
    """One row per model of R.

    Parameters
    ----------
    theirs, ours : list of dict

    Returns
    -------
    pandas.DataFrame
        Columns criterion_R, criterion_Python, fixef (largest difference in standard errors), se (relative), sd (standard
        deviations in units of sigma, correlations as they are), verdict.
    """
    known = {record["name"]: record for record in ours}
    rows = {}
    for their in theirs:
        our = known.get(their["name"])
        rows[their["name"]] = [their["criterion"], np.nan, np.nan, np.nan, np.nan, MISSING] if our is None else _row(their, our)
    return pd.DataFrame.from_dict(rows, orient="index",
                                  columns=["criterion_R", "criterion_Python", "fixef", "se", "sd", "verdict"])


def _row(their, our):
    row = [their["criterion"], our["criterion"]]
    order = [our["terms"].index(term) if term in our["terms"] else None for term in their["terms"]]
    same_shape = None not in order and len(order) == len(our["terms"]) and len(our["sdcor"]) == len(their["sdcor"]) and our["nobs"] == their["nobs"]
    if not same_shape:
        return [*row, np.nan, np.nan, np.nan, DIFFERENT]
    fixef, se = np.array(our["fixef"])[order], np.array(our["se"])[order]
    apart_fixef = float(np.max(np.abs(fixef - their["fixef"]) / their["se"], initial=0))
    apart_se = float(np.max(np.abs(se / their["se"] - 1), initial=0))
    unit = np.where(their["cor"] == 1, 1.0, their["sigma"])
    differences = np.abs(np.array(our["sdcor"], dtype=float) - their["sdcor"]) / unit
    apart_sd = float(np.nanmax(differences, initial=0))
    higher = our["criterion"] - their["criterion"]
    close = apart_fixef <= FIXEF_IN_SE and apart_se <= SE_REL and apart_sd <= SD_IN_SIGMA
    if abs(higher) <= CRITERION_ABS and close:
        verdict = SAME
    else:
        verdict = LOWER if higher < 0 and -higher < abs(their["criterion"]) * 0.01 else DIFFERENT
    return [*row, apart_fixef, apart_se, apart_sd, verdict]


def text_of(table):
    """The comparison as text, with a sentence for what differs."""
    if table.empty:
        return "R leaves no fitted model (lmer) behind: there is nothing to compare."
    lines = [table.to_string(float_format=lambda x: f"{x:.7g}", na_rep="-")]
    lines.append(f"fixef: largest difference in standard errors (equal: <= {FIXEF_IN_SE:g}); se: relative (<= {SE_REL:g}); "
                 f"sd: in units of sigma, correlations as they are (<= {SD_IN_SIGMA:g}); criterion: <= {CRITERION_ABS:g}.")
    for name, row in table.iterrows():
        if row["verdict"] == LOWER:
            lines.append(f"{name}: Python's criterion is {row['criterion_R'] - row['criterion_Python']:.3g} lower than R's; lme4 stopped "
                         "before its optimum. Try another optimizer or allFit() there.")
        elif row["verdict"] == DIFFERENT:
            lines.append(f"{name}: the models differ; compare their data, formulas and contrasts.")
        elif row["verdict"] == MISSING:
            lines.append(f"{name}: R has this model and Python has not; see the marks in the script.")
    return "\n".join(lines)


def exit_code(table):
    """0 if every model of R is there and equal, else 1."""
    return int(bool(len(table)) and bool((table["verdict"] != SAME).any()))
