"""Simulate the classroom data: ``python make_classroom.py [FOLDER]``.

Sixty classes of 15 to 30 students.  A student's exam score depends on the days
of preparation, on poverty and on the parents' education; classes differ in
their level and in what a day of preparation is worth, and the two are
negatively correlated.  The seed is fixed, so the file can be made again.
"""

import json
import pathlib
import sys

import numpy as np
import pandas as pd

SEED = 20240917
N_CLASSES = 60
CLASS_SIZES = (15, 30)
INTERCEPT = 52.0
PER_DAY = 1.6
POVERTY = -4.5
PARENT_ED = {"no degree": 0.0, "high school": 2.0, "college": 4.5, "graduate": 6.0}
PARENT_ED_SHARES = (0.15, 0.35, 0.35, 0.15)
CLASS_SD = (5.0, 0.8)
CLASS_CORRELATION = -0.3
RESIDUAL_SD = 7.0


def simulate_classroom(seed=SEED):
    """Draw the classroom data.

    Parameters
    ----------
    seed : int

    Returns
    -------
    pandas.DataFrame
        Columns score, class, exam.prep.days, poverty, parent.ed; one row per
        student, students of a class next to each other.
    """
    random = np.random.default_rng(seed)
    covariance = np.outer(CLASS_SD, CLASS_SD) * np.array(
        [[1.0, CLASS_CORRELATION], [CLASS_CORRELATION, 1.0]]
    )
    deviations = random.multivariate_normal(np.zeros(2), covariance, size=N_CLASSES)
    size = random.integers(CLASS_SIZES[0], CLASS_SIZES[1] + 1, size=N_CLASSES)
    code = np.repeat(np.arange(N_CLASSES), size)
    class_poverty = random.beta(2.0, 4.0, size=N_CLASSES)
    days = np.minimum(random.poisson(5.0, size=code.size), 14)
    poverty = (random.random(code.size) < class_poverty[code]).astype(int)
    education = random.choice(list(PARENT_ED), size=code.size, p=PARENT_ED_SHARES)
    score = (
        INTERCEPT
        + deviations[code, 0]
        + (PER_DAY + deviations[code, 1]) * days
        + POVERTY * poverty
        + np.array([PARENT_ED[level] for level in education])
        + RESIDUAL_SD * random.standard_normal(code.size)
    )
    return pd.DataFrame(
        {
            "score": np.round(score, 1),
            "class": [f"c{number + 1:02d}" for number in code],
            "exam.prep.days": days,
            "poverty": poverty,
            "parent.ed": education,
        }
    )


def column_types(frame):
    """The entry of types.json for the classroom data."""
    return {
        "score": {"type": "number"},
        "class": {"type": "factor", "levels": sorted(frame["class"].unique()), "ordered": False},
        "exam.prep.days": {"type": "integer"},
        "poverty": {"type": "integer"},
        "parent.ed": {"type": "factor", "levels": list(PARENT_ED), "ordered": False},
    }


def write_classroom(folder):
    frame = simulate_classroom()
    frame.to_csv(folder / "classroom.csv", index=False)
    path = folder / "types.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known["classroom"] = column_types(frame)
    lines = (f"{json.dumps(name)}: {json.dumps(known[name], separators=(',', ':'))}" for name in sorted(known))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write_classroom(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent))
