"""How many threads to use, and keeping BLAS out of their way.

BLAS runs on one thread inside a fit.  Two OpenBLAS threads on a busy two-core
machine made one Cholesky factorization of order 1142 19 times slower, and the
number of BLAS threads changes the last bits of what it returns, whereas our own
loops give the same bits on any number of threads.
"""

import contextlib
import functools
import os


_forked = False


def _note_fork():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def allowed_threads(wanted=None):
    """Threads to use: those wanted, or the cores this process may use.

    One in a forked child: the threads of the parent's OpenMP pool do not exist
    there, and waiting for them would never end.
    """
    if _forked:
        return 1
    return available_threads() if wanted is None else int(wanted)


def available_threads():
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def _blas_controller():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread(worthwhile=True):
    """Run the block with BLAS limited to one thread.

    Parameters
    ----------
    worthwhile : bool
        False leaves BLAS alone: its calls are too small to be threaded anyway.
    """
    if not worthwhile or os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        yield
        return
    with _blas_controller().limit(limits=1, user_api="blas"):
        yield


def run_all(tasks, threads):
    """Call functions that release the GIL and write to places of their own.

    Parameters
    ----------
    tasks : list of callable
    threads : int
    """
    if threads <= 1 or len(tasks) <= 1:
        for task in tasks:
            task()
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()
