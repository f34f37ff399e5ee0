"""Every model of the parity suite, read in blocks of seven rows, against the fit in memory."""

import numpy as np
import pytest
from parity.cases import all_cases

from fastlmm_hlm import lmer, lmerControl

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")

BLOCK = 7
# Both are the same sums in another order; at the optimum the criterion forgives the second power of that.
SAME_CRITERION = 1e-9
# Relative to the size of the criterion: what double precision leaves of tens of thousands of rows.
ROUNDING = 4e-15
# Estimates move by the root of the criterion's rounding.
SAME_ESTIMATES = 2e-6


def blocks(data, size):
    """A function that gives the rows, some at a time."""
    return lambda: (data.iloc[first : first + size] for first in range(0, len(data), size))


def compare(case, size):
    data = case.frame()
    memory = lmer(case.formula, data, **case.arguments())
    stream = lmer(case.formula, blocks(data, size), **case.arguments(), control=lmerControl(block_rows=size))
    tolerance = max(SAME_CRITERION, ROUNDING * abs(memory._estimates.criterion))
    assert stream._estimates.criterion == pytest.approx(memory._estimates.criterion, rel=0, abs=tolerance)
    assert list(stream.fixef().index) == list(memory.fixef().index)
    assert stream._all_x_names == memory._all_x_names
    assert [(n, list(levels), names) for n, levels, names in stream._factor_labels] == [(n, list(levels), names) for n, levels, names in memory._factor_labels]
    assert int(stream.nobs) == int(memory.nobs)
    assert (stream._dropped, stream._missing) == (memory._dropped, memory._missing)
    if case.identified:
        scale = np.sqrt(np.diagonal(memory.vcov())) if len(memory.fixef()) else 1.0
        np.testing.assert_allclose(stream.fixef() / scale, memory.fixef() / scale, rtol=SAME_ESTIMATES, atol=SAME_ESTIMATES)
        np.testing.assert_allclose(stream.theta, memory.theta, rtol=SAME_ESTIMATES, atol=1e-4)
        assert stream.sigma() == pytest.approx(memory.sigma(), rel=SAME_ESTIMATES)


@pytest.mark.parametrize("case", [case for case in all_cases() if not case.is_slow and len(case.frame()) <= 2500], ids=lambda case: case.id)
def test_blocks_of_seven_rows_give_the_fit_in_memory(case):
    compare(case, BLOCK)


@pytest.mark.parametrize("case", [case for case in all_cases() if not case.is_slow and len(case.frame()) > 2500], ids=lambda case: case.id)
def test_blocks_of_a_thousand_rows_give_the_fit_in_memory(case):
    compare(case, 1001)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in all_cases() if len(case.frame()) > 2500], ids=lambda case: case.id)
def test_long_cases_too(case):
    compare(case, BLOCK if len(case.frame()) < 10_000 else 1001)
