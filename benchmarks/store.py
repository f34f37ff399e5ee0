"""A pass over Parquet and over a store against reading the same columns.

    python benchmarks/store.py                     10 million rows
    python benchmarks/store.py --rows 100000000
    python benchmarks/store.py --quick

The cases of out_of_core.py. A pass is all reading and summing of a fit (`run_passes`). Parquet is compared with `pyarrow.parquet.read_table`
of the columns, the store with `np.sum` over the same columns, mapped, on one thread. CPU seconds of one thread, and seconds by the clock of two.
Medians in one process, every call in turn; the files are in the page cache.
"""

import argparse
import pathlib
import statistics
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
BY = {"nested": "class", "growth": "student"}


def seconds(calls, repeats=9):
    """Median CPU seconds and seconds by the clock of each call, made in turn, dict of (CPU, clock)."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            cpu, clock = time.process_time(), time.perf_counter()
            call()
            times[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return {name: tuple(map(statistics.median, zip(*each))) for name, each in times.items()}


def measurements(case, rows):
    """One line of the table."""
    import numpy as np
    import pyarrow.parquet as pq

    from benchmarks.out_of_core import COLUMNS, FORMULAS, written
    from fastlmm_hlm import Store, prepare
    from fastlmm_hlm.ingest.passes import run_passes
    from fastlmm_hlm.ingest.request import Request
    from fastlmm_hlm.ingest.source import open_source
    from fastlmm_hlm.ingest.store import is_store

    path, columns, request = written(case, rows), COLUMNS[case], Request(FORMULAS[case])
    where, preparing = path.with_suffix(".store"), float("nan")
    if not is_store(where):
        began = time.process_time()
        prepare(path, where, by=BY[case])
        preparing = time.process_time() - began
    store = Store(where)

    def look():
        for block in store.blocks(columns, 262_144):
            for column in block.columns:
                np.sum(column.chunk(0).to_numpy())

    source = open_source(str(path))
    calls = {"sum": look}
    for threads in (1, 2):
        calls["read", threads] = lambda t=threads: pq.read_table(path, columns=columns, use_threads=t > 1)
        calls["parquet", threads] = lambda t=threads: run_passes(source, request, t)
        calls["store", threads] = lambda t=threads: run_passes(store, request, t)
    found = seconds(calls)

    def beside(name, base, clock):
        time, other = found[name][clock], found[base][clock]
        return f"{time:.2f} ({time / other:.1f})"

    return [
        case, f"{rows:,}", f"{found['read', 1][0]:.2f}", beside(("parquet", 1), ("read", 1), 0), f"{found['read', 2][1]:.2f}",
        beside(("parquet", 2), ("read", 2), 1), f"{found['sum'][0]:.3f}", beside(("store", 1), "sum", 0), beside(("store", 2), "sum", 1), f"{preparing:.1f}",
    ]


HEADER = [
    "case", "rows", "read_table, CPU", "pass over Parquet, CPU", "read_table, clock", "pass over Parquet, clock", "np.sum of the store", "pass over the store, CPU",
    "pass over the store, clock", "prepare, CPU",
]


def main():
    from benchmarks.machine import describe_machine
    from benchmarks.tables import markdown, write_table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = 200_000 if options.quick else options.rows
    text = "\n".join([
        "# A pass over rows", "", describe_machine(1),
        "CPU seconds of one thread, and seconds by the clock of two; in brackets as multiples of reading alone.", "",
        markdown(HEADER, [measurements(case, rows) for case in BY]),
    ])
    write_table("store" + ("_quick" if options.quick else ""), text)


if __name__ == "__main__":
    main()
