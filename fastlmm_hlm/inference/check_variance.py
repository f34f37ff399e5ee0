"""Does the residual variance differ between groups, or change with a covariate?"""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownColumnError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.values import Factor, Logical
from fastlmm_hlm.inference.checks import ALARM, Check, p_text
from fastlmm_hlm.inference.elimination import is_nested
from fastlmm_hlm.inference.grouped_ls import grouped_least_squares
from fastlmm_hlm.inference.residuals import standardized

# Rows, and residual degrees of freedom, that a level needs to count in the H test: log s^2 is then
# nearly normal (Raudenbush and Bryk 2002, p. 264: group sizes of 10 or more).
ENOUGH_ROWS, ENOUGH_DF = 10, 5
# Variance of the log of a chi-squared variable with one degree of freedom.
LOG_CHI2_VARIANCE = np.pi**2 / 2.0
# Bins of a covariate.
BINS = 10


def check_variance(fit, by=None):
    """Test whether the residual variance is the same for all.

    Parameters
    ----------
    fit : LinearMixedModel
    by : str or array, optional
        What it might depend on: "fitted" (the default), a grouping factor, a column of the data or one value
        per row of the fit.  Text, categories and grouping factors are compared level by level, numbers as a covariate.

    Returns
    -------
    Check
        True if the main test does not reject at 5%.  ``.tests``: DataFrame method, statistic, df, p.value, the main
        test first; ``.p``, ``.statistic``, ``.method`` of that; ``.frame``: DataFrame with the variance by level or
        by tenth of the covariate.

        Residuals are those given the random effects, divided by sigma sqrt((1 - h) / w).

        Levels     H of Raudenbush and Bryk (2002, p. 264): the logs of the level-1 variances of separate least
                   squares regressions in the groups of the finest grouping factor, summed over the groups of a
                   level; chi-squared with one degree less than levels.  Levels with fewer than 10 rows or 5 residual
                   degrees of freedom are left out; there is no H for a factor that varies within these
                   groups, or for crossed grouping factors.  Levene's test about the medians (Brown and
                   Forsythe 1974), the main one where there is no H; Bartlett's.
        Covariate  Koenker's (1981) version of Breusch and Pagan's test: n R^2 of the squared residuals on the
                   covariate; Harvey's (1976): the explained sum of squares of the logs of the squared ones over
                   their variance under the model, pi^2 / 2.

    Raises
    ------
    ArgumentError
        If there is nothing to compare.
    UnknownColumnError
        If there is no such column.
    RowsNotKeptError
        If the fit was pickled without its rows.
    """
    rows = fit._rows_or_raise("check_variance")
    r = standardized(fit, "conditional", "check_variance")
    kind, name, values = _meaning(fit, rows, by)
    good = np.isfinite(r)
    if kind == "covariate":
        tests, frame = _by_covariate(r, values, good & np.isfinite(values), name)
    else:
        levels, codes = values
        tests, frame = _by_levels(r, codes, levels, good & (codes >= 0), name)
        row = _homogeneity(rows.design, codes, len(levels)) if is_nested(fit._products.pairs) else None
        tests = tests if row is None else [row, *tests]
    table = pd.DataFrame(tests, columns=["method", "statistic", "df", "p.value"])
    main = table.iloc[0]
    good = bool(main["p.value"] >= ALARM)
    text = f"OK: the residual variance does not differ by {name}" if good else f"Warning: the residual variance differs by {name}"
    shown = main["method"] if main["method"].startswith("Levene") else f"{main['method']}: chi2({main['df']:g})"
    text += f" ({shown} = {main['statistic']:.2f}, {p_text(main['p.value'])})."
    if kind == "levels":
        known = frame[frame["variance"] > 0]
        text += f"\n- Standard deviations from {known['sd'].min():.3g} to {known['sd'].max():.3g} sigma over {len(frame)} levels."
    return Check(good, text, {"p": float(main["p.value"]), "statistic": float(main["statistic"]), "method": main["method"],
                              "tests": table, "frame": frame})


# --- what is meant by `by` ---------------------------------------------------------------


def _meaning(fit, rows, by):
    """Kind ("covariate" or "levels"), its name, and values (n,) or (levels, codes)."""
    if by is None or (isinstance(by, str) and by == "fitted"):
        return "covariate", "the fitted values", fit._linear_predictor()
    if isinstance(by, str):
        for factor in rows.design.factors:
            if factor.name == by:
                return "levels", by, (factor.levels, np.asarray(factor.codes))
        if fit._settings.data is None:
            raise UnknownColumnError(
                f"check_variance: this fit no longer has its data, and {by!r} is none of its grouping factors."
            )
        source = DataColumns(fit._settings.data)
        if by not in source:
            raise UnknownColumnError(
                f"check_variance: the data have no column {by!r}; by= may also be 'fitted', or one value per row."
            )
        return _as_kind(source.column(by).value(), by, rows.positions)
    series = by if isinstance(by, pd.Series) else pd.Series(by)
    n = len(rows.index)
    if len(series) not in (n, rows.n_input):
        raise ArgumentError(f"check_variance: by has {len(series)} values; expected {n}, one per row of the fit"
                            + (f", or {rows.n_input}, one per row of the data." if rows.n_input != n else "."))
    name = "by" if series.name is None else str(series.name)
    value = DataColumns(pd.DataFrame({name: series.reset_index(drop=True)})).column(name).value()
    return _as_kind(value, name, rows.positions if len(series) != n else None)


