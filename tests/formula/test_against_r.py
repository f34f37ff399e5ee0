"""Model matrices, random terms and texts against R's, stored in reference.json.

make_reference.R wrote the file; it says with which versions.
"""
import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm.errors import DroppedRowsWarning
from fastlmm_hlm.formula import Formula, build_frame, update_formula
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.parse import parse_expression

REFERENCE = json.loads((pathlib.Path(__file__).parent / "reference.json").read_text())
# The file holds 13 significant digits; bases such as poly() lose a few more
# because R takes them from a QR decomposition and we from a recurrence.
CLOSE = dict(rtol=1e-9, atol=1e-10)
ORDERED = ["lo", "mid", "hi", "top", "max"]
LOOSE_CHECKS = ("nobs.vs.nlev", "nobs.vs.nRE")


def as_data(columns):
    """Give the columns of the file the types they have in make_reference.R."""
    data = pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
    for name in ("f", "s", "fm"):
        levels = sorted({v for v in REFERENCE["data"][name] if v is not None})
        data[name] = pd.Categorical(data[name], categories=levels)
    data["o"] = pd.Categorical(data["o"], categories=ORDERED, ordered=True)
    data["when"] = pd.to_datetime(data["when"])
    return data


DATA = as_data(REFERENCE["data"])


def frame_of(case, data=DATA):
    contrasts = case.get("contrasts") or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        return build_frame(
            case["formula"], data, weights=case.get("weights"), subset=case.get("subset"), contrasts=contrasts, skip_checks=LOOSE_CHECKS
        )


def columns_of(matrix):
    return np.column_stack([np.array(column, dtype=float) for column in matrix["values"]]) if matrix["values"] else None


def case_id(case):
    return "; ".join(str(case[k]) for k in ("formula", "subset", "contrasts") if case.get(k))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=case_id)
def test_fixed_matrix_has_the_names_values_and_term_numbers_of_r(case):
    frame = frame_of(case)
    assert len(frame.y) == case["n"]
    assert frame.x_names == case["X"]["names"]
    expected = columns_of(case["X"])
    if expected is not None:
        np.testing.assert_allclose(frame.X, expected, **CLOSE)
    assert frame.assign.tolist() == np.atleast_1d(case["assign"]).tolist()
    if "offset" in case:
        np.testing.assert_allclose(frame.offset, case["offset"], **CLOSE)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=case_id)
def test_random_terms_have_the_order_names_levels_and_z_of_lme4(case):
    frame, expected = frame_of(case), case["random"]
    assert [term.group for term in frame.random] == expected["groups"]
    assert [term.names for term in frame.random] == expected["cnms"]
    assert [len(term.levels) for term in frame.random] == expected["nl"]
    for term in frame.random:
        texts = [str(level) for level in term.levels]
        if term.levels.dtype == bool:
            texts = [text.upper() for text in texts]
        assert texts == expected["levels"][term.group]
    assert sum(k * (k + 1) // 2 for k in (term.Z.shape[1] for term in frame.random)) == expected["ntheta"]
    np.testing.assert_allclose(zt_by_definition(frame), zt_from_file(expected, case["n"]), **CLOSE)


def zt_by_definition(frame):
    """Write Z' out in full: one row per level and column of each term."""
    blocks = []
    for term in frame.random:
        block = np.zeros((len(term.levels), term.Z.shape[1], len(frame.y)))
        for row, code in enumerate(term.codes):
            block[code, :, row] = term.Z[row]
        blocks.append(block.reshape(-1, len(frame.y)))
    return np.vstack(blocks)


def zt_from_file(random, n):
    zt = np.zeros((random["q"], n))
    for column in range(n):
        for entry in range(random["p"][column], random["p"][column + 1]):
            zt[random["i"][entry], column] += random["v"][entry]
    return zt


@pytest.mark.parametrize("case", REFERENCE["again"], ids=case_id)
def test_new_data_get_the_basis_learned_from_the_rows_of_the_fit(case):
    frame = frame_of(case)
    new = as_data(REFERENCE["new"])
    np.testing.assert_allclose(frame.spec.fixed(new), columns_of(case["X"]), **CLOSE)
    offset = case["offset"] if case.get("offset") is not None else np.zeros(len(new))
    np.testing.assert_allclose(frame.spec.offset(new), offset, **CLOSE)


@pytest.mark.parametrize("written, deparsed", REFERENCE["deparsed"])
def test_deparse_spells_as_r_does(written, deparsed):
    assert deparse(parse_expression(written)) == deparsed


@pytest.mark.parametrize("old, new, updated", REFERENCE["updated"])
def test_update_gives_the_formula_of_r(old, new, updated):
    assert update_formula(old, new).text == Formula(updated).text


def test_the_reference_says_which_versions_made_it():
    assert REFERENCE["versions"]["lme4"] and REFERENCE["versions"]["R"]
    assert len(REFERENCE["cases"]) >= 60
