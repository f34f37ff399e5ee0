"""A small made-up data set that the tests of the frame share."""
import numpy as np
import pandas as pd


def school_data(n=60):
    rng = np.random.default_rng(3)
    return pd.DataFrame({
        "y": rng.normal(size=n), "x": rng.normal(size=n), "f": rng.choice(["a", "b", "c"], n), "s": rng.choice(["u", "v"], n),
        "school": np.repeat([30, 10, 20], n // 3), "room": np.tile(np.arange(6), n // 6), "flag": rng.random(n) < 0.5, "w": rng.uniform(1, 2, n),
    }, index=[f"row{i}" for i in range(n)])


def with_value(data, column, row, value):
    data = data.copy()
    data[column] = data[column].astype(object) if value is None else data[column].astype(float)
    data.iloc[row, data.columns.get_loc(column)] = value
    return data
