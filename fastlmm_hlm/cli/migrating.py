"""migrate: an R script as a Python script."""

import pathlib
import sys

from fastlmm_hlm.cli.arguments import check_folder
from fastlmm_hlm.cli.messages import PROGRAM
from fastlmm_hlm.migration import migrate
from fastlmm_hlm.migration.parse import PARSERS


def add_migrate(commands):
    migration = commands.add_parser("migrate", help="translate an R script of mixed models to Python")
    migration.add_argument("script", metavar="SCRIPT", type=pathlib.Path, help="an R script")
    migration.add_argument("-o", "--output", metavar="FILE", type=pathlib.Path, help="write there instead of to stdout")
    migration.add_argument("--verify", action="store_true", help="run both scripts and compare every fitted model")
    migration.add_argument("--parser", choices=[*PARSERS], help="what reads the script; R's own where R is installed")
    migration.set_defaults(run=run_migrate)


def run_migrate(options):
    """fastlmm-hlm migrate; returns the exit code."""
    from fastlmm_hlm.migration import runs

    check_folder("output", options.output)
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
