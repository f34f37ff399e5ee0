"""Spark data frames on local[2], where pyspark and Java are installed."""

import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from blocks_of_school import school_data

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import DataError, UnknownColumnError

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, which is not installed", allow_module_level=True)

# A Java machine takes some 10 s to start.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")]

_, GAPS = school_data()
GAPS = GAPS.drop(columns=["grade", "rank"])
FORMULA = "y ~ scale(x) + track + girl + (x | school) + (1 | room)"
SAME_CRITERION = 1e-9


@pytest.fixture(scope="module")
def spark():
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = pyspark.sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "4").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def frame(spark, tmp_path_factory):
    """GAPS in five files, one of them without rows."""
    folder = tmp_path_factory.mktemp("spark")
    table = GAPS.astype({"day": "datetime64[us]"})
    for i, rows in enumerate((table[:150], table[150:300], table[:0], table[300:450], table[450:])):
        rows.to_parquet(folder / f"{i}.parquet", index=False)
    return spark.read.parquet(str(folder)).repartition(5, "school").cache()


@pytest.mark.parametrize("formula", [FORMULA, "y ~ x + factor(year) + (1 | school/room)"])
def test_spark_gives_the_fit_in_memory(frame, formula):
    memory, fit = lmer(formula, GAPS), lmer(formula, frame)
    assert fit.REMLcrit() == pytest.approx(memory.REMLcrit(), rel=0, abs=SAME_CRITERION)
    assert (int(fit.nobs), fit._missing) == (int(memory.nobs), memory._missing)
    assert [list(levels) for _, levels, _ in fit._factor_labels] == [list(levels) for _, levels, _ in memory._factor_labels]
    assert lmer(formula, frame).theta.tobytes() == fit.theta.tobytes()


def test_levels_divided_among_executors_give_the_same_bits(frame, monkeypatch):
    from fastlmm_hlm.ingest import parts

    whole = lmer(FORMULA, frame)
    monkeypatch.setattr(parts, "BYTES_OF_RANGE", 64)
    assert lmer(FORMULA, frame).theta.tobytes() == whole.theta.tobytes()


def test_executors_make_the_results_of_rows(frame, tmp_path):
    fit = lmer(FORMULA, frame)
    found = pd.read_parquet(fit.stream("fitted", out=tmp_path / "fitted", columns=["y"]))
    expected = lmer(FORMULA, GAPS)
    np.testing.assert_allclose(np.sort(found["fitted"].dropna()), np.sort(expected.fitted()), atol=1e-9)
    assert "Scaled residuals" in str(fit.summary())


def test_errors_of_executors_come_as_sentences(spark, frame):
    with pytest.raises(UnknownColumnError, match="Did you mean 'school'"):
        lmer("y ~ x + (1 | scool)", frame)
    rows = GAPS[["y", "x", "school"]].dropna()
    rows = rows.assign(y=np.where(np.arange(len(rows)) == 5, np.inf, rows["y"]))
    with pytest.raises(DataError, match="partition 0: .*infinite"):
        lmer("y ~ x + (1 | school)", spark.createDataFrame(rows).coalesce(1))
