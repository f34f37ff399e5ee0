"""Data and models of the benchmarks, from fixed seeds.

    python benchmarks/cases.py FOLDER [ID ...]     write the data as CSV and Parquet

Education data: students in classes in schools in districts; teachers who change.
"""

import pathlib
import sys
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

SEED = 20261123


@dataclass(frozen=True)
class Case:
    """Attributes
    ----------
    id : str
    formula : str
    make : callable
        (**sizes) -> DataFrame
    factors : tuple of str
        Columns that are categories: grouping factors and factors among the predictors.
    quick : dict
        Sizes of a version that takes seconds.
    REML : bool
    """

    id: str
    formula: str
    make: object
    factors: tuple
    quick: dict = field(default_factory=dict)
    REML: bool = True

    def data(self, quick=False):
        """The rows, or those of the quick version."""
        return self.make(**(self.quick if quick else {}))


def sleep():
    from fastlmm_hlm import datasets

    return datasets.load("sleepstudy")


def insteval(students=2972):
    """University lecture evaluations at ETH Zurich; the first `students` of them."""
    path = pathlib.Path(__file__).parents[1] / "parity" / "data" / "InstEval.csv.gz"
    data = pd.read_csv(path)
    data = data[data["s"] <= students].reset_index(drop=True)
    return data.astype({"s": "category", "d": "category", "dept": "category", "service": "category"})


def nested(n=1_000_000, classes=20_000, schools=1_000):
    """Students in classes in schools, two covariates."""
    rng = np.random.default_rng(SEED)
    school_of = np.arange(classes) % schools
    klass = rng.integers(0, classes, n)
    klass[:classes] = np.arange(classes)
    x1, x2 = rng.normal(size=n), rng.normal(size=n)
    y = (500 + 3 * x1 - 2 * x2 + rng.normal(size=schools)[school_of[klass]] * 8
         + rng.normal(size=classes)[klass] * 5 + rng.normal(size=n) * 20)
    return pd.DataFrame({"score": y, "x1": x1, "x2": x2, "school": school_of[klass], "class": klass})


def slopes(n=1_000_000, classes=20_000):
    """Students in classes, five covariates, one with a random slope."""
    rng = np.random.default_rng(SEED + 1)
    klass = rng.integers(0, classes, n)
    klass[:classes] = np.arange(classes)
    x = rng.normal(size=(n, 5))
    effects = rng.normal(size=(classes, 2)) @ np.array([[6.0, 1.0], [0.0, 2.0]])
    y = 500 + x @ [3.0, -2.0, 1.0, 0.5, 0.0] + effects[klass, 0] + effects[klass, 1] * x[:, 0] + rng.normal(size=n) * 20
    return pd.DataFrame({"score": y, **{f"x{j + 1}": x[:, j] for j in range(5)}, "class": klass})


def growth(students=1_000_000, schools=2_000, years=5):
    """Yearly scores of students in schools."""
    rng = np.random.default_rng(SEED + 2)
    student = np.repeat(np.arange(students), years)
    year = np.tile(np.arange(years, dtype=float), students)
    school_of = rng.integers(0, schools, students)
    effects = rng.normal(size=(students, 2)) @ np.array([[15.0, 1.0], [0.0, 3.0]])
    y = (400 + 20 * year + rng.normal(size=schools)[school_of[student]] * 8 + effects[student, 0]
         + effects[student, 1] * year + rng.normal(size=len(student)) * 12)
    return pd.DataFrame({"score": y, "year": year, "student": student, "school": school_of[student]})


def crossed(n=1_000_000, students=100_000, teachers=5_000):
    """Students and teachers meeting at random."""
    rng = np.random.default_rng(SEED + 3)
    student, teacher = rng.integers(0, students, n), rng.integers(0, teachers, n)
    student[:students] = np.arange(students)
    x = rng.normal(size=n)
    y = 2 * x + rng.normal(size=students)[student] * 3 + rng.normal(size=teachers)[teacher] * 2 + rng.normal(size=n) * 5
    return pd.DataFrame({"y": y, "x": x, "student": student, "teacher": teacher})


