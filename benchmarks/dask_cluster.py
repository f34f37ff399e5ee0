"""A Dask cluster on this machine: what a fit costs, what travels, and what a groupby of the same sums costs.

    python benchmarks/dask_cluster.py [--rows 1000000 10000000] [--partitions 32] [--quick]

`growth`: students with a random slope over years, in schools; `sorted` has a student's years in one partition, `shuffled` all over them.
The groupby makes, for students alone, the sums that Z'WZ and Z'W[X y] hold: products of columns, then dask.dataframe.groupby().sum().
Moved: bytes of the request and plan sent, of the sums of partitions as they leave and as they arrive, by our own count; and what the workers sent
to each other by distributed's.
"""

import argparse
import os
import pathlib
import pickle
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

FORMULA = "score ~ year + (1 + year | student) + (1 | school)"
YEARS = 5


def partition(number, rows, partitions, shuffled):
    """Rows of one partition of `growth`: whole students one after the other, or rows of all students."""
    import numpy as np
    import pandas as pd

    n = rows // partitions
    row = np.arange(number * n, (number + 1) * n)
    if shuffled:
        row = row * 2_654_435_761 % (n * partitions) if np.gcd(2_654_435_761, n * partitions) == 1 else number + partitions * np.arange(n)
    student, year = row // YEARS, row % YEARS
    rng = np.random.default_rng(number)
    school = student % 2_000
    known = np.sin(student * 12.9898) * 3 + np.cos(student * 78.233) * year + np.sin(school * 4.1)
    return pd.DataFrame({"student": student, "school": school, "year": year.astype(float), "score": 500 + 2 * year + known + rng.normal(size=n)})


def frame(rows, partitions, shuffled):
    """The Dask frame, held by the workers."""
    import dask.dataframe as dd
    from distributed import wait

    numbers = list(range(partitions))
    made = dd.from_map(partition, numbers, rows=rows, partitions=partitions, shuffled=shuffled, meta=partition(0, 1_000, 1, False)[:0]).persist()
    wait(made)
    return made


def by_groupby(data):
    """The sums for students by dask.dataframe.groupby; as long as the students, left with the workers."""
    from distributed import wait

    columns = data.assign(one=1.0, x2=data["year"] ** 2, xy=data["year"] * data["score"], y2=data["score"] ** 2)
    sums = columns[["student", "one", "year", "x2", "score", "xy", "y2"]].groupby("student").sum(split_out=data.npartitions // 4).persist()
    wait(sums)


def only_students(data):
    """The second pass for students alone, by way of the library."""
    from fastlmm_hlm.ingest import Request
    from fastlmm_hlm.ingest.dasksource import DaskSource

    source = DaskSource(data)
    request = Request("score ~ year + (1 + year | student)")
    found = source.scans(request, source.names, 262_144, False)
    plan = found.scan.finish()
    start = processor_seconds(), time.perf_counter()
    source.sums(plan, plan.columns, sorted(found.sizes), 262_144, False)
    return processor_seconds() - start[0], time.perf_counter() - start[1]


def processor_seconds():
    """CPU seconds of this process and of the workers so far."""
    from distributed import default_client

    return time.process_time() + sum(default_client().run(time.process_time).values())


def sent_by_workers():
    """Bytes that workers have sent to each other."""
    from distributed import default_client

    def sent(dask_worker):
        return sum(entry["total"] for entry in dask_worker.transfer_outgoing_log)

    return sum(default_client().run(sent).values())


def timed(function, *arguments):
    """Seconds by the clock, CPU seconds of all processes, bytes between workers."""
    cpu, clock, moved = processor_seconds(), time.perf_counter(), sent_by_workers()
    function(*arguments)
    return time.perf_counter() - clock, processor_seconds() - cpu, sent_by_workers() - moved


def travelled(fit, data):
    """Bytes of the plan, of the sums of all partitions, and of the whole."""
    import dask

    from fastlmm_hlm.ingest.parts import sum_part

    plan = fit._plan

    def size(block, part, plan, types):
        return sum(piece.nbytes for piece in sum_part(block, part, part, plan, 262_144, 1, types))

    parts = data[plan.columns].to_delayed()
    from distributed import default_client

    shared = default_client().scatter(plan, broadcast=True, hash=False)
    sizes = dask.compute(*(dask.delayed(size, pure=False)(one, part, shared, data[plan.columns].dtypes) for part, one in enumerate(parts)))
    products = fit._products
    whole = sum(array.nbytes for array in (*products.ZtWZ, *products.ZtWXy)) + sum(own.nbytes for pair in products.pairs.values() for own in pair)
    return len(pickle.dumps(plan)), sum(sizes), whole


def measurements(rows, partitions, shuffled):
    """One line of the table."""
    from fastlmm_hlm import lmer

    data = frame(rows, partitions, shuffled)
    made = []
    clock, cpu, moved = timed(lambda: made.append(lmer(FORMULA, data)))
    plan, before, whole = travelled(made[0], data)
    own_cpu, own_clock = only_students(data)
    group = timed(by_groupby, data)
    mb = 1 / 1e6
    return [
        f"{rows:,}", "shuffled" if shuffled else "sorted", f"{clock:.1f} ({cpu:.1f})", f"{own_clock:.2f} ({own_cpu:.2f})", f"{group[0]:.2f} ({group[1]:.2f})",
        f"{group[1] / own_cpu:.1f}", f"{plan * mb:.1f}", f"{before * mb:.1f}", f"{whole * mb:.1f}", f"{moved * mb:.1f}", f"{group[2] * mb:.1f}",
    ]


HEADER = [
    "rows", "order", "lmer()", "sums for students", "groupby for students", "groupby / sums, CPU", "plan, MB", "sums of partitions, MB", "whole sums, MB",
    "between workers, lmer(), MB", "between workers, groupby, MB",
]


def main():
    from benchmarks.machine import describe_machine
    from benchmarks.tables import markdown, write_table
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--partitions", type=int, default=32)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = options.rows or ([200_000] if options.quick else [1_000_000, 10_000_000])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        measurements(100_000, 8, False)                  # imports
        lines = [measurements(n, options.partitions, shuffled) for n in rows for shuffled in (False, True)]
    text = "\n".join([
        "# A Dask cluster of two processes: `growth`", "", describe_machine(1),
        f"`{FORMULA}`, {YEARS} rows per student, {options.partitions} partitions that the workers hold. Seconds by the clock, CPU seconds of all processes in brackets.",
        "", markdown(HEADER, lines),
    ])
    write_table("dask_cluster" + ("_quick" if options.quick else ""), text)


if __name__ == "__main__":
    main()
