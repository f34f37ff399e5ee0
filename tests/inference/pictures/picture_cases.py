"""Data of the tests of pictures."""

import numpy as np
import pandas as pd


def pupils(n, classes, seed=7):
    """Pupils in classes within schools; some classes have one pupil."""
    rng = np.random.default_rng(seed)
    klass = rng.integers(0, classes, n)
    klass[:classes] = np.arange(classes)
    hours = rng.gamma(2.0, 1.5, n)
    b = rng.normal(size=(classes, 2)) * (4.0, 0.8)
    y = 50.0 + 2.0 * hours + b[klass, 0] + b[klass, 1] * hours + rng.normal(0.0, 5.0, n) + 0.5 * (klass % 5)
    return pd.DataFrame({"score": y, "hours": hours, "w": rng.uniform(0.5, 3.0, n), "class": klass + 1, "school": klass % 5,
                         "kind": np.where(klass % 3 == 0, "private", "public")})
