"""The demo runs to its end and writes two pictures."""

import os
import re
import subprocess
import sys

import matplotlib
import matplotlib.image
import pytest

matplotlib.use("Agg")

from fastlmm_hlm import datasets, lmer  # noqa: E402
from fastlmm_hlm.demo import MEANS, SLOPES, main  # noqa: E402


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """The demo in a process of its own: its text and its folder."""
    folder = tmp_path_factory.mktemp("demo")
    run = subprocess.run([sys.executable, "-m", "fastlmm_hlm.demo", "--out", str(folder / "new" / "out")],
                         capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "Agg"})
    assert run.returncode == 0, run.stderr
    return run, folder / "new" / "out"


def test_the_demo_warns_of_nothing(tour):
    assert tour[0].stderr == ""


def test_the_demo_writes_its_pictures_and_says_where(tour):
    run, folder = tour
    written = re.findall(r"^written: (.+)$", run.stdout, flags=re.MULTILINE)
    assert written == [str(folder / "school_averages.png"), str(folder / "school_lines.png")]
    for path in written:
        assert matplotlib.image.imread(path).shape[0] > 300


@pytest.mark.parametrize("formula", [MEANS, SLOPES])
def test_the_demo_shows_the_summaries_of_its_models(formula, tour):
    assert str(lmer(formula, datasets.load("Hsb82")).summary()).strip() in tour[0].stdout


def test_the_demo_computes_the_intraclass_correlation(tour):
    between, within, share = map(float, re.search(r"([0-9.]+) / \([0-9.]+ \+ ([0-9.]+)\) = ([0-9.]+)\.", tour[0].stdout).groups())
    assert share == pytest.approx(between / (between + within), abs=5e-4)
    assert "18% of the variance" in " ".join(tour[0].stdout.split())


def test_the_demo_tells_time_and_evaluations_of_each_fit(tour):
    for formula in (MEANS, SLOPES):
        seconds, evaluations = re.search(re.escape(formula) + r" +([0-9.]+) +([0-9]+)\n", tour[0].stdout).groups()
        assert float(seconds) < 60 and 0 < int(evaluations) < 50


def test_a_folder_that_cannot_be_made_is_reported(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file" / "out")]) == 1
    assert "no pictures:" in capsys.readouterr().out
