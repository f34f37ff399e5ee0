"""The command line: fit a model to a file, compare it with lme4, and list the data sets.

    fastlmm-hlm fit "score ~ days + (1 + days | class)" scores.csv
    fastlmm-hlm site study.json north.csv -o north.flmm
    fastlmm-hlm pool north.flmm south.flmm
    fastlmm-hlm verify "score ~ days + (1 + days | class)" scores.csv --report out.html
    fastlmm-hlm datasets
    fastlmm-hlm to-r "score ~ days + (1 + days | class)" scores.csv model.rds
    fastlmm-hlm from-r model.rds
    fastlmm-hlm migrate script.R -o script.py --verify

Results go to stdout, warnings and errors to stderr.  Exit code 0: fitted; 1: the
optimizer did not converge (or there is no optimum); 2: the command, the formula
or the data cannot be used.  verify and migrate --verify: 0 verified; 1 not equal;
2 as above; 3 R or one of its packages is missing; 4 R refused the model or the script.
"""

import argparse
import json
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
from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError, FastlmmWarning, RMissingError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.ddf import METHODS, fit_for
from fastlmm_hlm.migrate import migrate
from fastlmm_hlm.migrate.parse import PARSERS
from fastlmm_hlm.optimize.control import OPTIMIZERS
from fastlmm_hlm.rbridge.handing import R_NAME, to_r
from fastlmm_hlm.rbridge.reading import read_rds
from fastlmm_hlm.report.frames import ranef_text
from fastlmm_hlm.sites import SiteCrossProducts, lmer_from_crossproducts, site_crossproducts
from fastlmm_hlm.sites.summing import as_study
from fastlmm_hlm.report.plainvalues import plain_values
from fastlmm_hlm.verification.models import read_models
from fastlmm_hlm.verification.record import SCHEMA_OF_MANY
from fastlmm_hlm.verification.verify import verify

PROGRAM = "fastlmm-hlm"
DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
DATA_HELP = "a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file"
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
        Exit code.
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
        return _exit_code(error)


def _exit_code(error):
    """Of a command that ended with an error."""
    return 3 if isinstance(error, RMissingError) else 1 if isinstance(error, ArithmeticError) else 2


