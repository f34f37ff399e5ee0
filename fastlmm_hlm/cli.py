"""The command line: fit a model to a file, and list the data sets.

    fastlmm-hlm fit "score ~ days + (1 + days | class)" scores.csv
    fastlmm-hlm datasets
    fastlmm-hlm migrate script.R -o script.py --verify

Results go to stdout, warnings and errors to stderr.  Exit code 0: fitted; 1: the
optimizer did not converge (or there is no optimum); 2: the command, the formula
or the data cannot be used.  `migrate --verify` gives 1 where a model differs from
R's, 3 without R, 4 if the R script fails.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import sys
import warnings

import numpy as np
import pandas as pd
import scipy

from fastlmm_hlm import __version__, datasets
from fastlmm_hlm.api import lmer, lmerControl
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError, FastlmmWarning
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.ddf import METHODS, fit_for
from fastlmm_hlm.migrate import migrate
from fastlmm_hlm.migrate.parse import PARSERS
from fastlmm_hlm.optimize.control import OPTIMIZERS
from fastlmm_hlm.report.frames import ranef_text

PROGRAM = "fastlmm-hlm"
DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
MISSING = ["", "NA"]
# Whole numbers that survive being read as numbers and written again: no leading zeros, at most 18 digits.
PLAIN_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit code 0, 1 or 2.
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", FastlmmWarning)
            warnings.showwarning = _show_warning
            return options.run(options)
    except BrokenPipeError:              # the reader of a pipe had enough, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (FastlmmError, OSError) as error:
        print(f"{PROGRAM}: error: {_plain(error)}", file=sys.stderr)
        return 1 if isinstance(error, ArithmeticError) else 2


def _parser():
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Linear mixed models with lme4's formulas and numbers.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a linear mixed model and print its summary")
    fit.add_argument("formula", metavar="FORMULA", help='such as "score ~ days + (1 + days | class)"')
    fit.add_argument("data", metavar="DATA", help="a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file")
    fit.add_argument("--ml", action="store_true", help="maximize the likelihood instead of the restricted one")
    fit.add_argument("--weights", metavar="W", help="prior weights: a column or an expression in columns")
    fit.add_argument("--offset", metavar="O", help="known part of the predictor: a column or an expression")
    fit.add_argument("--subset", metavar="S", help='rows to use: a condition such as "days >= 2"')
    fit.add_argument("--contrasts", metavar="F=CODING", nargs="+", action="extend", default=[],
                     help="coding of factors, such as sex=contr.sum")
    fit.add_argument("--optimizer", choices=OPTIMIZERS, default="newton")
    fit.add_argument("--ddf", choices=METHODS, default=METHODS[0],
                     help="degrees of freedom of the t-tests; lme4 gives neither them nor p-values")
    fit.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    fit.add_argument("--ranef", action="store_true", help="also give the random effects")
    fit.add_argument("--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    fit.set_defaults(run=run_fit)

    listing = commands.add_parser("datasets", help="list the data sets of the package, or write one as CSV")
    listing.add_argument("name", metavar="NAME", nargs="?", help="write this one to stdout")
    listing.set_defaults(run=run_datasets)

    migration = commands.add_parser("migrate", help="translate an R script of mixed models to Python")
    migration.add_argument("script", metavar="SCRIPT", type=pathlib.Path, help="an R script")
    migration.add_argument("-o", "--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    migration.add_argument("--verify", action="store_true", help="run both scripts and compare every fitted model")
    migration.add_argument("--parser", choices=[*PARSERS], help="what reads the script; R's own where R is installed")
    migration.set_defaults(run=run_migrate)
    return parser


# --- commands ------------------------------------------------------------------


def run_fit(options):
    """fastlmm-hlm fit; returns the exit code."""
    contrasts = _contrasts(options.contrasts)
    if options.output is not None and not options.output.absolute().parent.is_dir():
        raise ArgumentError(f"--output {options.output}: there is no folder {options.output.absolute().parent}; make it first.")
    formula = parse_formula(options.formula)
    fit = lmer(
        formula.text,
        read_table(options.data, id_columns(formula)),
        REML=not options.ml,
        weights=options.weights,
        offset=options.offset,
        subset=options.subset,
        contrasts=contrasts or None,
        control=lmerControl(optimizer=options.optimizer),
    )
    if options.json:
        text = json.dumps(fit_record(fit, with_ranef=options.ranef, ddf=options.ddf), indent=2, allow_nan=False) + "\n"
    else:
        text = f"{fit.summary(ddf=options.ddf)}"
        if options.ranef:
            text = text.rstrip("\n") + "\n\nRandom effects by group:\n" + ranef_text(fit.ranef())
        text = text.rstrip("\n") + "\n"
    if options.output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        options.output.write_text(text, encoding="utf-8")
    return 1 if fit.optinfo["status"] == "failed" else 0


def run_datasets(options):
    """fastlmm-hlm datasets; returns 0."""
    if options.name is not None:
        datasets.load(options.name).to_csv(sys.stdout, index=False)
    else:
        names = datasets.available()
        width = max(map(len, names))
        for name in names:
            frame = datasets.load(name)
            print(f"{name:{width}}  {len(frame):5} rows  {', '.join(frame.columns)}")
    sys.stdout.flush()
    return 0


def run_migrate(options):
    """fastlmm-hlm migrate; returns the exit code."""
    from fastlmm_hlm.migrate import runs

    if options.output is not None and not options.output.absolute().parent.is_dir():
        raise ArgumentError(f"--output {options.output}: there is no folder {options.output.absolute().parent}; make it first.")
    migration = migrate(options.script, parser=options.parser)
    if options.output is None:
        sys.stdout.write(migration.text)
        sys.stdout.flush()
    else:
        migration.save(options.output)
    print(f"{PROGRAM}: {migration.summary()}", file=sys.stderr)
    if not options.verify:
        return 0
    why = runs.r_missing()
    if why is not None:
        print(f"{PROGRAM}: error: --verify runs the script in R, but {why}", file=sys.stderr)
        return 3
    folder = options.script.absolute().parent
    try:
        theirs = runs.fits_of_r(options.script.read_text(encoding="utf-8-sig"), folder)
    except runs.RScriptFailed as failure:
        print(f"{PROGRAM}: error: {options.script} stopped in R:\n{failure}", file=sys.stderr)
        return 4
    table = runs.compare(theirs, runs.fits_of_python(migration.text, folder, migration.variables))
    print(runs.text_of(table), file=sys.stderr if options.output is None else sys.stdout)
    return runs.exit_code(table)


# --- the record of a fit ---------------------------------------------------------


def fit_record(fit, with_ranef=False, ddf=METHODS[0]):
    """A fit as one JSON object.

    Parameters
    ----------
    fit : LinearMixedModel
    with_ranef : bool
        Add the random effects, one row per level and column.
    ddf : str
        Method for the degrees of freedom of the t-tests.

    Returns
    -------
    dict
        Of lists, dicts, str, bool, int, finite float and None.
    """
    fit = fit_for(fit, ddf)
    log_likelihood, summary = fit.logLik(), fit.summary(ddf=ddf)
    left_out = {"rows": sum(fit._dropped.values()), "reasons": fit._dropped, "missing": fit._missing}
    record = {
        "formula": str(fit.formula),
        "REML": fit.isREML(),
        "criterion": fit.deviance(REML=fit.isREML()),
        "fixef": [
            {"name": name, "estimate": row["Estimate"], "se": row["Std. Error"], "t": row["t value"],
             "df": row.get("df"), "p": row.get("Pr(>|t|)")}
            for name, row in summary.coefficients.iterrows()
        ],
        "vcov": fit.vcov().to_numpy(),
        "VarCorr": fit.VarCorr().to_frame().to_dict("records"),
        "sigma": fit.sigma(),
        "theta": fit.theta,
        "isSingular": fit.isSingular(),
        "logLik": float(log_likelihood),
        "df": log_likelihood.df,
        "AIC": fit.AIC(),
        "BIC": fit.BIC(),
        "nobs": fit.nobs(),
        "ngrps": fit.ngrps().to_dict(),
        "optinfo": {name: value for name, value in fit.optinfo.items() if name != "trace"},
        "left_out": left_out,
        "messages": [*summary.parts.fit_warnings, *summary.parts.all_messages()],
        "versions": {
            "fastlmm_hlm": __version__, "python": platform.python_version(), "numpy": np.__version__,
            "pandas": pd.__version__, "scipy": scipy.__version__,
        },
    }
    if with_ranef:
        record["ranef"] = fit.ranef().to_frame().to_dict("records")
    return _plain_values(record)


def _plain_values(value):
    """The same in types that JSON has; what is not finite or missing becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


