"""Power analyses in words and as a picture."""

import textwrap

import numpy as np

from fastlmm_hlm.report.plots import BLUE, GREY, _finish, _pyplot


def power_text(sim, limits):
    """What ``print(power_sim(...))`` shows, in simr's layout.

    Parameters
    ----------
    sim : object with predictor, power, test, effect_name, effect, n, alpha, nrow, warnings, errors
    limits : (float, float)
        Of the power.

    Returns
    -------
    str
    """
    lines = [f"Power for {sim.predictor}, (95% confidence interval):", f"      {_percent(sim.power, *limits)}", "",
             f"Test: {sim.test}"]
    if sim.effect is not None:
        lines.append(f"      Effect size for {sim.effect_name} is {sim.effect:.2g}")
    warned, failed = (sum(said.values()) for said in (sim.warnings, sim.errors))
    lines += ["", f"Based on {sim.n} simulations, ({_several(warned, 'warning')}, {_several(failed, 'error')})",
              f"alpha = {sim.alpha:g}, nrow = {sim.nrow}"]
    for kind, texts in (("warning", sim.warnings), ("error", sim.errors)):
        lines += [f"{number} {kind}(s): {text}" for text, number in texts.items()]
    return "\n".join(lines) + "\n"


def _several(number, word):
    return f"{number} {word}{'s'[: number != 1]}"


def _percent(mean, lower, upper):
    return f"{100 * mean:5.2f}% ({100 * lower:5.2f}, {100 * upper:5.2f})"


def curve_text(frame, predictor, by, problems):
    """What ``print(power_curve(...))`` shows, in simr's layout.

    Parameters
    ----------
    frame : DataFrame
        nlevels, mean, lower, upper, nrow, errors.
    predictor, by : str
    problems : dict int -> str
        Sizes for which there is no model.
    """
    width = max(7, *(len(str(size)) for size in frame["nlevels"]))
    lines = [f"Power for {predictor}, (95% confidence interval),", f"by {by}:"]
    for row in frame.itertuples():
        failed = f", {_several(row.errors, 'error')}" if row.errors else ""
        lines.append(f"{row.nlevels:>{width}}: {_percent(row.mean, row.lower, row.upper)} - {row.nrow} rows{failed}")
    lines += ["", f"Based on {frame['trials'].iloc[0]} simulations at each size"]
    for size, text in problems.items():
        lines += textwrap.wrap(f"{size}: {text}", 100, subsequent_indent="   ")
    return "\n".join(lines) + "\n"


def plot_power_curve(frame, *, ax=None, target=0.8, xlabel=None, title=None):
    """Power against the size of the design, with 95% intervals.

    Parameters
    ----------
    frame : DataFrame
        nlevels, mean, lower, upper.
    ax : matplotlib Axes, optional
    target : float or None
        Where to draw a horizontal line.
    xlabel, title : str, optional

    Returns
    -------
    matplotlib Axes
    """
    plt = _pyplot("plot_power_curve")
    if ax is None:
        ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1]
    x, mean = frame["nlevels"].to_numpy(), 100.0 * frame["mean"].to_numpy()
    below, above = mean - 100.0 * frame["lower"].to_numpy(), 100.0 * frame["upper"].to_numpy() - mean
    if target is not None:
        ax.axhline(100.0 * target, color=GREY, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1)
        ax.annotate(f"{100 * target:g}%", (1.0, 100.0 * target), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", fontsize=9, color="#555555")
    ax.errorbar(x, mean, yerr=np.maximum([below, above], 0.0), color=BLUE, marker="o", markersize=5, linewidth=1.4,
                elinewidth=1.1, capsize=3, zorder=3)
    ax.set_ylim(-3, 103)
    ax.set_yticks(range(0, 101, 20), [f"{k}%" for k in range(0, 101, 20)])
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(xlabel or "size")
    ax.set_ylabel("power")
    _finish(ax, title, [])
    return ax