def valueadded(students=400_000, years=5, teachers=40_000, schools=1_600, districts=100, moving=0.08):
    """Scores of students who meet a teacher a year; 8% move within their district each year."""
    rng = np.random.default_rng(SEED + 4)
    per_district, per_school = schools // districts, teachers // schools
    school = rng.integers(0, schools, students)
    schools_by_year = []
    for _ in range(years):
        schools_by_year.append(school)
        moves = rng.random(students) < moving
        school = np.where(moves, (school // per_district) * per_district + rng.integers(0, per_district, students), school)
    school = np.stack(schools_by_year, axis=1).ravel()
    student = np.repeat(np.arange(students), years)
    grade = np.tile(np.arange(years, dtype=float), students)
    teacher = school * per_school + rng.integers(0, per_school, students * years)
    y = (400 + 18 * grade + rng.normal(size=students)[student] * 15 + rng.normal(size=teachers)[teacher] * 5
         + rng.normal(size=schools)[school] * 6 + rng.normal(size=len(student)) * 12)
    return pd.DataFrame({"score": y, "grade": grade, "student": student, "teacher": teacher, "school": school})


def maximal(subjects=24, items=16, repeats=5):
    """Two crossed factors with maximal random effects of a 2 x 2 design."""
    rng = np.random.default_rng(SEED + 5)
    subject, item, cell, _ = (g.ravel() for g in np.meshgrid(
        np.arange(subjects), np.arange(items), np.arange(4), np.arange(repeats), indexing="ij"))
    a, b = np.where(cell % 2, 0.5, -0.5), np.where(cell // 2, 0.5, -0.5)
    Z = np.column_stack([np.ones(len(a)), a, b, a * b])
    root = np.diag([0.8, 0.5, 0.4, 0.3]) @ np.linalg.cholesky(0.6 * np.eye(4) + 0.4)
    y = (Z @ [1.0, 0.5, 0.2, 0.1] + (Z * (rng.normal(size=(subjects, 4)) @ root.T)[subject]).sum(axis=1)
         + 0.7 * (Z * (rng.normal(size=(items, 4)) @ root.T)[item]).sum(axis=1) + rng.normal(size=len(a)))
    return pd.DataFrame({"y": y, "a": a, "b": b, "subject": subject, "item": item})


CASES = [
    Case("sleep", "Reaction ~ Days + (Days | Subject)", sleep, ("Subject",)),
    Case("insteval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", insteval, ("service", "s", "d", "dept"),
         {"students": 300}),
    Case("nested", "score ~ x1 + x2 + (1 | school) + (1 | class)", nested, ("school", "class"),
         {"n": 50_000, "classes": 1_000, "schools": 50}),
    Case("slopes", "score ~ x1 + x2 + x3 + x4 + x5 + (1 + x1 | class)", slopes, ("class",),
         {"n": 50_000, "classes": 1_000}),
    Case("growth", "score ~ year + (1 + year | student) + (1 | school)", growth, ("student", "school"),
         {"students": 5_000, "schools": 50}),
    Case("crossed", "y ~ x + (1 | student) + (1 | teacher)", crossed, ("student", "teacher"),
         {"n": 20_000, "students": 2_000, "teachers": 100}),
    Case("valueadded", "score ~ grade + (1 | student) + (1 | teacher) + (1 | school)", valueadded,
         ("student", "teacher", "school"), {"students": 4_000, "teachers": 400, "schools": 16, "districts": 4}),
    Case("maximal", "y ~ a * b + (a * b | subject) + (a * b | item)", maximal, ("subject", "item")),
]
BY_ID = {case.id: case for case in CASES}


def main(folder, ids):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if ids and case.id not in ids:
            continue
        data = case.data()
        data.to_csv(folder / f"{case.id}.csv", index=False)
        data.to_parquet(folder / f"{case.id}.parquet", index=False)
        print(f"{case.id}: {len(data):,} rows in {folder}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
