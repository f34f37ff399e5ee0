"""How many threads a fit may use, and that BLAS keeps to one meanwhile."""

import os
import threading

import pytest

from fastlmm_hlm._core import threads
from fastlmm_hlm._core.threads import available_threads, one_blas_thread, run_all


def blas_threads():
    """Threads of every BLAS that is loaded."""
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads(monkeypatch):
    from threadpoolctl import threadpool_limits

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with threadpool_limits(limits=2, user_api="blas"):
        if not blas_threads() or min(blas_threads()) < 2:
            pytest.skip("BLAS was built, or started, for one thread only")
        yield


def test_threads_available_are_the_cores_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert available_threads() == 3


def test_where_cores_cannot_be_restricted_all_are_available(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads() == 1


def test_blas_keeps_to_one_thread_inside_and_has_its_own_again_afterwards(two_blas_threads):
    before = blas_threads()
    with one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_blas_has_its_own_threads_again_after_an_exception(two_blas_threads):
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0
    assert blas_threads() == before


def test_blas_is_left_alone_where_its_calls_are_small(two_blas_threads):
    before = blas_threads()
    with one_blas_thread(worthwhile=False):
        assert blas_threads() == before


def test_blas_that_was_started_on_one_thread_is_not_asked_again(monkeypatch):
    def refuse():
        raise AssertionError("threadpoolctl was asked")

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(threads, "_blas_controller", refuse)
    with one_blas_thread():
        pass


@pytest.mark.parametrize("count", [1, 2, 3, 50])
@pytest.mark.parametrize("tasks", [1, 2, 17])
def test_all_tasks_are_run_once_on_any_number_of_threads(count, tasks):
    done = [0] * tasks

    def task(k):
        def run():
            done[k] += 1
        return run

    run_all([task(k) for k in range(tasks)], count)
    assert done == [1] * tasks


def test_tasks_run_at_the_same_time():
    together = threading.Barrier(2, timeout=20)
    run_all([together.wait, together.wait], 2)


def test_one_thread_runs_the_tasks_itself_in_their_order():
    here, seen = threading.get_ident(), []
    run_all([lambda k=k: seen.append((k, threading.get_ident())) for k in range(5)], 1)
    assert seen == [(k, here) for k in range(5)]


@pytest.mark.parametrize("count", [1, 3])
def test_what_a_task_refuses_is_refused_by_all(count):
    def refuse():
        raise ValueError("a level code lies outside 0 .. nl-1")

    with pytest.raises(ValueError, match="level code"):
        run_all([refuse, lambda: None, lambda: None], count)
