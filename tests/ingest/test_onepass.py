"""One reading gives the fit in memory, whatever the order in which levels appear; else the source is read twice."""

import numpy as np
import pandas as pd
import pytest
from blocks_of_school import cut, same_bits, school_data

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm.ingest import onepass

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning", "ignore::fastlmm_hlm.errors.DroppedRowsWarning")

# Centring and beta0 come from other rows than in memory: the same model, another rounding.
SAME_CRITERION = 1e-8
SAME_COEFFICIENT = 1e-6
_, GAPS = school_data(n=900, seed=3)
GAPS = GAPS.assign(id=np.arange(900) // 3 * 7 - 400)
SMALL = lmerControl(block_rows=64)


@pytest.fixture(autouse=True)
def few_first_rows(monkeypatch):
    monkeypatch.setattr(onepass, "HEAD", 100)


class Readings:
    """A function that gives blocks and counts how often it is called."""

    def __init__(self, data, sizes=(64,)):
        self.data, self.sizes, self.count = data, sizes, 0

    def source(self):
        def blocks():
            self.count += 1
            return cut(self.data, self.sizes)

        return blocks


def check(formula, data, readings, sizes=(64,), **arguments):
    given = Readings(data, sizes)
    fit, expected = lmer(formula, given.source(), **arguments), lmer(formula, data, **arguments)
    assert given.count == 1 + readings                    # the first call asks for the names
    assert fit.REMLcrit() == pytest.approx(expected.REMLcrit(), rel=0, abs=SAME_CRITERION)
    assert fit.fixef().to_numpy() == pytest.approx(expected.fixef().to_numpy(), rel=SAME_COEFFICIENT)
    for name, effects in expected.ranef(condVar=False).items():
        ours = fit.ranef(condVar=False)[name]
        assert list(ours.index) == list(effects.index) and list(ours.columns) == list(effects.columns)
        assert ours.to_numpy() == pytest.approx(effects.to_numpy(), abs=1e-4)
    assert (int(fit.nobs), fit._missing) == (int(expected.nobs), expected._missing)
    return fit


@pytest.mark.parametrize("formula", [
    "y ~ x + (1 | school)", "y ~ x + z + (1 | school) + (1 | room)", "y ~ x + (1 + z | id) + (1 | school)", "y ~ x + (1 | grade) + (1 | k)",
    "y ~ x * track + (x || school)", "y ~ x + grade + (1 | girl) + (1 | year)", "y ~ log(x) + (1 | school) + (0 + z | school)",
    "y ~ x + (1 | room) + (1 | id)", "y ~ x + (1 | school/room)", "y ~ x + (z | room:school)", "y ~ x + (1 | grade:school:k) + (0 + z | k)",
    "y ~ x + (1 | wide)", "y ~ x + (1 | wide:girl) + (1 | school)",
])
def test_levels_that_appear_late_take_one_reading(formula):
    check(formula, GAPS.assign(wide=GAPS["id"] * 10**12), 1)


def test_integers_whose_range_becomes_wide_are_numbered_on():
    check("y ~ x + (1 | late)", GAPS.assign(late=np.where(np.arange(900) < 500, GAPS["k"], GAPS["k"] * 10**15)), 1)


def test_nested_and_sorted_factors_take_one_reading():
    data = GAPS.assign(high=GAPS["id"] // 70).sample(frac=1, random_state=1, ignore_index=True)
    check("y ~ x + (1 | id) + (1 | high)", data, 1)
    check("y ~ x + z + (z | id) + (1 | high)", data.sort_values("id", ignore_index=True), 1)


def test_factors_that_change_places_in_the_order_of_levels():
    """In the first rows `late` has fewer levels than `room`."""
    data = GAPS.assign(late=np.where(np.arange(900) < 150, np.arange(900) % 3, np.arange(900) % 200))
    check("y ~ x + (1 | room) + (1 | late)", data, 1)
    check("y ~ x + (x | late) + (1 | room)", data, 1)


def test_weights_and_subset_take_one_reading():
    check("y ~ x + (1 | school)", GAPS, 1, weights="w", subset="z > -1")


def test_the_sums_do_not_depend_on_the_size_of_blocks():
    fits = [lmer("y ~ x + (z | id) + (1 | school)", lambda sizes=sizes: cut(GAPS, sizes)) for sizes in ([900], [64], [1, 99, 7, 300])]
    assert all(same_bits(fits[0]._products, fit._products) for fit in fits[1:])


def test_a_late_level_of_a_fixed_factor_takes_three_readings():
    data = GAPS.assign(late=np.where(np.arange(900) < 500, "a", np.where(np.arange(900) % 2, "b", "a")))
    data.loc[:99, "late"] = np.where(np.arange(100) % 2, "c", "a")
    check("y ~ x + late + (1 | school)", data, 3)


@pytest.mark.parametrize("formula", ["y ~ scale(x) + (1 | school)", "y ~ x + (1 | school:factor(room))", "y ~ x + factor(k) + (1 | school)"])
def test_what_depends_on_all_rows_takes_two_readings(formula):
    check(formula, GAPS, 2)


def test_rows_that_begin_with_one_level_are_read_twice():
    data = GAPS.sort_values("school", ignore_index=True)
    data = pd.concat([data[data["school"] == "s0"]] * 3 + [data], ignore_index=True)
    check("y ~ x + (1 | school)", data, 3)


def test_few_rows_are_read_once_and_give_the_bits_of_memory(monkeypatch):
    monkeypatch.setattr(onepass, "HEAD", 10_000)
    given = Readings(GAPS)
    fit = lmer("y ~ x + (z | id) + (1 | school)", given.source())
    assert given.count == 2 and same_bits(fit._products, lmer("y ~ x + (z | id) + (1 | school)", GAPS)._products)
