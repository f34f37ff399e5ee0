"""Measure and write tables.

    python -m benchmarks                          everything, as `make bench` does; hours
    python -m benchmarks --quick                  small versions of the cases; minutes
    python -m benchmarks floors|ols|groups|threads|tenfold|versus [--cases ID ...]
    python -m benchmarks versus --cases nested --peers fastlmm_hlm lme4
"""

import argparse
import importlib
import os
import subprocess
import sys

from benchmarks.versus.process import thread_environment

TABLES = {
    "floors": "benchmarks.floors",
    "ols": "benchmarks.ols",
    "groups": "benchmarks.groups",
    "threads": "benchmarks.threads",
    "tenfold": "benchmarks.tenfold",
    "versus": "benchmarks.versus.compare",
}


def read_options(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=TABLES, help="one table (default: all, each in its own process)")
    parser.add_argument("--cases", nargs="+", metavar="ID", help="only these cases (floors, threads, versus)")
    parser.add_argument("--quick", action="store_true", help="small versions of the cases")
    parser.add_argument("--threads", type=int, default=1, help="threads for every program (default 1)")
    versus = parser.add_argument_group("versus")
    versus.add_argument("--peers", nargs="+", metavar="NAME", help="only these programs; fastlmm_hlm is one of them")
    versus.add_argument("--limit", type=float, default=1200, help="seconds for one fit (default 1200)")
    versus.add_argument("--budget", type=float, default=20, help="seconds within which fits are repeated (default 20)")
    versus.add_argument("--max-fits", type=int, default=101, help="most fits of one program and case (default 101)")
    versus.add_argument("--settings", choices=["needed", "default", "all"], default="needed",
                        help="a program's other settings: where its estimates differ from ours (default), never, always")
    options = parser.parse_args(arguments)
    options.suffix = "_quick" if options.quick else ""
    options.peers_given = options.peers is not None
    return parser, options


def check_names(parser, options):
    """Fill in the defaults of --cases and --peers, or stop with the names that exist."""
    from benchmarks.cases import BY_ID
    from benchmarks.versus.peers import BY_NAME

    for what, known in (("cases", BY_ID), ("peers", BY_NAME)):
        given = getattr(options, what)
        unknown = [name for name in given or () if name not in known]
        if unknown:
            parser.error(f"--{what}: {', '.join(unknown)} not known; there are {', '.join(known)}")
        setattr(options, what, given or list(known))


def main(arguments):
    parser, options = read_options(arguments)
    os.environ.update(thread_environment(options.threads))     # before any library is loaded
    check_names(parser, options)
    if options.table:
        importlib.import_module(TABLES[options.table]).run(options)
        return 0
    codes = [subprocess.run([sys.executable, "-m", "benchmarks", table, *arguments], check=False).returncode
             for table in TABLES]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
