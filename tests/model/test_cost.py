"""cost() counts what a fit will have, from numbers and from data, and is in the size of what is measured."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import cost, lmer, prepare
from fastlmm_hlm.errors import ArgumentError


def growth(students=3000, schools=40, seed=1):
    rng = np.random.default_rng(seed)
    student = np.repeat(np.arange(students), 4)
    year = np.tile(np.arange(4.0), students)
    y = 3 * year + rng.normal(size=students)[student] * 4 + rng.normal(size=schools)[student % schools] + rng.normal(size=len(student))
    return pd.DataFrame({"y": y, "year": year, "student": student, "school": student % schools, "track": np.array(["a", "b", "c"])[student % 3]})


FORMULA = "y ~ year * track + (1 + year | student) + (1 | school)"
DATA = growth()
GIVEN = {"rows": 12_000, "levels": {"student": 3000, "school": 40}, "factors": {"track": 3}, "nested": {"student": "school"}}


def test_numbers_and_data_give_the_counts_of_the_fit(tmp_path):
    fit = lmer(FORMULA, DATA)
    DATA.to_parquet(tmp_path / "d.parquet")
    store = prepare(DATA, tmp_path / "s", by="student")
    for data in (GIVEN, DATA, tmp_path / "d.parquet", store):
        made = cost(FORMULA, data)
        assert (made.rows, made.p) == (int(fit.nobs), len(fit.fixef()))
        assert made.levels == {"student": 3000, "school": 40} and made.columns == {"student": 2, "school": 1}
        assert made.core.order == 40
        arrays = [fit._products.XyWXy, *fit._products.ZtWZ, *fit._products.ZtWXy, *(a for pair in fit._products.pairs.values() for a in pair)]
        assert made.memory["cross-products"] == pytest.approx(sum(a.nbytes for a in arrays), rel=0.1)      # indptr is not counted
        assert 0 < made.seconds["evaluation"] < made.seconds["fit"]
        for word in ("12,000 rows", "3,000 levels x 2 columns", "order 40", "cross-products", "this machine has"):
            assert word in str(made)


def test_crossing_at_random_leaves_a_dense_core_and_districts_a_sparse_one():
    formula, sizes = "y ~ 1 + (1 | student) + (1 | teacher)", {"rows": 1e7, "levels": {"teacher": 4e4, "student": 1e6}}
    whole, parted = cost(formula, sizes), cost(formula, {**sizes, "parts": 100})
    assert whole.core.dense and whole.core.order == parted.core.order == 40_000 and whole.memory["core"] == 16 * 40_000**2
    assert not parted.core.dense and parted.core.entries == 100 * 400 * 401 / 2 and list(whole.levels) == ["student", "teacher"]
    assert "NOT ENOUGH" in str(cost(formula, {**sizes, "levels": {"teacher": 1e6, "student": 2e6}, "rows": 1e9}))


def test_nesting_is_read_from_the_formula():
    made = cost("y ~ 1 + (1 | school/class)", {"rows": 1e10, "levels": {"school": 1e6, "class:school": 1e8}})
    assert made.core.entries == 1e6 and not made.core.dense


def test_memory_grows_with_levels_and_time_with_rows():
    ten = [cost("y ~ x + (1 | g)", {"rows": n, "levels": {"g": 1000}}) for n in (1e9, 1e10)]
    assert ten[0].memory["total"] == ten[1].memory["total"] and ten[1].seconds["pass"] > 4 * ten[0].seconds["pass"]


def test_what_is_refused():
    for data, words in (({"rows": 10}, "lacks 'levels'"), ({"rows": 10, "levels": {}}, "levels lacks 'g'"), ({"rows": 1, "levels": {"g": 3}, "size": 3}, "'size'")):
        with pytest.raises(ArgumentError, match=words):
            cost("y ~ x + (1 | g)", data)