def _as_kind(value, name, positions):
    value = value.as_factor() if isinstance(value, Logical) else value
    if isinstance(value, Factor):
        codes = np.asarray(value.codes)
        return "levels", name, (pd.Index(value.levels), codes if positions is None else codes[positions])
    return "covariate", name, value if positions is None else value[positions]


# --- tests ------------------------------------------------------------------------------------


def _by_levels(r, codes, levels, used, name):
    from scipy import stats

    r, codes = r[used], codes[used]
    n = np.bincount(codes, minlength=len(levels))
    mean = np.bincount(codes, r, len(levels)) / np.maximum(n, 1)
    squares = np.bincount(codes, (r - mean[codes]) ** 2, len(levels))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(n > 1, squares / (n - 1), np.nan)
    frame = pd.DataFrame({"level": levels, "n": n, "variance": variance, "sd": np.sqrt(variance)})
    several = n > 1
    groups = int(several.sum())
    if groups < 2:
        raise ArgumentError(
            f"check_variance: {groups} level(s) of {name} have two residuals or more; two are needed to compare."
        )
    keep = several[codes]
    order = np.argsort(codes[keep], kind="stable")
    parts = np.split(r[keep][order], np.cumsum(n[several])[:-1])
    distance = np.concatenate([np.abs(part - np.median(part)) for part in parts])
    of_part = np.repeat(np.arange(groups), n[several])
    total, center = len(distance), distance.mean()
    means = np.bincount(of_part, distance) / n[several]
    within = ((distance - means[of_part]) ** 2).sum()
    F = ((n[several] * (means - center) ** 2).sum() / (groups - 1)) / (within / (total - groups)) if within > 0 else np.nan
    levene = (f"Levene F({groups - 1}, {total - groups})", F, groups - 1, float(stats.f.sf(F, groups - 1, total - groups)))
    return [levene, _bartlett(variance[several], n[several] - 1)], frame


def _bartlett(variance, df):
    """Bartlett (1937), chi-squared."""
    from scipy import stats

    usable = variance > 0
    variance, df, k = variance[usable], df[usable], int(usable.sum())
    if k < 2:
        return ("Bartlett", np.nan, max(k - 1, 0), np.nan)
    total = df.sum()
    pooled = (df * variance).sum() / total
    correction = 1.0 + ((1.0 / df).sum() - 1.0 / total) / (3.0 * (k - 1))
    statistic = (total * np.log(pooled) - (df * np.log(variance)).sum()) / correction
    return ("Bartlett", float(statistic), k - 1, float(stats.chi2.sf(statistic, k - 1)))


def _homogeneity(design, codes, size):
    """H of Raudenbush and Bryk, or None where it does not apply or fewer than two levels have rows enough.

    H = sum d_j^2, d_j = (log s_j^2 - sum f log s^2 / sum f) / sqrt(2 / f_j), with the variance s_j^2 and the
    f_j degrees of freedom of regressions on the columns of X and Z in each group of the finest factor.
    """
    from scipy import stats

    finest = design.factors[0]
    level_of = np.full(len(finest.levels), -1)
    level_of[finest.codes] = codes
    if (level_of[finest.codes] != codes).any() or (codes < 0).any():
        return None
    columns = [*design.x_columns, *(column for factor in design.factors for column in factor.columns)]
    y = design.y if design.offset is None else design.y - design.offset
    found = grouped_least_squares(columns, y, finest.codes, len(finest.levels), design.weights)
    rows, df, rss = (np.bincount(level_of, values, size) for values in (found.n, found.df, found.rss))
    enough = (rows >= ENOUGH_ROWS) & (df >= ENOUGH_DF) & (rss > 0)
    if enough.sum() < 2:
        return None
    f = df[enough]
    log = np.log(rss[enough] / f)
    d = (log - (f * log).sum() / f.sum()) * np.sqrt(f / 2.0)
    statistic, free = float((d**2).sum()), int(enough.sum()) - 1
    return ("H", statistic, free, float(stats.chi2.sf(statistic, free)))


def _by_covariate(r, x, used, name):
    from scipy import stats

    r, x = r[used], x[used]
    spread = x - x.mean()
    if not (spread**2).sum() > 0:
        raise ArgumentError(f"check_variance: {name} is constant; there is nothing to compare.")
    tests = []
    squares = r**2
    logs = np.log(np.maximum(squares, np.finfo(float).tiny))
    scales = {"Breusch-Pagan (Koenker)": (squares, squares.var()), "Harvey": (logs, LOG_CHI2_VARIANCE)}
    for method, (u, variance) in scales.items():
        statistic = float(spread @ (u - u.mean())) ** 2 / float(spread @ spread) / variance
        tests.append((method, statistic, 1, float(stats.chi2.sf(statistic, 1))))
    edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, BINS + 1)))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    n = np.bincount(place, minlength=len(edges) - 1)
    mean_square = np.bincount(place, squares, len(n)) / np.maximum(n, 1)
    frame = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "n": n, "variance": mean_square, "sd": np.sqrt(mean_square)})
    return tests, frame
