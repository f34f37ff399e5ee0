"""Random effects with their intervals: the caterpillar plot, and pairs of effects against each other."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.pictures.columns import check_share, chosen_terms, covariance_of, group_name

# Up to this many levels a caterpillar has one order for all panels, as its names stand once.
ONE_ORDER = 60


def modes(fit, group, terms, level, caller):
    """Random effects in long form with their intervals: grpvar, term, grp, condval, condsd, lower, upper.

    Parameters
    ----------
    fit : LinearMixedModel or RandomEffects
    """
    from scipy import special

    check_share(level, "level", caller)
    effects = fit if hasattr(fit, "to_frame") and hasattr(fit, "condVar") else fit.ranef()
    if group is not None and group not in effects:
        raise UnknownNameError(f"{caller}: no grouping factor is called {group!r}; there are {', '.join(effects)}.")
    frame = effects.to_frame()
    groups = list(effects) if group is None else [group]
    frame = frame[frame["grpvar"].isin(groups)]
    if terms is not None:
        known = list(dict.fromkeys(name for g in groups for name in effects[g].columns))
        frame = frame[frame["term"].isin(chosen_terms(known, terms, ", ".join(groups), caller))]
    if "condsd" in frame.columns:
        reach = special.ndtri(0.5 + level / 2.0) * frame["condsd"]
        frame = frame.assign(lower=frame["condval"] - reach, upper=frame["condval"] + reach)
    return frame.reset_index(drop=True)


def ranef_data(fit, group=None, terms=None, *, level=0.95, order=None):
    """Random effects with their intervals, and their places in a caterpillar plot.

    Parameters
    ----------
    fit : LinearMixedModel or RandomEffects
    group : str, optional
        One grouping factor; all by default.
    terms : str or list of str, optional
        Random effects to give; all by default.
    level : float
        Of the intervals condval +- z condsd.
    order : str, optional
        "each": every panel in its own order; the name of a random effect: all
        panels of its grouping factor in the order of that effect (lme4 takes
        the first); "level": in the order of the levels, first on top.  By
        default that of the first effect for up to 60 levels, else "each".

    Returns
    -------
    DataFrame, one row per random effect
        grpvar, term, grp, condval, condsd, lower, upper, excludes_zero (bool),
        place (0 is the lowest), order (what the places follow).  Without the four that need
        variances if the effects have none.

    Raises
    ------
    UnknownNameError
        If there is no such grouping factor, random effect or order.
    ArgumentError
        If level is out of range.
    """
    frame = modes(fit, group, terms, level, "ranef_data")
    if "lower" in frame.columns:
        frame["excludes_zero"] = (frame["lower"] > 0.0) | (frame["upper"] < 0.0)
    names = list(dict.fromkeys(frame["term"]))
    if order is not None and order not in ("each", "level", *names):
        raise UnknownNameError(f"ranef_data: order = {order!r}; use 'each', 'level' or a random effect: {', '.join(names)}.")
    frame["place"], frame["order"] = 0, ""
    for _, part in frame.groupby("grpvar", sort=False):
        blocks = {term: block.index for term, block in part.groupby("term", sort=False)}
        own = order if order is None or order in ("each", "level") or order in blocks else None
        if own is None:
            first = next(iter(blocks))
            own = first if len(blocks[first]) <= ONE_ORDER or len(blocks) == 1 else "each"
        for term, index in blocks.items():
            lead = blocks[term] if own == "each" else blocks.get(own)
            ranks = _ranks(frame.loc[lead, "condval"]) if lead is not None else np.arange(len(index))[::-1]
            frame.loc[index, "place"] = ranks
            frame.loc[index, "order"] = term if own == "each" else "level" if own == "level" else own
    return frame


def _ranks(values):
    out = np.empty(len(values), dtype=int)
    out[np.argsort(values.to_numpy(), kind="stable")] = np.arange(len(values))
    return out


def plot_ranef(fit, group=None, terms=None, *, level=0.95, order=None, ax=None, title=None):
    """Random effects in order with their intervals: a caterpillar, one panel per effect.

    Intervals that exclude zero are in the darker colour.  Names are
    shown where there is room for them.

    Parameters
    ----------
    fit, group, terms, level, order
        As for `ranef_data`, which gives the numbers.
    ax : Axes, sequence of Axes, or Figure, optional
        An Axes for each panel, or a figure that is divided into them.
    title : str, optional
        Above the first panel.

    Returns
    -------
    ndarray of Axes, one per random effect

    Raises
    ------
    UnknownNameError, ArgumentError
        As for `ranef_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_ranef import plot_caterpillars

    return plot_caterpillars(ranef_data(fit, group, terms, level=level, order=order), level=level, ax=ax, title=title)


def ranef_pairs_data(fit, group=None, terms=None):
    """Every two random effects of a grouping factor beside each other, in long form.

    Parameters
    ----------
    fit : LinearMixedModel
    group : str, optional
        Grouping factor; needed when the model has several.
    terms : list of str, optional
        At least two random effects; all by default.

    Returns
    -------
    DataFrame, levels * pairs rows
        grp, x_term, y_term, x, y: the conditional modes; sd_x, sd_y, cor: of the
        estimated covariance of the random effects.

    Raises
    ------
    UnknownNameError
        If there is no such grouping factor or random effect.
    ArgumentError
        If there are fewer than two random effects, or several factors and none named.
    """
    name = group_name(fit, group, "ranef_pairs_data")
    effects, covariance = fit.ranef(condVar=False)[name], covariance_of(fit, name)
    wanted = list(dict.fromkeys(chosen_terms(list(effects.columns), terms, name, "ranef_pairs_data")))
    if len(wanted) < 2:
        raise ArgumentError(
            f"ranef_pairs_data: {name} has {len(wanted)} random effect{'s'[: len(wanted) != 1]} here ({', '.join(wanted)}); "
            "two are needed for a pair. plot_ranef shows one."
        )
    sd = np.sqrt(np.diagonal(covariance.to_numpy()))
    sd = dict(zip(covariance.columns, sd))
    parts = []
    for i, low in enumerate(wanted):
        for high in wanted[i + 1 :]:
            both = sd[low] * sd[high]
            parts.append(pd.DataFrame({
                "grp": effects.index.to_numpy(), "x_term": low, "y_term": high, "x": effects[low].to_numpy(),
                "y": effects[high].to_numpy(), "sd_x": sd[low], "sd_y": sd[high],
                "cor": covariance.loc[low, high] / both if both > 0.0 else np.nan,
            }))
    return pd.concat(parts, ignore_index=True)


def plot_ranef_pairs(fit, group=None, terms=None, *, ax=None, title=None):
    """Random effects against each other, with ellipses of their estimated covariance.

    The ellipses hold 50% and 95% of the normal distribution that the model
    estimates.  The points are conditional modes, drawn towards
    zero, so more of them lie inside.

    Parameters
    ----------
    fit, group, terms
        As for `ranef_pairs_data`, which gives the numbers.
    ax : Axes, sequence of Axes, or Figure, optional
        An Axes for each pair, or a figure that is divided into them.
    title : str, optional
        Above the first panel.

    Returns
    -------
    ndarray of Axes, one per pair: (1, 2), (1, 3), ..., (2, 3), ...

    Raises
    ------
    UnknownNameError, ArgumentError
        As for `ranef_pairs_data`.
    FastlmmError
        If matplotlib is not installed.
    """
    from fastlmm_hlm.report.plot_ranef import plot_pairs

    return plot_pairs(ranef_pairs_data(fit, group, terms), ax=ax, title=title)


def dotplot(fit, *arguments, **look):
    """lattice's dotplot(ranef(fit)): `plot_ranef`."""
    return plot_ranef(fit, *arguments, **look)
