"""Arguments that several commands have."""

import pathlib

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.ddf import METHODS

DATA_HELP = "a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file"


def add_model_arguments(parser):
    """What fit and verify share."""
    parser.add_argument("--ml", action="store_true", help="maximize the likelihood instead of the restricted one")
    parser.add_argument("--weights", metavar="W", help="prior weights: a column or an expression in columns")
    parser.add_argument("--offset", metavar="O", help="known part of the predictor: a column or an expression")
    parser.add_argument("--subset", metavar="S", help='rows to use: a condition such as "days >= 2"')
    parser.add_argument("--contrasts", metavar="F=CODING", nargs="+", action="extend", default=[],
                        help="coding of factors, such as sex=contr.sum")
    parser.add_argument("--ddf", choices=METHODS, default=METHODS[0],
                        help="degrees of freedom of the t-tests; lme4 gives neither them nor p-values")


def contrasts_of(pairs):
    found = {}
    for pair in pairs:
        factor, equals, coding = pair.partition("=")
        if not (factor and equals and coding):
            raise ArgumentError(f"--contrasts {pair}: expected FACTOR=CODING, such as sex=contr.sum.")
        found[factor] = coding
    return found


def check_folder(option, path):
    """Refuse a file to be written in a folder that does not exist; None and "-" are no files.

    Raises
    ------
    ArgumentError
    """
    if path not in (None, "-") and not pathlib.Path(path).absolute().parent.is_dir():
        raise ArgumentError(f"--{option} {path}: there is no folder {pathlib.Path(path).absolute().parent}; make it first.")
