"""Every case against lme4 in a live R session."""

import os

import pytest

from parity import compare, lme4_live
from parity.cases import all_cases
from parity.run import outcome, table_line

pytestmark = pytest.mark.parity


def parameters():
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.is_slow else []) for case in all_cases()]


@pytest.fixture(scope="module")
def lme4():
    try:
        lme4_live.session()
    except lme4_live.NoLme4Error as problem:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail(f"FASTLMM_REQUIRE_R=1, but: {problem}")
        pytest.skip(str(problem))
    return lme4_live.reference


@pytest.mark.parametrize("case", parameters())
def test_the_fit_agrees_with_lme4_now(lme4, case):
    result = outcome(case, lme4)
    assert result.ok, table_line(result)


@pytest.mark.parametrize("case_id", ["sleep_slope", "cake_uncentred_slope", "growth_calendar_year", "ragged_everything"])
def test_lme4_now_agrees_with_its_stored_answers(lme4, case_id):
    case = next(case for case in all_cases() if case.id == case_id)
    rows = compare.compare(lme4(case), case.reference())
    assert [row for row in rows if not row.ok] == []
