"""The models whose influence is compared with lme4's.

    python -m tests.inference.influence_cases [ID ...]     the cases as JSON, for make_influence_reference.R
"""

import functools
import json
import pathlib
import sys

from parity.cases import all_cases

STORED = pathlib.Path(__file__).parent / "reference" / "influence.json"
# Case of parity/cases.toml -> columns whose levels are left out, and whether single rows are too.
GROUPS = {
    "dyestuff": (["Batch"], True),
    "dyestuff_ml": (["Batch"], True),
    "dyestuff2_singular": (["Batch"], True),
    "rail": (["Rail"], True),
    "ergo_helmert": (["Subject"], True),
    "sleep_slope": (["Subject", "Days"], True),
    "sleep_slope_ml": (["Subject"], False),
    "sleep_uncorrelated": (["Subject"], False),
    "sleep_weights": (["Subject"], True),
    "sleep_offset_argument": (["Subject"], True),
    "pastes_nested": (["sample", "batch"], True),
    "penicillin": (["plate", "sample"], False),
    "oats_split_plot": (["Block", "Variety"], True),
    "machines_nested_interaction": (["Worker", "Machine"], True),
    "orthodont_interaction": (["Subject", "age"], True),
    "pixel_slope_and_nested": (["Dog"], True),
    "oxide_three_levels": (["Lot", "Wafer"], True),
    "assay_nested_crossed": (["Block"], True),
    "petrol": (["No"], True),
    "cake_poly_recipe": (["replicate", "temp"], False),
    "ragged_crossed": (["g", "h"], True),
    "hsb_cross_level": (["school"], False),
}


@functools.cache
def cases():
    """dict id -> Case."""
    known = {case.id: case for case in all_cases()}
    return {name: known[name] for name in GROUPS}


@functools.cache
def stored():
    """R's answers by case."""
    return json.loads(STORED.read_text())


def for_r(case):
    """What make_influence_reference.R needs to know of a case."""
    groups, rows = GROUPS[case.id]
    return case.for_r() | {"groups": groups, "rows": rows, "theta": case.reference()["theta"]}


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    print(json.dumps([for_r(case) for name, case in cases().items() if not wanted or name in wanted]))
