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
import os
import sys
import warnings

from fastlmm_hlm import __version__
from fastlmm_hlm.cli.fitting import add_datasets, add_fit
from fastlmm_hlm.cli.messages import PROGRAM, exit_code, plain, show_warning
from fastlmm_hlm.cli.migrating import add_migrate
from fastlmm_hlm.cli.sites import add_sites
from fastlmm_hlm.cli.stored import add_stored
from fastlmm_hlm.cli.verifying import add_verify
from fastlmm_hlm.errors import FastlmmError, FastlmmWarning


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
            warnings.showwarning = show_warning
            return options.run(options)
    except BrokenPipeError:              # the reader of a pipe had enough, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (FastlmmError, OSError) as error:
        print(f"{PROGRAM}: error: {plain(error)}", file=sys.stderr)
        return exit_code(error)


def _parser():
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Linear mixed models with lme4's formulas and numbers.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (add_fit, add_sites, add_verify, add_datasets, add_stored, add_migrate):
        add(commands)
    return parser
