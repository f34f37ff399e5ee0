"""Simulate the parity suite's own data: ``python parity/simulate.py``.

Three files with a fixed seed, for what no textbook data set has together:
calendar years as a predictor, ragged groups with gaps in every column, and a
crossed experiment with two within-subject factors.
"""

import json
import pathlib

import numpy as np
import pandas as pd

SEED = 7011938
FOLDER = pathlib.Path(__file__).parent / "data"


def simulate_growth(random):
    """Yearly scores of 80 schools, 2010 to 2022, in two children a year."""
    n_schools, years, per_year = 80, np.arange(2010, 2023), 2
    school = np.repeat(np.arange(n_schools), years.size * per_year)
    year = np.tile(np.repeat(years, per_year), n_schools)
    level = 12.0 * random.standard_normal(n_schools)
    slope = 1.5 * random.standard_normal(n_schools) - 0.02 * level
    score = 480.0 + level[school] + (2.0 + slope[school]) * (year - 2016) + 25.0 * random.standard_normal(year.size)
    return pd.DataFrame({"school": school + 1, "year": year, "score": np.round(score, 2)})


def simulate_ragged(random):
    """45 groups of 1 to 9 rows, with missing values, unused levels and weights.

    Columns: y; big = 1e9 + 1e6 y and small = 1e-6 y; x, z numbers, twice = 2 x + 1;
    f a factor with an unused level; g the group as text; h a second, crossed
    factor; w weights; off an offset; keep 0/1.
    """
    n_groups = 45
    size = np.concatenate([np.ones(8, dtype=int), random.integers(2, 10, size=n_groups - 8)])
    g = np.repeat(np.arange(n_groups), size)
    n = g.size
    x, z = random.standard_normal(n), random.gamma(2.0, 3.0, size=n)
    f, h = random.integers(0, 3, size=n), random.integers(0, 7, size=n)
    w, off = np.round(random.gamma(4.0, 0.3, size=n) + 0.05, 3), np.round(random.standard_normal(n), 3)
    effect = 1.2 * random.standard_normal(n_groups)
    slope = 0.6 * random.standard_normal(n_groups)
    y = np.round(
        3.0 + effect[g] + (0.8 + slope[g]) * x - 0.1 * z + np.array([0.0, 0.7, -0.5])[f] + 0.5 * np.sin(h)
        + off + random.standard_normal(n) / np.sqrt(w), 4)
    frame = pd.DataFrame(
        {
            "y": y,
            "big": np.round(1e9 + 1e6 * y, 2),
            "small": np.round(1e-6 * y, 10),
            "x": np.round(x, 4),
            "z": np.round(z, 3),
            "twice": np.round(2.0 * np.round(x, 4) + 1.0, 4),
            "f": np.array(["low", "mid", "high"])[f],
            "g": [f"g{code + 1:02d}" for code in g],
            "h": np.array(list("ABCDEFG"))[h],
            "w": w,
            "off": off,
            "keep": (random.random(n) < 0.8).astype(int),
        }
    )
    for column, share in {"y": 0.04, "x": 0.05, "f": 0.03, "g": 0.02, "w": 0.02}.items():
        frame[column] = frame[column].mask(random.random(n) < share)
    return frame


def simulate_crossed(random):
    """24 subjects by 16 items, factors A and B within both, each cell once.

    Columns: rt; A, B coded -0.5 and 0.5; C a factor with 3 levels; subj, item.
    """
    n_subj, n_item = 24, 16
    subj, item = np.divmod(np.arange(n_subj * n_item * 4) // 4, n_item)
    a, b = np.divmod(np.arange(n_subj * n_item * 4) % 4, 2)
    a, b = a - 0.5, b - 0.5
    c = (subj + item + (a + b).astype(int)) % 3
    design = np.column_stack([np.ones(a.size), a, b, a * b])
    root_subj = np.diag([60.0, 25.0, 15.0, 20.0]) @ np.linalg.cholesky(0.75 * np.eye(4) + 0.25)
    root_item = np.diag([35.0, 12.0, 18.0, 10.0]) @ np.linalg.cholesky(0.9 * np.eye(4) + 0.1)
    by_subj = random.standard_normal((n_subj, 4)) @ root_subj.T
    by_item = random.standard_normal((n_item, 4)) @ root_item.T
    rt = (
        (design * (np.array([620.0, 30.0, -20.0, 15.0]) + by_subj[subj] + by_item[item])).sum(axis=1)
        + np.array([0.0, 12.0, -6.0])[c]
        + 70.0 * random.standard_normal(a.size)
    )
    keep = random.random(a.size) < 0.9
    return pd.DataFrame(
        {
            "rt": np.round(rt, 1),
            "A": a,
            "B": b,
            "C": np.array(["one", "two", "three"])[c],
            "subj": [f"s{code + 1:02d}" for code in subj],
            "item": [f"i{code + 1:02d}" for code in item],
        }
    )[keep]


FACTOR_LEVELS = {
    "ragged": {"f": ["low", "mid", "high", "never"], "h": list("ABCDEFGZ")},
    "crossed": {"C": ["one", "two", "three"]},
}


def column_types(frame, levels):
    """The entry of types.json: factors as listed, the rest by dtype."""
    names = {"i": "integer", "f": "number"}
    return {
        column: {"type": "factor", "levels": levels[column], "ordered": False}
        if column in levels
        else {"type": names.get(frame[column].dtype.kind, "text")}
        for column in frame
    }


def write_all(folder=FOLDER):
    path = folder / "types.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    simulators = {"growth": simulate_growth, "ragged": simulate_ragged, "crossed": simulate_crossed}
    for number, (name, simulate) in enumerate(simulators.items()):
        frame = simulate(np.random.default_rng([SEED, number]))
        frame.to_csv(folder / f"{name}.csv", index=False, na_rep="NA")
        known[name] = column_types(frame, FACTOR_LEVELS.get(name, {}))
    lines = (f"{json.dumps(name)}: {json.dumps(known[name], separators=(',', ':'))}" for name in sorted(known))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write_all()
