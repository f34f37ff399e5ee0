"""Every case against lme4's stored answers; R is not needed."""

import pytest

from parity.cases import all_cases
from parity.run import outcome, table_line


def parameters():
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.is_slow else []) for case in all_cases()]


@pytest.mark.parametrize("case", parameters())
def test_the_fit_agrees_with_the_stored_answers_of_lme4(case):
    result = outcome(case, lambda case: case.reference())
    assert result.ok, table_line(result)
