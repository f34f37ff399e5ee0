"""Store what verify() prints for the models of docs/verified_migration.md; needs R.

    PYTHONPATH=. python docs/verify_output/make_verify_output.py
"""

import pathlib
import sys

from fastlmm_hlm import datasets, verify

FOLDER = pathlib.Path(__file__).parent


def models():
    """Name -> verification."""
    sleep = datasets.load("sleepstudy")
    yield "sleepstudy", verify("Reaction ~ Days + (Days | Subject)", sleep)
    yield "calendar_year", verify("Reaction ~ year + (year | Subject)", sleep.assign(year=2016 + sleep["Days"]))


def main(folder=FOLDER):
    for name, result in models():
        (pathlib.Path(folder) / f"{name}.txt").write_text(str(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