def _parser():
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Linear mixed models with lme4's formulas and numbers.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a linear mixed model and print its summary")
    fit.add_argument("formula", metavar="FORMULA", help='such as "score ~ days + (1 + days | class)"')
    fit.add_argument("data", metavar="DATA", help=DATA_HELP)
    _add_model_arguments(fit)
    fit.add_argument("--optimizer", choices=OPTIMIZERS, default="newton")
    fit.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    fit.add_argument("--ranef", action="store_true", help="also give the random effects")
    fit.add_argument("--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    fit.set_defaults(run=run_fit)

    _add_sites(commands)
    verify = commands.add_parser("verify", help="fit a model here and in R's lme4, and compare every number")
    verify.add_argument("formula", metavar="FORMULA", nargs="?", help="as in fit")
    verify.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    _add_model_arguments(verify)
    verify.add_argument("--models", metavar="FILE", type=pathlib.Path, help="verify the models of a TOML file instead, one line each")
    verify.add_argument("--tolerance", metavar="QUANTITY=VALUE", nargs="+", action="extend", default=[],
                        help="largest difference that counts as equal, such as theta=1e-3")
    verify.add_argument("--report", metavar="FILE", type=pathlib.Path,
                        help="write a page with pictures there; with --models a folder, one page each")
    verify.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write everything as JSON; without FILE to stdout instead of the table")
    verify.set_defaults(run=run_verify)

    listing = commands.add_parser("datasets", help="list the data sets of the package, or write one as CSV")
    listing.add_argument("name", metavar="NAME", nargs="?", help="write this one to stdout")
    listing.set_defaults(run=run_datasets)
    _add_r_commands(commands)

    migration = commands.add_parser("migrate", help="translate an R script of mixed models to Python")
    migration.add_argument("script", metavar="SCRIPT", type=pathlib.Path, help="an R script")
    migration.add_argument("-o", "--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    migration.add_argument("--verify", action="store_true", help="run both scripts and compare every fitted model")
    migration.add_argument("--parser", choices=[*PARSERS], help="what reads the script; R's own where R is installed")
    migration.set_defaults(run=run_migrate)
    return parser


def _add_sites(commands):
    """The commands of sites that may not share rows."""
    site = commands.add_parser("site", help="sum the rows of one site into a file without rows")
    site.add_argument("study", metavar="STUDY", help="a file that Study(...).save() wrote, or a formula")
    site.add_argument("data", metavar="DATA", help="a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file")
    site.add_argument("-o", "--output", metavar="FILE", required=True, type=pathlib.Path, help="write the sums there, such as north.flmm")
    site.add_argument("--site", metavar="NAME", help="name of the site; that of FILE without its ending by default")
    site.add_argument("--min-cell", metavar="N", type=int, default=5, help="groups with fewer rows are small (5)")
    site.add_argument("--small", choices=("warn", "refuse", "drop"), default="warn", help="what to do with small groups")
    site.set_defaults(run=run_site)

    pool = commands.add_parser("pool", help="fit a model to the sums of all sites and print its summary")
    pool.add_argument("files", metavar="FILE", nargs="+", help="what the command site wrote")
    pool.add_argument("--ml", action="store_true", help="maximize the likelihood instead of what the study says")
    pool.add_argument("--ddf", choices=METHODS, default=METHODS[0], help="degrees of freedom of the t-tests")
    pool.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    pool.add_argument("--ranef", action="store_true", help="also give the random effects")
    pool.add_argument("--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    pool.set_defaults(run=run_pool)


def _add_r_commands(commands):
    sending = commands.add_parser("to-r", help="fit a model and save it for R, as lme4's own (needs R and rpy2)")
    sending.add_argument("formula", metavar="FORMULA")
    sending.add_argument("data", metavar="DATA", help="a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file")
    sending.add_argument("output", metavar="MODEL.rds", type=pathlib.Path)
    sending.add_argument("--ml", action="store_true", help="maximize the likelihood instead of the restricted one")
    sending.add_argument("--lmertest", action="store_true", help="of lmerTest's class")
    sending.set_defaults(run=run_to_r)
    reading = commands.add_parser("from-r", help="print the summary of a model that R saved with saveRDS (needs R and rpy2)")
    reading.add_argument("model", metavar="MODEL.rds", type=pathlib.Path)
    reading.add_argument("--ddf", choices=METHODS, default=METHODS[0], help="degrees of freedom of the t-tests")
    reading.set_defaults(run=run_from_r)


def _add_model_arguments(parser):
    """What fit and verify share."""
    parser.add_argument("--ml", action="store_true", help="maximize the likelihood instead of the restricted one")
    parser.add_argument("--weights", metavar="W", help="prior weights: a column or an expression in columns")
    parser.add_argument("--offset", metavar="O", help="known part of the predictor: a column or an expression")
    parser.add_argument("--subset", metavar="S", help='rows to use: a condition such as "days >= 2"')
    parser.add_argument("--contrasts", metavar="F=CODING", nargs="+", action="extend", default=[],
                        help="coding of factors, such as sex=contr.sum")
    parser.add_argument("--ddf", choices=METHODS, default=METHODS[0],
                        help="degrees of freedom of the t-tests; lme4 gives neither them nor p-values")


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
    return _show_fit(fit, options)


def _show_fit(fit, options):
    """Print or write the summary or the record of a fit; returns the exit code."""
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


def run_site(options):
    """fastlmm-hlm site; prints what the file reveals and returns 0."""
    study = as_study(options.study)
    name = options.site or options.output.name.removesuffix(".flmm")
    sums = site_crossproducts(study, read_table(options.data, id_columns(study.formula)), site=name)
    sums.save(options.output, min_cell=options.min_cell, small=options.small)
    print(SiteCrossProducts.load(options.output).disclosure(), flush=True)
    return 0


def run_pool(options):
    """fastlmm-hlm pool; returns the exit code."""
    if options.output is not None and not options.output.absolute().parent.is_dir():
        raise ArgumentError(f"--output {options.output}: there is no folder {options.output.absolute().parent}; make it first.")
    return _show_fit(lmer_from_crossproducts(options.files, REML=False if options.ml else None), options)


def run_to_r(options):
    """fastlmm-hlm to-r; returns the exit code."""
    formula = parse_formula(options.formula)
    fit = lmer(formula.text, read_table(options.data, id_columns(formula)), REML=not options.ml)
    name = options.data.rpartition("/")[2].partition(".")[0]
    to_r(fit, path=options.output, lmerTest=options.lmertest, data_name=name if R_NAME.match(name) else None)
    return 1 if fit.optinfo["status"] == "failed" else 0


def run_from_r(options):
    """fastlmm-hlm from-r; returns 0."""
    found = read_rds(options.model)
    for name, fit in found.items() if isinstance(found, dict) else [("", found)]:
        sys.stdout.write(f"{name}:\n\n" if name else "")
        sys.stdout.write(f"{fit.summary(ddf=options.ddf)}".rstrip("\n") + "\n")
    sys.stdout.flush()
    return 0


def run_verify(options):
    """fastlmm-hlm verify; returns the exit code."""
    if (options.models is None) == (options.formula is None):
        raise ArgumentError("verify: give FORMULA and DATA, or --models FILE.")
    if options.models is not None:
        return _verify_models(options)
    if options.data is None:
        raise ArgumentError(f"verify: DATA is missing after the formula {options.formula!r} (put --json alone at the end).")
    _check_folders(options)
    result = verify(
        options.formula, _data_for(options.formula, options.data), REML=not options.ml, weights=options.weights, offset=options.offset,
        subset=options.subset, contrasts=_contrasts(options.contrasts) or None, ddf=options.ddf, tolerances=_tolerances(options.tolerance),
    )
    if options.report is not None:
        result.to_html(options.report)
    _write_json(options.json, result.to_json())
    if options.json != "-":
        sys.stdout.write(f"{result}")
    sys.stdout.flush()
    return result.exit_code


def _verify_models(options):
    """The models of a TOML file, one line each; an error in one does not stop the others."""
    models = read_models(options.models)
    if options.report is not None:
        options.report.mkdir(parents=True, exist_ok=True)
    records, codes = [], []
    for model in models:
        arguments = {name: value for name, value in model.items() if name not in ("id", "formula", "data")}
        try:
            result = verify(model["formula"], _data_for(model["formula"], model["data"]), **arguments)
        except RMissingError:
            raise
        except (FastlmmError, OSError) as error:
            line, record, code = f"{model['id']:24} ERROR: {_plain(error)}", {"error": _plain(error)}, _exit_code(error)
        else:
            line, record, code = result.line(model["id"]), result.record, result.exit_code
            if options.report is not None:
                result.to_html(options.report / f"{model['id']}.html")
        codes.append(code)
        records.append({"id": model["id"], "exit_code": code} | record)
        print(line, file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    counted = f"{len(models)} model{'s'[: len(models) != 1]}, {codes.count(0)} verified"
    print(counted, file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    _write_json(options.json, json.dumps({"schema": SCHEMA_OF_MANY, "models": records}, indent=2, allow_nan=False) + "\n")
    return next((code for code in (2, 4, 1) if code in codes), 0)


def _data_for(formula, path):
    """The table of a formula that may be one that only R can read."""
    try:
        ids = id_columns(parse_formula(formula))
    except FastlmmError:
        ids = ()
    return read_table(path, ids)


def _check_folders(options):
    for name, path in (("report", options.report), ("json", options.json)):
        if path not in (None, "-") and not pathlib.Path(path).absolute().parent.is_dir():
            raise ArgumentError(f"--{name} {path}: there is no folder {pathlib.Path(path).absolute().parent}; make it first.")


def _write_json(path, text):
    if path == "-":
        sys.stdout.write(text)
    elif path is not None:
        pathlib.Path(path).write_text(text, encoding="utf-8")


def _tolerances(pairs):
    found = {}
    for pair in pairs:
        quantity, equals, value = pair.partition("=")
        try:
            found[quantity] = float(value)
        except ValueError:
            raise ArgumentError(f"--tolerance {pair}: expected QUANTITY=VALUE, such as theta=1e-3.") from None
    return found


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
    return plain_values(record)


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
