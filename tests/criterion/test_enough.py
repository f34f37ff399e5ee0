"""The core's size is foretold from the pairs of levels that meet, and refused where memory is short."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm.criterion import enough
from fastlmm_hlm.criterion.coresize import core_size, random_density
from fastlmm_hlm.errors import DataError, NotEnoughMemoryError, NotEnoughMemoryWarning


def crossing(n=6000, students=900, teachers=600, districts=1, seed=1):
    rng = np.random.default_rng(seed)
    district = rng.integers(0, districts, n)
    student = district * (students // districts) + rng.integers(0, students // districts, n)
    teacher = district * (teachers // districts) + rng.integers(0, teachers // districts, n)
    return pd.DataFrame({"y": rng.normal(size=n) + rng.normal(size=students)[student] + rng.normal(size=teachers)[teacher], "student": student, "teacher": teacher})


FORMULA = "y ~ 1 + (1 | student) + (1 | teacher)"


def neighbours(data):
    """The definition: pairs of teachers with a common student, the diagonal among them."""
    Z = pd.crosstab(data["student"], data["teacher"]).to_numpy()
    return np.tril((Z.T @ Z) > 0).sum()


def test_a_wide_crossing_leaves_a_dense_core():
    data = crossing()
    core = core_size(lmer(FORMULA, data)._products)
    assert (core.order, core.dense, core.certain) == (600, True, False) and core.bytes == 16 * 600**2
    assert core_size(lmer(FORMULA, crossing(n=20_000))._products).certain
    n = 600 * 601 / 2
    assert random_density(6000, 900, 600) == pytest.approx(neighbours(data) / n, rel=0.05)


def test_parts_that_never_meet_leave_a_sparse_core():
    core = core_size(lmer(FORMULA, crossing(districts=30))._products)
    assert not core.dense and core.order == 600 and core.entries == 30 * 20 * 21 / 2


def test_nested_factors_leave_one_entry_per_level():
    data = crossing().assign(teacher=lambda d: d["student"] // 2)
    core = core_size(lmer(FORMULA, data)._products)
    assert (core.order, core.entries, core.dense) == (450, 450, False)


def test_lmer_says_before_it_starts_that_memory_is_short(monkeypatch):
    data = crossing(n=20_000)
    monkeypatch.setattr(enough, "SMALL", 0)
    monkeypatch.setattr(enough, "machine_memory", lambda: 4 * 2**20)
    with pytest.raises(NotEnoughMemoryError, match=r"student \(900 levels\) and teacher \(600 levels\).* order 600, which takes") as error:
        lmer(FORMULA, data)
    assert isinstance(error.value, DataError) and isinstance(error.value, MemoryError)
    with pytest.warns(NotEnoughMemoryWarning):
        lmer(FORMULA, data, control=lmerControl(check_memory="warning"))
    assert lmer(FORMULA, data, control=lmerControl(check_memory="ignore")).sigma() > 0
    assert lmer(FORMULA, crossing(districts=30)).sigma() > 0
    with pytest.warns(NotEnoughMemoryWarning):           # the pattern is not full, elimination is expected to fill it
        lmer(FORMULA, crossing())


def test_this_machine_has_some_memory():
    assert enough.machine_memory() > 2**28
