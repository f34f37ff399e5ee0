"""The models of the tests of degrees of freedom.

    python -m tests.inference.ddf_cases [ID ...]     the cases as JSON, for make_ddf_reference.R
"""

import functools
import json
import pathlib
import sys

from parity.cases import all_cases

HERE = pathlib.Path(__file__).parent
FROM_PARITY = (
    "dyestuff dyestuff_ml dyestuff2_singular rail ergo_no_intercept ergo_helmert pastes_nested penicillin sleep_slope "
    "sleep_slope_ml sleep_uncorrelated sleep_intercept_only_fixed sleep_quadratic sleep_weights sleep_weights_ml sleep_rank_deficient oats_split_plot "
    "oats_factor_nitrogen machines_factor_slope machines_nested_interaction machines_cell_means orthodont_interaction pixel_slope_and_nested "
    "alfalfa_per_factor_contrasts assay_nested_crossed oxide_three_levels coop_nested petrol petrol_slope_singular "
    "oxboys_quadratic tvbo_crossed cake_ordered cake_sum_and_treatment ragged_crossed ragged_rank_deficient glucose_nested "
    "growth_calendar_year growth_centred_year"
).split()
PRINTED = {"sleep_slope", "cake_factors", "ham_sas", "sleep_slope_ml", "ragged_slopes_by_factor_weighted"}
STORED = HERE / "reference"


@functools.cache
def cases():
    """dict id -> Case."""
    known = {case.id: case for case in all_cases()}
    own = {case.id: case for case in all_cases(HERE / "ddf_models.toml")}
    return {name: known[name] for name in FROM_PARITY} | own


def for_r(case):
    """What make_ddf_reference.R needs to know of a case."""
    out = case.for_r() | {"printed": case.id in PRINTED}
    try:
        out["theta"] = case.reference()["theta"]
    except FileNotFoundError:
        pass
    return out


def reference(name):
    """The stored answers of lmerTest and pbkrtest."""
    return json.loads((STORED / f"ddf_{name}.json").read_text())


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    print(json.dumps([for_r(case) for name, case in cases().items() if not wanted or name in wanted]))
