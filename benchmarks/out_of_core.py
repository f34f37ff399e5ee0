"""Rows that do not fit into memory: time of the passes against reading alone, and peak memory, as rows grow.

    python benchmarks/out_of_core.py                     1 and 10 million rows
    python benchmarks/out_of_core.py --rows 100000000    another number of rows; 1e8 write files of 3 GB
    python benchmarks/out_of_core.py --quick

Data of the cases `nested` (the number of levels stays) and `growth` (students grow with the rows), written to
.data/ once. Every figure comes from a process of its own; memory is its peak beyond what it held after the imports.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
PIECE = 1_000_000
FORMULAS = {"nested": "score ~ x1 + x2 + (1 | school) + (1 | class)", "growth": "score ~ year + (1 + year | student) + (1 | school)"}
COLUMNS = {"nested": ["score", "x1", "x2", "school", "class"], "growth": ["score", "year", "student", "school"]}
STAGES = ("read", "blocks", "first", "second", "fit")


def pieces(case, rows):
    """The rows, PIECE at a time, data frames."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(20261123)
    schools = rng.normal(size=2_000) * 8
    classes = rng.normal(size=20_000) * 5
    for first in range(0, rows, PIECE):
        n = min(PIECE, rows - first)
        if case == "nested":
            room, x1, x2 = rng.integers(0, 20_000, n), rng.normal(size=n), rng.normal(size=n)
            score = 500 + 3 * x1 - 2 * x2 + schools[room % 1000] + classes[room] + rng.normal(size=n) * 20
            yield pd.DataFrame({"score": score, "x1": x1, "x2": x2, "school": room % 1000, "class": room})
            continue
        student = (first + np.arange(n)) // 5
        year = ((first + np.arange(n)) % 5).astype(float)
        effects = rng.normal(size=(n // 5 + 1, 2)) @ np.array([[15.0, 1.0], [0.0, 3.0]])
        own, school = effects[student - first // 5], (student * 7919) % 2_000
        score = 400 + 20 * year + schools[school] + own[:, 0] + own[:, 1] * year + rng.normal(size=n) * 12
        yield pd.DataFrame({"score": score, "year": year, "student": student, "school": school})


def written(case, rows):
    """The Parquet file of a case."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = FOLDER / ".data" / f"{case}_{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        writer, unfinished = None, path.with_suffix(".part")
        for frame in pieces(case, rows):
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or pq.ParquetWriter(unfinished, table.schema)
            writer.write_table(table, row_group_size=PIECE)
        writer.close()
        unfinished.rename(path)
    return path


def measured(stage, case, path, threads):
    """One stage in this process: seconds by the clock, CPU seconds, MB beyond the imports."""
    import pyarrow.parquet as pq

    from benchmarks.versus.stopwatch import memory_mb, reset_peak
    from fastlmm_hlm import lmer, lmerControl
    from fastlmm_hlm.ingest import Products, Request, Scan
    from fastlmm_hlm.ingest.passes import read_blocks
    from fastlmm_hlm.ingest.source import open_source

    source, columns = open_source(str(path)), COLUMNS[case]
    warm = lmer(FORMULAS[case], lambda: [next(pieces(case, 5_000))])
    assert warm.sigma() > 0
    plan = None
    if stage == "second":
        scan = Scan(Request(FORMULAS[case]))
        for block in read_blocks(source, columns):
            scan.update(block)
        plan = scan.finish()
        del scan
    base = reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    if stage == "read":
        for _ in pq.ParquetFile(path).iter_batches(batch_size=262_144, columns=columns):
            pass
    elif stage == "blocks":
        for _ in read_blocks(source, columns):
            pass
    elif stage == "fit":
        lmer(FORMULAS[case], str(path), control=lmerControl(threads=threads))
    else:
        adding = Scan(Request(FORMULAS[case])) if stage == "first" else Products(plan, threads=threads)
        for block in read_blocks(source, columns):
            adding.update(block)
        adding.finish()
    return time.perf_counter() - wall, time.process_time() - cpu, memory_mb("VmHWM") - base


def main():
    from benchmarks.machine import describe_machine
    from benchmarks.tables import markdown, write_table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--cases", nargs="+", choices=list(FORMULAS), default=list(FORMULAS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="of the sums; decoding has a thread of its own")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage, case, path = options.stage
        print(json.dumps(measured(stage, case, path, options.threads)))
        return
    for case in options.cases:
        rows = options.rows or ([100_000, 200_000] if options.quick else [1_000_000, 10_000_000])
        text = "\n".join([
            f"# Rows from a file: `{case}`", "", describe_machine(options.threads),
            f"`{FORMULAS[case]}`. Seconds by the clock, CPU seconds in brackets. pyarrow is its `iter_batches` of the same columns with its "
            "defaults, own reading what the passes do without their sums; ratios are of CPU seconds. A pass reads and sums. MB: peak beyond "
            "what the process held before.",
            "", markdown(HEADER, [measurements(case, n, options.threads) for n in rows]),
        ])
        write_table(f"out_of_core_{case}" + ("_quick" if options.quick else ""), text)


NAMES = ("pyarrow", "own reading", "first pass", "second pass", "lmer()")
RATIOS = ("first / pyarrow", "second / pyarrow", "first / own", "second / own")
HEADER = ["rows", *NAMES, *RATIOS, *(f"{name}, MB" for name in NAMES)]


def measurements(case, rows, threads):
    """One line of the table, every stage in a process of its own."""
    from benchmarks.tables import seconds
    from benchmarks.versus.process import thread_environment

    path, found = written(case, rows), {}
    for stage in STAGES:
        run = subprocess.run(
            [sys.executable, __file__, "--stage", stage, case, str(path), "--threads", str(threads)],
            capture_output=True, text=True, check=True, env=thread_environment(threads) | {"PATH": "/usr/bin:/bin"},
        )
        found[stage] = json.loads(run.stdout)
    return [
        f"{rows:,}", *(f"{seconds(found[s][0])} ({seconds(found[s][1])})" for s in STAGES),
        *(f"{found[s][1] / found[base][1]:.2f}" for base in ("read", "blocks") for s in ("first", "second")),
        *(f"{found[s][2]:,.0f}" for s in STAGES),
    ]


if __name__ == "__main__":
    main()
