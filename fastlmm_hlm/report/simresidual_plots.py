"""Pictures of simulated residuals: data frames in, matplotlib Axes out."""

import numpy as np

from fastlmm_hlm.report.plots import BLUE, GREY, INK, ORANGE, _finish, _pyplot

# From this many rows on, the cloud of points becomes a density and points are stored as an image.
MANY_ROWS = 5000


def plot_simulated_residuals(residuals, curves, *, axes=None, notes=(), band=None, p_quantiles=None):
    """Quantiles of residuals against uniform ones, and residuals along the fitted values.

    Parameters
    ----------
    residuals : DataFrame
        scaled, rank, outlier.
    curves : DataFrame
        x, tau, quantile, lower, upper.
    axes : pair of matplotlib Axes, optional
    notes : sequence of str
        Results of tests, written into the first panel.
    band : DataFrame, optional
        at, lower, upper: of the distribution function.
    p_quantiles : float, optional
        Written into the second panel's title.

    Returns
    -------
    ndarray of two matplotlib Axes
    """
    plt = _pyplot("plot_simulated_residuals")
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(10.4, 4.8), layout="constrained")[1]
    _quantile_panel(axes[0], residuals["scaled"].to_numpy(), band, notes)
    _fitted_panel(axes[1], residuals, curves, p_quantiles)
    return np.asarray(axes)


def _quantile_panel(ax, scaled, band, notes):
    n = len(scaled)
    ordered, expected = np.sort(scaled), (np.arange(n) + 0.5) / n
    if n > MANY_ROWS:
        use = np.unique(np.linspace(0, n - 1, MANY_ROWS).astype(int))
        ordered, expected = ordered[use], expected[use]
    if band is not None:
        # the band of F(u) at u, drawn with the expected quantile on the horizontal axis
        ax.fill_betweenx(band["at"], band["lower"], band["upper"], color="#DDDDDD", linewidth=0, zorder=1)
    ax.plot([0, 1], [0, 1], color=ORANGE, linewidth=1.3, zorder=3)
    ax.plot(expected, ordered, linestyle="none", marker="o", markersize=max(1.5, min(4.5, 60 / np.sqrt(n))), markeredgewidth=0,
            color=BLUE, zorder=4, rasterized=n > MANY_ROWS)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="expected", ylabel="simulated residual")
    if notes:
        ax.text(0.03, 0.97, "\n".join(notes), transform=ax.transAxes, va="top", fontsize=9, color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}, zorder=6)
    _finish(ax, "QQ plot of residuals", [])


def _fitted_panel(ax, residuals, curves, p):
    x, y = residuals["rank"].to_numpy(), residuals["scaled"].to_numpy()
    out, n = residuals["outlier"].to_numpy(), len(residuals)
    if n > MANY_ROWS:
        ax.hist2d(x, y, bins=[60, 40], range=[[0, 1], [0, 1]], cmap="Greys", vmin=0, vmax=5.0 * n / 2400, zorder=1, rasterized=True)
    else:
        ax.plot(x[~out], y[~out], linestyle="none", marker="o", markersize=max(1.8, min(4.5, 90 / np.sqrt(n))), markeredgewidth=0,
                color=GREY, alpha=0.75, zorder=2)
        ax.plot(x[out], y[out], linestyle="none", marker="*", markersize=8, markeredgewidth=0, color="#CC0000", zorder=5)
    for tau, own in curves.groupby("tau"):
        ax.axhline(tau, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=3)
        ax.fill_between(own["x"], own["lower"], own["upper"], color=BLUE, alpha=0.15, linewidth=0, zorder=3)
        ax.plot(own["x"], own["quantile"], color=BLUE, linewidth=1.8, zorder=4)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="fitted values, ranks", ylabel="simulated residual")
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    text = "" if p is None else f", p = {p:.3g}"
    _finish(ax, f"Residuals along the fitted values{text}", [])
    ax.grid(False)
