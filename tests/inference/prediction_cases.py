"""The models of the tests of prediction and simulation, and the new data that they predict.

    python -m tests.inference.prediction_cases [ID ...]     as JSON, for make_prediction_reference.R
"""

import dataclasses
import functools
import json
import pathlib
import sys
import warnings

import numpy as np
import pandas as pd

from fastlmm_hlm import lmer
from parity.cases import Case, all_cases

STORED = pathlib.Path(__file__).parent / "reference" / "prediction.json"
# Rows of the data that new data are made of, at most.
MOST_ROWS = 24
NEW = "new level"


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked of one model.

    shift    numeric predictors that the new data move
    groups   grouping columns that have a level of their own in the last two rows
    subsets  re.form
    """

    shift: tuple = ()
    groups: tuple = ()
    subsets: tuple = ()


OWN = [
    Case("sleep_natural_spline", "sleepstudy", "Reaction ~ ns(Days, 3) + (Days | Subject)"),
    Case("exam_b_spline", "Oxboys", "height ~ bs(age, df = 5) + (age | Subject)"),
    Case("sleep_products_of_factor_and_number", "Machines", "score ~ 0 + Machine + (0 + Machine | Worker)"),
]
ASKED = {
    "dyestuff2_singular": Question(groups=("Batch",)),
    "sleep_slope": Question(("Days",), ("Subject",), ("~ (1 | Subject)", "~ (0 + Days | Subject)")),
    "sleep_uncorrelated": Question(("Days",), ("Subject",), ("~ (1 | Subject)", "~ (Days | Subject)")),
    "sleep_weights": Question(("Days",), ("Subject",), ("~ (1 | Subject)",)),
    "sleep_offset_term": Question(("Days",), ("Subject",), ("~ (Days | Subject)",)),
    "sleep_factor_days": Question((), ("Subject",)),
    "sleep_rank_deficient": Question(("Days",), ("Subject",), ("~ (1 | Subject)",)),
    "sleep_log_scaled": Question(("Days",), ("Subject",)),
    "sleep_natural_spline": Question(("Days",), ("Subject",), ("~ (1 | Subject)",)),
    "exam_b_spline": Question(("age",), ("Subject",)),
    "classroom_interaction_sum": Question(("exam.prep.days",), ("class",), ("~ (1 | class)",)),
    "oxboys_poly": Question(("age",), ("Subject",)),
    "orthodont_interaction": Question(("age",), ("Subject",), ("~ (0 + age | Subject)",)),
    "machines_factor_slope": Question((), ("Worker",), ("~ (1 | Worker)",)),
    "sleep_products_of_factor_and_number": Question((), ("Worker",)),
    "machines_nested_interaction": Question((), ("Worker",), ("~ (1 | Worker)", "~ (1 | Worker:Machine)")),
    "petrol_slope_singular": Question(("EP",), ("No",), ("~ (1 | No)",)),
    "pastes_nested": Question((), ("cask",), ("~ (1 | batch)", "~ (1 | batch / cask)")),
    "oats_split_plot": Question(("nitro",), ("Block",), ("~ (1 | Block)",)),
    "assay_nested_crossed": Question((), (), ("~ (1 | Block:sample) + (1 | Block)",)),
    "cake_poly_recipe": Question(("temp",), ("replicate",), ("~ (1 | replicate)",)),
    "penicillin": Question((), ("plate",), ("~ (1 | sample)",)),
    "egsingle_three_levels": Question(("year",), ("childid",), ("~ (1 | schoolid) + (year | childid)", "~ (year | schoolid)")),
    "scots_crossed_slopes": Question(("verbal",), ("second",), ("~ (1 | second)", "~ (1 | primary) + (1 | second)")),
    "crossed_double_bar": Question((), ("subj",), ("~ (A * B || subj)", "~ (1 | subj) + (A || item)")),
    "ragged_everything": Question(("x", "off"), ("g",), ("~ (1 | g)",)),
    "ragged_rank_deficient": Question(("x", "twice"), ("g",)),
}
SIMULATED = [name for name in ASKED if name not in ("egsingle_three_levels", "scots_crossed_slopes")]


@functools.cache
def cases():
    """dict id -> Case."""
    known = {case.id: case for case in [*all_cases(), *OWN]}
    return {name: known[name] for name in ASKED}


@functools.cache
def fitted(name):
    """The fit of a case; shared, so read only."""
    case = cases()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lmer(case.formula, case.frame(), **case.arguments())


@functools.cache
def newdata(name):
    """Rows spread over the data, numbers shifted by rule, and two rows with new levels at the end."""
    fit, asked, data = fitted(name), ASKED[name], cases()[name].frame()
    used = data.iloc[fit._rows.positions] if fit._rows.positions is not None else data
    new = used.iloc[:: max(1, len(used) // MOST_ROWS)].head(MOST_ROWS).reset_index(drop=True)
    i = np.arange(len(new))
    for column in asked.shift:
        # inside the range of the data, so that splines have no say in what lies beyond
        low, high = used[column].min(), used[column].max()
        new[column] = low + (high - low) * (0.05 + 0.9 * ((i * 7 + 3) % len(new)) / len(new))
    # levels that never met in the data come together
    for shift, column in enumerate(asked.groups):
        new[column] = np.roll(new[column].astype(object), 3 + shift)
        new[column] = new[column].astype(str)
        new.loc[len(new) - 2 :, column] = NEW
    if name == "ragged_rank_deficient":
        new["twice"] = 2 * new["x"]
    return new


@functools.cache
def reference():
    """R's stored answers."""
    return json.loads(STORED.read_text())


def for_r(name):
    """What make_prediction_reference.R needs to know of a case."""
    case, fit, new = cases()[name], fitted(name), newdata(name)
    types = case.for_r()["types"]
    columns = {
        column: [None if pd.isna(v) else str(v) if types[column]["type"] in ("factor", "text") else float(v) for v in new[column]]
        for column in new if column in fit._spec.variables and column != fit._spec.formula.response
    }
    return case.for_r() | {
        "theta": fit.theta.tolist(), "newdata": columns, "subsets": list(ASKED[name].subsets),
        "has_new": bool(ASKED[name].groups), "simulated": name in SIMULATED,
    }


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    print(json.dumps([for_r(name) for name in ASKED if not wanted or name in wanted]))
