"""verify: a model here and in R's lme4."""

import json
import pathlib
import sys

from fastlmm_hlm.cli.arguments import DATA_HELP, add_model_arguments, check_folder, contrasts_of
from fastlmm_hlm.cli.messages import exit_code, plain
from fastlmm_hlm.cli.reading import id_columns, read_table
from fastlmm_hlm.errors import ArgumentError, FastlmmError, RMissingError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.verification.models import read_models
from fastlmm_hlm.verification.record import SCHEMA_OF_MANY
from fastlmm_hlm.verification.verify import verify


def add_verify(commands):
    parser = commands.add_parser("verify", help="fit a model here and in R's lme4, and compare every number")
    parser.add_argument("formula", metavar="FORMULA", nargs="?", help="as in fit")
    parser.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    add_model_arguments(parser)
    parser.add_argument("--models", metavar="FILE", type=pathlib.Path, help="verify the models of a TOML file instead, one line each")
    parser.add_argument("--tolerance", metavar="QUANTITY=VALUE", nargs="+", action="extend", default=[],
                        help="largest difference that counts as equal, such as theta=1e-3")
    parser.add_argument("--report", metavar="FILE", type=pathlib.Path,
                        help="write a page with pictures there; with --models a folder, one page each")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write everything as JSON; without FILE to stdout instead of the table")
    parser.set_defaults(run=run_verify)


def run_verify(options):
    """fastlmm-hlm verify; returns the exit code."""
    if (options.models is None) == (options.formula is None):
        raise ArgumentError("verify: give FORMULA and DATA, or --models FILE.")
    if options.models is not None:
        return _verify_models(options)
    if options.data is None:
        raise ArgumentError(f"verify: DATA is missing after the formula {options.formula!r} (put --json alone at the end).")
    check_folder("report", options.report)
    check_folder("json", options.json)
    result = verify(
        options.formula, _data_for(options.formula, options.data), REML=not options.ml, weights=options.weights, offset=options.offset,
        subset=options.subset, contrasts=contrasts_of(options.contrasts) or None, ddf=options.ddf, tolerances=_tolerances(options.tolerance),
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
            line, record, code = f"{model['id']:24} ERROR: {plain(error)}", {"error": plain(error)}, exit_code(error)
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
