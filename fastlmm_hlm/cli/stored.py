"""to-r and from-r: models that R stores."""

import pathlib
import sys

from fastlmm_hlm.api import lmer
from fastlmm_hlm.cli.arguments import DATA_HELP
from fastlmm_hlm.cli.reading import id_columns, read_table
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.inference.ddf import METHODS
from fastlmm_hlm.rbridge.handing import R_NAME, to_r
from fastlmm_hlm.rbridge.reading import read_rds


def add_stored(commands):
    sending = commands.add_parser("to-r", help="fit a model and save it for R, as lme4's own (needs R and rpy2)")
    sending.add_argument("formula", metavar="FORMULA")
    sending.add_argument("data", metavar="DATA", help=DATA_HELP)
    sending.add_argument("output", metavar="MODEL.rds", type=pathlib.Path)
    sending.add_argument("--ml", action="store_true", help="maximize the likelihood instead of the restricted one")
    sending.add_argument("--lmertest", action="store_true", help="of lmerTest's class")
    sending.set_defaults(run=run_to_r)
    reading = commands.add_parser("from-r", help="print the summary of a model that R saved with saveRDS (needs R and rpy2)")
    reading.add_argument("model", metavar="MODEL.rds", type=pathlib.Path)
    reading.add_argument("--ddf", choices=METHODS, default=METHODS[0], help="degrees of freedom of the t-tests")
    reading.set_defaults(run=run_from_r)


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
