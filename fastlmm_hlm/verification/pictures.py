"""Pictures of agreement as inline SVG, in the colours of the page they stand in.

Plain records in, text out.  matplotlib draws; its colours are then replaced by the page's own, so that one
picture suits a light screen, a dark one and paper.
"""

import io
import math
import re

from fastlmm_hlm.errors import FastlmmError
from fastlmm_hlm.verification.verdicts import NOT_COMPARED

INK, FAINT, OURS, THEIRS = "#010203", "#040506", "#0a7abf", "#d45f10"
PAGE_COLOURS = {INK: "currentColor", FAINT: "var(--faint)", OURS: "var(--ours)", THEIRS: "var(--theirs)"}
POINT_LABELS = {"default": "lme4 default", "refit": "lme4 tight", "at_ours": "lme4 at ours"}
# More coefficients or components than this make a picture too high.
MOST_ROWS = 25
NORMAL_95 = 1.959963984540054
ZERO = 1e-17


def differences_picture(record):
    """Every quantity's difference against its tolerance, on a logarithmic scale: SVG text."""
    rows = [row for row in record["table"] if row["tolerance"] > 0 and not row["mismatch"]]
    figure, axes = _figure(7.2, 0.9 + 0.24 * len(rows))
    places = range(len(rows))[::-1]
    marks = {"default": ("o", THEIRS, "none"), "refit": ("s", THEIRS, THEIRS), "at_ours": ("|", OURS, OURS)}
    for point, (marker, colour, face) in marks.items():
        found = [(max(abs(row[point]), ZERO), y) for row, y in zip(rows, places, strict=True) if row[point] is not None]
        if found:
            x, y = zip(*found, strict=True)
            axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=8 if marker == "|" else 5.5,
                      markeredgewidth=1.4, label=POINT_LABELS[point])
    for row, y in zip(rows, places, strict=True):
        axes.plot([row["tolerance"]] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=1.2, label="tolerance" if y == 0 else None)
    axes.set_xscale("log")
    axes.set_xlim(left=ZERO / 3)
    axes.set_yticks(list(places), [row["quantity"] + (" (not judged)" if row["status"] == NOT_COMPARED else "") for row in rows])
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_xlabel("difference, in the scale of the table; left of 1e-16 is nothing")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    return _svg(figure, "Differences of all quantities against their tolerances")


def fixed_picture(sides):
    """Fixed effects of all sides with 95% intervals, each row in standard errors from our estimate.

    Parameters
    ----------
    sides : dict of str to dict
        Label -> side of the record; ours is the first.

    Returns
    -------
    str
        SVG text.
    """
    ours = next(iter(sides.values()))["fixef"][:MOST_ROWS]
    step = 0.7 / len(sides)
    figure, axes = _figure(7.2, 0.9 + (0.14 + 0.16 * len(sides)) * len(ours))
    for k, (label, side) in enumerate(sides.items()):
        colour, shift = _colour(k), step * ((len(sides) - 1) / 2 - k)
        for place, (mine, own) in enumerate(zip(ours, side["fixef"])):
            y, centre = len(ours) - 1 - place + shift, (own["estimate"] - mine["estimate"]) / mine["se"]
            half = NORMAL_95 * own["se"] / mine["se"]
            axes.plot([centre - half, centre + half], [y, y], color=colour, linewidth=2.0, label=label if place == 0 else None,
                      linestyle="-" if k < 2 else "--")
            axes.plot([centre], [y], "o", color=colour, markersize=4.5)
            _number(axes, f"{own['estimate']:.6g} ({own['se']:.4g})", y, colour)
    axes.set_yticks([len(ours) - 1 - k for k in range(len(ours))], [_short(mine["name"]) for mine in ours])
    axes.set_ylim(-0.6, len(ours) - 0.4)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_xlabel("distance from the estimate found here, in its standard errors; bars are 95% intervals")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return _svg(figure, "Fixed effects of both sides with their intervals")


def ranef_picture(modes):
    """Random effects of both sides against each other, in root mean squares of their column: SVG text."""
    figure, axes = _figure(4.6, 4.4)
    markers, most = "osD^vPX*", 0.5
    for k, part in enumerate(modes[:len(markers)]):
        x, y = ([value / part["spread"] for value in part[side]] for side in ("ours", "theirs"))
        most = max([most, *map(abs, x), *map(abs, y)])
        axes.plot(x, y, markers[k], color=(OURS, THEIRS, INK)[k % 3], markersize=4, alpha=0.65, markeredgewidth=0,
                  label=_short(f"{part['grpvar']}: {part['term']}", 30))
    axes.plot([-most, most], [-most, most], color=INK, linewidth=0.8, zorder=0)
    axes.set_xlabel("random effect here, in root mean squares")
    axes.set_ylabel("in lme4")
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=8, loc="upper left", labelcolor=INK)
    return _svg(figure, "Random effects here against those of lme4")