# --- reading -------------------------------------------------------------------


def id_columns(formula):
    """Columns that the formula uses for grouping only.

    Parameters
    ----------
    formula : Formula

    Returns
    -------
    set of str
    """
    groups = {name for bar in formula.bars for part in group_components(bar.group) for name in column_names(part)}
    others = {name for node in (formula.response_node, formula.fixed_node, *(bar.lhs for bar in formula.bars))
              if node is not None for name in column_names(node)}
    return groups - others


def read_table(path, ids=()):
    """Read a data file; empty fields and NA are missing.

    Parameters
    ----------
    path : str
    ids : collection of str
        Columns read as text first, so that "007" stays "007" and a number too
        long for a computer keeps its digits; they become integers if nothing
        is lost by that.

    Returns
    -------
    pandas.DataFrame or pyarrow.Table

    Raises
    ------
    ArgumentError
        For an ending that is not known, or Parquet without pyarrow.
    DataError
        If the file cannot be read as a table.
    OSError
        If it cannot be opened.
    """
    lower = str(path).lower()
    if lower.endswith((".parquet", ".pq")):
        return _read_parquet(path)
    delimiter = next((d for ending, d in DELIMITERS.items() if lower.endswith(ending)), None)
    if delimiter is None:
        raise ArgumentError(f"{path}: the ending is not known; expected {', '.join(DELIMITERS)} or .parquet.")
    try:
        table = pd.read_csv(path, sep=delimiter, na_values=MISSING, keep_default_na=False, low_memory=False,
                            dtype={name: "str" for name in ids})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this is not a table that can be read ({error}).") from error
    for name in set(ids) & set(table.columns):
        known = table[name].dropna()
        if len(known) and known.str.fullmatch(PLAIN_INTEGER).all():
            table[name] = table[name].astype("Int64")
    return table


def _read_parquet(path):
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ArgumentError(
            f'{path}: reading Parquet needs pyarrow, which is not installed; run: pip install "fastlmm_hlm[arrow]"'
        ) from error
    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: this is not a Parquet file that can be read ({error}).") from error


def _contrasts(pairs):
    found = {}
    for pair in pairs:
        factor, equals, coding = pair.partition("=")
        if not (factor and equals and coding):
            raise ArgumentError(f"--contrasts {pair}: expected FACTOR=CODING, such as sex=contr.sum.")
        found[factor] = coding
    return found


# --- messages ------------------------------------------------------------------


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"{PROGRAM}: warning: {_plain(message)}", file=sys.stderr)


def _plain(error):
    """The message of an error; the line with its caret, if it has one, stays below it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
