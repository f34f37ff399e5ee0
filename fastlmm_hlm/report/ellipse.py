"""Ellipses that hold a share of a bivariate normal distribution."""

import numpy as np


def ellipse(centre, sd_x, sd_y, cor, share, points=181):
    """The curve of equal density that holds `share` of a bivariate normal, (points, 2).

    A standard deviation of zero, or a correlation of +-1, gives a line.
    """
    reach = np.sqrt(-2.0 * np.log1p(-share))        # chi-squared with 2 degrees of freedom
    cor = 0.0 if np.isnan(cor) else float(np.clip(cor, -1.0, 1.0))
    t = np.linspace(0.0, 2.0 * np.pi, points)
    x, y = np.cos(t), cor * np.cos(t) + np.sqrt(1.0 - cor**2) * np.sin(t)
    return np.column_stack([centre[0] + reach * sd_x * x, centre[1] + reach * sd_y * y])


# Up to this many points ellipses lie below them, beyond on top.
FEW = 200


def draw_ellipses(ax, centre, sd_x, sd_y, cor, n, shares=(0.5, 0.95), colour="#D55E00"):
    """Draw them for n points, the largest thinnest; returns the label of the legend."""
    for k, share in enumerate(shares):
        xy = ellipse(centre, sd_x, sd_y, cor, share)
        ax.plot(xy[:, 0], xy[:, 1], color=colour, linewidth=1.6 - 0.4 * k, zorder=1.5 if n <= FEW else 4)
    return f"estimated distribution: {' and '.join(f'{100 * share:g}%' for share in shares)}"
