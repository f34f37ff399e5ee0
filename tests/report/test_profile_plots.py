"""Pictures of profiles: what is drawn where, and that they are real pictures."""

import functools
import subprocess
import sys
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fastlmm_hlm import datasets, lmer, profile
from fastlmm_hlm.errors import ArgumentError


@functools.cache
def made(data="sleepstudy", formula="Reaction ~ Days + (Days | Subject)"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return profile(lmer(formula, datasets.load(data)))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_there_is_one_panel_per_parameter_with_its_name():
    for axes in (made().plot_zeta(), made().plot_density()):
        assert [ax.get_title(loc="left") for ax in axes] == made().names


def test_the_curve_of_zeta_goes_through_the_points_of_the_profile():
    for name, ax in zip(made().names, made().plot_zeta()):
        x, y = ax.lines[0].get_data()
        points = made().points[name]
        np.testing.assert_allclose(np.interp(points[name], x, y), points[".zeta"], atol=1e-6)
        assert (np.diff(y) > 0).all()


def test_intervals_are_drawn_at_the_limits():
    axes = made().plot_zeta(levels=(0.95,))
    for name, ax in zip(made().names, axes):
        drawn = sorted(float(c.get_segments()[0][0, 0]) for c in ax.collections)
        limits = made().confint(name).to_numpy()[0]
        np.testing.assert_allclose(drawn, limits, rtol=1e-3)


def test_absolute_roots_have_intervals_at_their_height():
    ax = made().plot_zeta(absolute=True, levels=(0.95,))[4]
    assert ax.get_ylim()[0] == 0.0
    assert min(ax.lines[0].get_ydata()) >= 0.0
    (low, height), (high, _) = ax.collections[0].get_segments()[0]
    assert abs(height - 1.959964) < 1e-5
    np.testing.assert_allclose([low, high], made().confint("(Intercept)").to_numpy()[0], rtol=1e-3)


def test_densities_have_mass_one_and_their_mode_near_the_estimate():
    for name, curve in made().densities().items():
        mass = np.trapezoid(curve["density"], curve["value"])
        assert 0.98 < mass < 1.005
        mode = curve["value"][curve["density"].argmax()]
        limits = made().confint(name, level=0.5).to_numpy()[0]
        assert limits[0] < mode < limits[1]


def test_a_profile_that_begins_at_its_bound_is_drawn_from_there():
    one = made("Dyestuff2", "Yield ~ 1 + (1 | Batch)")
    x, y = one.plot_zeta()[0].lines[0].get_data()
    assert x[0] == 0.0 and abs(y[0]) < 1e-9
    density = one.densities()[".sig01"]
    assert density["density"].iloc[0] > 0.99 * density["density"].max()      # highest at the bound
    assert (np.diff(density["density"])[10:] < 0).all()
    one.plot_density()[0].figure.canvas.draw()


def test_given_axes_are_used_and_too_few_are_refused():
    figure, axes = plt.subplots(2, 3)
    assert list(made().plot_zeta(ax=axes)) == list(axes.ravel())
    with pytest.raises(ArgumentError, match="1 axes were given for 6 parameters"):
        made().plot_density(ax=plt.gca())


def test_a_picture_has_ink_in_every_panel():
    axes = made().plot_density()
    figure = axes[0].figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    for ax in axes:
        box = ax.get_window_extent().extents.astype(int)
        panel = pixels[pixels.shape[0] - box[3] : pixels.shape[0] - box[1], box[0] : box[2], :3]
        assert (panel < 250).any(axis=2).mean() > 0.05


def test_matplotlib_is_loaded_by_the_picture_alone():
    program = (
        "import sys\nfrom fastlmm_hlm import datasets, lmer, profile\n"
        "p = profile(lmer('Yield ~ 1 + (1 | Batch)', datasets.load('Dyestuff')))\n"
        "p.confint()\nprint('matplotlib' in sys.modules)\np.plot_zeta()\nprint('matplotlib' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                         env={"MPLBACKEND": "Agg", "PATH": "/usr/bin:/bin"}, cwd=".")
    assert run.stdout.split() == ["False", "True"]
