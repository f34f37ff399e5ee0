"""fit, and datasets to try it on."""

import json
import pathlib
import sys

from fastlmm_hlm import datasets
from fastlmm_hlm.api import lmer, lmerControl
from fastlmm_hlm.cli.arguments import DATA_HELP, add_model_arguments, check_folder, contrasts_of
from fastlmm_hlm.cli.reading import id_columns, read_table
from fastlmm_hlm.cli.record import fit_record
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.optimize.control import OPTIMIZERS
from fastlmm_hlm.report.frames import ranef_text


def add_fit(commands):
    fit = commands.add_parser("fit", help="fit a linear mixed model and print its summary")
    fit.add_argument("formula", metavar="FORMULA", help='such as "score ~ days + (1 + days | class)"')
    fit.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_model_arguments(fit)
    fit.add_argument("--optimizer", choices=OPTIMIZERS, default="newton")
    fit.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    fit.add_argument("--ranef", action="store_true", help="also give the random effects")
    fit.add_argument("--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    fit.set_defaults(run=run_fit)


def add_datasets(commands):
    listing = commands.add_parser("datasets", help="list the data sets of the package, or write one as CSV")
    listing.add_argument("name", metavar="NAME", nargs="?", help="write this one to stdout")
    listing.set_defaults(run=run_datasets)


def run_fit(options):
    """fastlmm-hlm fit; returns the exit code."""
    contrasts = contrasts_of(options.contrasts)
    check_folder("output", options.output)
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
    return show_fit(fit, options)


def show_fit(fit, options):
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
