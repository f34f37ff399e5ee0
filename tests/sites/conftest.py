"""Three districts whose rows stay at home, and a study of theirs."""

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import Study, site_crossproducts


def district(number, n, schools, seed=5):
    """Rows of one district: school ids repeat between districts, teachers work in several."""
    rng = np.random.default_rng([seed, number])
    common = np.random.default_rng(seed)
    teacher_effects = common.normal(size=40)
    school, room, teacher = rng.integers(1, schools + 1, n), rng.integers(1, 4, n), rng.integers(0, 14, n) + 5 * number
    data = pd.DataFrame({
        "school": school, "room": room, "teacher": teacher, "days": rng.normal(20 + number, 5, n), "sex": rng.choice(["F", "M"], n),
        "grade": rng.choice(["low", "mid", "high"], n), "girl": rng.random(n) < 0.5, "year": rng.integers(2010, 2020, n), "w": rng.uniform(0.5, 2, n),
        "known": rng.normal(size=n),
    })
    effects = rng.normal(size=(schools + 1, 2)) * [2, 0.1]
    rooms = rng.normal(size=(schools + 1, 4))
    data["score"] = (
        50 + 0.3 * data["days"] + (data["sex"] == "M") + 0.1 * (data["year"] - 2015) + effects[school, 0] + effects[school, 1] * data["days"]
        + rooms[school, room] + teacher_effects[teacher] + rng.normal(size=n) * 2
    )
    return data


@pytest.fixture(scope="session")
def rows():
    return {"north": district(0, 400, 12), "south": district(1, 300, 5), "east": district(2, 200, 9)}


@pytest.fixture(scope="session")
def study():
    return Study("score ~ days * sex + year + (1 + days | school) + (1 | teacher)", factors={"sex": ["F", "M"]}, shared=["teacher"])


@pytest.fixture(scope="session")
def parts(rows, study):
    return [site_crossproducts(study, data, site=site) for site, data in rows.items()]
