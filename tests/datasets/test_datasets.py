"""The shipped data sets: their names, sizes and types."""

import pathlib
import re
import runpy

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import datasets
from fastlmm_hlm.errors import FastlmmError, UnknownNameError

FOLDER = pathlib.Path(datasets.__file__).parent
SHAPES = {
    "cake": (270, 5),
    "classroom": (1333, 5),
    "Dyestuff": (30, 2),
    "Dyestuff2": (30, 2),
    "Hsb82": (7185, 8),
    "Pastes": (60, 4),
    "Penicillin": (144, 3),
    "sleepstudy": (180, 3),
}


def test_available_lists_exactly_the_shipped_data_sets():
    assert datasets.available() == list(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_each_data_set_has_its_published_size_and_no_gaps(name):
    frame = datasets.load(name)
    assert frame.shape == SHAPES[name]
    assert not frame.isna().any().any()


def test_names_may_be_written_in_small_letters():
    pd.testing.assert_frame_equal(datasets.load("hsb82"), datasets.load("Hsb82"))


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="no data set 'sleep'.*cake, classroom.*sleepstudy") as caught:
        datasets.load("sleep")
    assert isinstance(caught.value, FastlmmError)
    assert isinstance(caught.value, KeyError)


def test_factors_keep_the_order_of_their_levels_in_r():
    assert list(datasets.load("Hsb82")["sector"].cat.categories) == ["Public", "Catholic"]
    assert list(datasets.load("Hsb82")["school"].cat.categories[:2]) == ["8367", "8854"]
    temperature = datasets.load("cake")["temperature"]
    assert temperature.cat.ordered
    assert list(temperature.cat.categories) == ["175", "185", "195", "205", "215", "225"]
    assert list(datasets.load("classroom")["parent.ed"].cat.categories)[0] == "no degree"


def test_numbers_are_numbers_and_grouping_ids_are_categorical():
    sleep = datasets.load("sleepstudy")
    assert sleep["Reaction"].dtype == np.float64
    assert isinstance(sleep["Subject"].dtype, pd.CategoricalDtype)
    assert sleep["Reaction"].mean() == pytest.approx(298.5078917, abs=1e-6)
    assert datasets.load("cake")["angle"].dtype == np.int64


def test_the_school_means_of_hsb82_are_exact():
    hsb = datasets.load("Hsb82")
    assert hsb.groupby("school", observed=True)["cses"].mean().abs().max() < 1e-12


def test_the_classroom_file_is_what_its_generator_makes():
    simulate = runpy.run_path(str(FOLDER / "make_classroom.py"))["simulate_classroom"]
    frame = simulate()
    stored = datasets.load("classroom")
    assert np.allclose(frame["score"], stored["score"], rtol=0, atol=1e-9)
    assert list(frame["class"]) == list(stored["class"])
    sizes = stored.groupby("class", observed=True).size()
    assert sizes.between(15, 30).all() and len(sizes) == 60


def test_sources_names_every_file_with_its_number_of_rows():
    text = (FOLDER / "SOURCES.md").read_text()
    stated = {name: int(rows) for name, rows in re.findall(r"^\| (\w+)\.csv \| (\d+) \|", text, flags=re.M)}
    assert stated == {name: shape[0] for name, shape in SHAPES.items()}


def test_no_file_is_larger_than_one_megabyte():
    assert max(path.stat().st_size for path in FOLDER.glob("*.csv")) < 1_000_000


def test_missing_values_and_gzip_files_are_read(tmp_path):
    (tmp_path / "types.json").write_text(
        '{"t": {"n": {"type": "integer"}, "f": {"type": "factor", "levels": ["b", "a", "None"], "ordered": false},'
        ' "s": {"type": "text"}}}'
    )
    pd.DataFrame({"n": ["1", "NA"], "f": ["None", "NA"], "s": ["x", "NA"]}).to_csv(tmp_path / "t.csv.gz", index=False)
    frame = datasets.read(tmp_path, "t")
    assert frame["n"].dtype == np.float64 and np.isnan(frame["n"][1])
    assert frame["f"][0] == "None" and frame["f"].isna()[1]
    assert frame["s"].isna().tolist() == [False, True]
