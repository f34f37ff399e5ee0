"""Sums that are added by a thread of their own."""

import pickle
import threading

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import lmer, lmerControl
from fastlmm_hlm.errors import DataError
from fastlmm_hlm.ingest import Products, Request, Scan
from fastlmm_hlm.ingest.behind import Behind

FORMULA = "y ~ x + (1 + x | g) + (1 | h)"


def rows(n=400_000, seed=1):
    rng = np.random.default_rng(seed)
    g = rng.integers(300, size=n)
    return pd.DataFrame({"y": rng.normal(size=n) + rng.normal(size=300)[g], "x": rng.normal(size=n), "g": g, "h": g % 20})


DATA = rows()


def one_more_thread():
    return [thread.name for thread in threading.enumerate() if "sums" in thread.name]


def test_tasks_are_done_in_their_order_and_the_thread_ends():
    done, behind = [], Behind()
    for k in range(50):
        behind.run(lambda k=k: done.append(k))
    behind.finish()
    behind.finish()
    assert done == list(range(50)) and not one_more_thread()
    behind.run(lambda: done.append("again"))
    behind.finish()
    assert done[-1] == "again"


@pytest.mark.parametrize("ask", ["run", "finish"])
def test_what_a_task_raises_is_raised_by_the_next_call(ask):
    behind = Behind()
    behind.run(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        behind.run(lambda: None) if ask == "run" else behind.finish()
    behind.finish()
    assert not one_more_thread()


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_a_fit_has_the_same_bits_whoever_adds(tmp_path, threads):
    path = tmp_path / "rows.parquet"
    DATA.to_parquet(path)
    fits = [lmer(FORMULA, str(path), control=lmerControl(threads=count)) for count in (1, threads)]
    assert fits[0].REMLcrit() == fits[1].REMLcrit() and fits[0].fixef().equals(fits[1].fixef()) and not one_more_thread()


def test_a_function_may_fill_the_same_arrays_again():
    buffer = {name: np.empty(50_000, dtype=column.dtype) for name, column in DATA.items()}

    def blocks():
        for first in range(0, len(DATA), 50_000):
            for name, values in buffer.items():
                values[:] = DATA[name].to_numpy()[first : first + 50_000]
            yield buffer

    assert lmer(FORMULA, blocks, control=lmerControl(threads=4)).REMLcrit() == pytest.approx(lmer(FORMULA, DATA).REMLcrit(), abs=1e-7)


def test_numbers_too_large_to_square_are_named_as_in_one_thread(tmp_path):
    path = tmp_path / "rows.parquet"
    data = DATA.copy()
    data.loc[350_000, "x"] = 1e200
    data.to_parquet(path)
    for threads in (1, 2):
        with pytest.raises(DataError, match="'x' has values of size 1e\\+200"):
            lmer(FORMULA, str(path), control=lmerControl(threads=threads))
    assert not one_more_thread()


def test_an_error_of_the_reader_ends_the_thread_too():
    plan = Scan(Request(FORMULA)).update(DATA).finish()
    with pytest.raises(KeyboardInterrupt), Products(plan, threads=2) as products:
        products.update(DATA[:200_000])
        assert one_more_thread()
        raise KeyboardInterrupt
    assert not one_more_thread()


def test_sums_with_a_thread_can_be_pickled_and_merged():
    plan = Scan(Request(FORMULA)).update(DATA).finish()
    halves = DATA[:150_000], DATA[150_000:]
    found = []
    for threads in (1, 3):
        parts = [Products(plan, part, threads).update(half) for part, half in enumerate(halves)]
        found.append(pickle.loads(pickle.dumps(parts[0])).merge(parts[1]).finish())
    for one, other in zip(found[0].ZtWXy + found[0].ZtWZ + [found[0].XyWXy], found[1].ZtWXy + found[1].ZtWZ + [found[1].XyWXy]):
        np.testing.assert_array_equal(one, other)
