"""A pass over Parquet and over a store against reading the same columns.

    python benchmarks/store.py                     10 million rows
    python benchmarks/store.py --rows 100000000
    python benchmarks/store.py --quick

The cases of out_of_core.py. A pass is all reading and summing of a fit (`run_passes`). Parquet is compared with `pyarrow.parquet.read_table`
of the columns, the store with `np.sum` over the same columns, mapped. Medians of CPU seconds in one process; the files are in the page cache.
"""

import argparse
import pathlib
import statistics
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
BY = {"nested": "class", "growth": "student"}


def seconds(function, repeats=5):
    """Median CPU seconds."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return statistics.median(times)


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

    looking = seconds(look)
    reading = {threads: seconds(lambda: pq.read_table(path, columns=columns, use_threads=threads > 1)) for threads in (1, 2)}
    parquet = {threads: seconds(lambda: run_passes(open_source(str(path)), request, threads)) for threads in (1, 2)}
    passes = {threads: seconds(lambda: run_passes(store, request, threads)) for threads in (1, 2)}
    return [
        case, f"{rows:,}", *(f"{reading[t]:.2f}" for t in (1, 2)), *(f"{parquet[t]:.2f} ({parquet[t] / reading[t]:.1f})" for t in (1, 2)),
        f"{looking:.3f}", *(f"{passes[t]:.2f} ({passes[t] / looking:.1f})" for t in (1, 2)), f"{preparing:.1f}",
    ]


HEADER = ["case", "rows", "read_table, 1 thread", "2 threads", "pass over Parquet, 1", "2", "np.sum of the store", "pass over the store, 1", "2", "prepare"]


def main():
    from benchmarks.machine import describe_machine
    from benchmarks.tables import markdown, write_table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = 200_000 if options.quick else options.rows
    text = "\n".join([
        "# A pass over rows", "", describe_machine(1), "CPU seconds, in brackets as a multiple of reading alone.", "",
        markdown(HEADER, [measurements(case, rows) for case in BY]),
    ])
    write_table("store" + ("_quick" if options.quick else ""), text)


if __name__ == "__main__":
    main()