def fitted_picture(fitted, sigma, tolerance):
    """Differences of the fitted values, in sigma, against the fitted values: SVG text."""
    figure, axes = _figure(4.9, 4.4)
    apart = [(a - b) / sigma for a, b in zip(fitted["ours"], fitted["theirs"], strict=True)]
    axes.plot(fitted["ours"], apart, "o", color=OURS, markersize=3.5, alpha=0.6, markeredgewidth=0)
    for limit in (-tolerance, tolerance):
        axes.axhline(limit, color=THEIRS, linewidth=1, linestyle="--")
    most = 1.3 * max([tolerance, *map(abs, apart)])
    axes.set_ylim(-most, most)
    axes.set_xlabel("fitted value here")
    axes.set_ylabel("difference to lme4, in sigma; dashed: tolerance")
    axes.ticklabel_format(axis="y", scilimits=(-3, 3), useOffset=False)
    return _svg(figure, "Fitted values: differences between both sides")


def variance_picture(sides):
    """Standard deviations and correlations of all sides.

    Parameters
    ----------
    sides : dict of str to dict
        As for `fixed_picture`.

    Returns
    -------
    str
        SVG text.
    """
    together = list(zip(*(side["VarCorr"] for side in sides.values()), strict=True))
    groups = [[rows for rows in together if (rows[0]["var2"] is None) == is_sd][:MOST_ROWS] for is_sd in (True, False)]
    groups = [rows for rows in groups if rows]
    figure, all_axes = _figure(7.2, 1.0 * len(groups) + (0.1 + 0.16 * len(sides)) * sum(map(len, groups)), [max(len(rows), 1) for rows in groups])
    for axes, rows in zip(all_axes, groups, strict=True):
        _components(axes, rows, list(sides))
    all_axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return _svg(figure, "Standard deviations and correlations of both sides")


def _components(axes, rows, labels):
    """Standard deviations, or correlations, on one Axes."""
    step, is_sd, largest = 0.7 / len(labels), rows[0][0]["var2"] is None, 0.0
    looks = ({"markersize": 6}, {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 1.6}, {"markersize": 9, "marker": "x"})
    for place, components in enumerate(rows):
        y = len(rows) - 1 - place
        for k, (label, row) in enumerate(zip(labels, components, strict=True)):
            if row["sdcor"] is None:
                _number(axes, "undefined", y + step * ((len(labels) - 1) / 2 - k), _colour(k))
                continue
            largest = max(largest, row["sdcor"])
            axes.plot([row["sdcor"]], [y], **{"marker": "o", "linestyle": "", "color": _colour(k)} | looks[k], label=label if place == 0 else None)
            _number(axes, f"{row['sdcor']:.6g}", y + step * ((len(labels) - 1) / 2 - k), _colour(k))
    axes.set_yticks([len(rows) - 1 - k for k in range(len(rows))], [_component(components[0]) for components in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(*((-0.05 * largest, 1.12 * largest) if is_sd and largest > 0 else (-1.12, 1.12)))
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_xlabel("standard deviation" if is_sd else "correlation")


def _number(axes, text, y, colour):
    """A number at the right of a row."""
    axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=colour, annotation_clip=False)


def _colour(k):
    return (OURS, THEIRS, INK)[k]


def _component(row):
    words = [word for word in (row["var1"], row["var2"]) if word is not None]
    return _short(row["grp"] + (": " if words else "") + ", ".join(words))


def _short(name, most=28):
    return name if len(name) <= most else name[:most - 3] + "..."


# --- matplotlib ------------------------------------------------------------------------


def _figure(width, height, heights=None):
    """A figure without a background, all in the ink of the page; one Axes, or a list where heights are given."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FastlmmError('verify: pictures need matplotlib, which is not installed; run: pip install "fastlmm_hlm[plots]"') from error
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    grid = figure.subplots(len(heights or [1]), 1, squeeze=False, height_ratios=heights or [1])
    for axes in grid[:, 0]:
        axes.patch.set_alpha(0.0)
        axes.tick_params(colors=INK, labelsize=9)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for name, spine in axes.spines.items():
            spine.set_color(INK)
            spine.set_visible(name in ("left", "bottom"))
    return figure, (list(grid[:, 0]) if heights else grid[0, 0])


def _svg(figure, title):
    """The figure as an svg element for a page: a title for readers of screens, no fixed size, the page's colours."""
    import matplotlib

    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif", "mathtext.default": "regular"}):
        figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for drawn, own in PAGE_COLOURS.items():
        text = text.replace(drawn, own)
    width = math.ceil(figure.get_size_inches()[0] * 72)
    return text.replace("<svg ", f'<svg role="img" style="width: 100%; max-width: {width * 1.25:.0f}px" ', 1).replace(">", f"><title>{title}</title>", 1)
