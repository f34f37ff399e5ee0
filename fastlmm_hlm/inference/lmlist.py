"""lmList: one least squares regression per group, all at once."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmWarning, warn_user
from fastlmm_hlm.formula.bars import group_components
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.evaluate import Evaluator
from fastlmm_hlm.formula.grouping import match_groups
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.contest import check_level
from fastlmm_hlm.inference.lmlist_groups import groups_of
from fastlmm_hlm.report.lmlist import intervals_text, lmlist_text, summary_text
from fastlmm_hlm.report.percent import percent_names


def lmList(formula, data, *, weights=None, offset=None, subset=None, pool=True, warn=True):  # noqa: N802
    """Fit the same linear model in every group by least squares.

    Parameters
    ----------
    formula : str
        ``"y ~ x | g"``: the model left of the bar, the groups right of it.
    data : data frame
        As for `lmer`.
    weights, offset, subset
        As for `lmer`.
    pool : bool
        Whether standard errors use one residual standard deviation pooled over the groups.
    warn : bool
        Whether to warn of groups that could not be fitted.

    Returns
    -------
    LmList
        A column that a group's rows do not tell apart from those before it is NaN there, as in
        R's lm.  Factors are coded once, for all the data: in a group without the first level of
        a factor R's lm would count from the first level present.

    Raises
    ------
    FormulaError
        If the formula has no bar, or more than one grouping factor.
    DataError
        If the data cannot be used.

    Warns
    -----
    FastlmmWarning
        Once, with the groups that could not be fitted: they have no row without missing values, or a
        factor of the model has one level only in their rows.  Their coefficients are NaN, as in lme4.

    Examples
    --------
    >>> from fastlmm_hlm import lmList, datasets
    >>> lmList("Reaction ~ Days | Subject", datasets.load("sleepstudy")).coef().loc["308"].round(2).tolist()
    [244.19, 21.76]
    """
    groups = groups_of(formula, data, weights, offset, subset)
    if warn and groups.failed.any():
        warn_user(f"lmList: fitting failed for {int(groups.failed.sum())} group(s): {groups.reasons}", FastlmmWarning)
    return LmList(groups, bool(pool), getattr(data, "attrs", {}).get("name"), str(formula))


class LmList:
    """Regressions of groups; made by `lmList`.

    Attributes
    ----------
    group : str
        Name of the grouping factor.
    levels : Index
    pool : bool
    n : Series
        Rows by group.
    """

    answers_generics = True

    def __init__(self, groups, pool, data_name, formula):
        frame, fitted, failed = groups.frame, groups.fitted, groups.failed
        self._formula, self.pool, self.data_name = formula, pool, data_name
        self.group = frame.random[0].group
        self.levels = pd.Index(groups.levels, name=self.group)
        self.n = pd.Series(fitted.n, index=self.levels, name="n")
        self._group_node, self._names = groups.node, list(frame.x_names)
        self._spec, self._index = frame.spec, frame.index
        self._y, self._weights = frame.y, frame.weights
        self._failed, self._rss = failed, np.where(failed, 0.0, fitted.rss)
        self._df, self._rank = np.where(failed, 0, fitted.df), np.where(failed, 0, fitted.rank)
        nan = np.where(failed, np.nan, 1.0)
        self._coef = fitted.coef * nan[:, None]
        self._variance = np.diagonal(fitted.unscaled, axis1=1, axis2=2) * nan[:, None]
        self._residuals = fitted.residuals * nan[groups.codes]

    def __len__(self):
        return len(self.levels)

    @property
    def formula(self):
        """The formula, str."""
        return self._formula

    def _frame(self, values):
        return pd.DataFrame(values, index=self.levels, columns=self._names)

    def coef(self):
        """Coefficients, DataFrame (groups, p); NaN where a group does not determine one."""
        return self._frame(self._coef.copy())

    def fixef(self):
        """Mean over the groups of each coefficient, without the NaN ones, Series (p,)."""
        return self.coef().mean().rename("fixef")

    def ranef(self):
        """Coefficients minus their means, DataFrame (groups, p)."""
        return self.coef() - self.fixef()

    def sigma(self):
        """Residual standard deviation pooled over the groups: the root of the sum of squares over the degrees of freedom.

        Raises
        ------
        ArgumentError
            If no group has a degree of freedom.
        """
        if not self._df.sum():
            raise ArgumentError("lmList: no degrees of freedom for estimating the standard deviation; every group has as many "
                                "coefficients as rows.")
        return float(np.sqrt(self._rss.sum() / self._df.sum()))

    def df_residual(self):
        """Residual degrees of freedom, summed over the groups."""
        return int(self._df.sum())

    @property
    def nobs(self):
        """Rows in the groups that were fitted."""
        return int((self._df + self._rank).sum())

    def sigmas(self):
        """Each group's own residual standard deviation, Series; NaN without a degree of freedom."""
        return pd.Series(self._own_sigma(), index=self.levels, name="sigma")

    def _own_sigma(self):
        return np.sqrt(np.where(self._df > 0, self._rss, np.nan) / np.maximum(self._df, 1))

    def _se_and_df(self, pool):
        root = np.sqrt(self._variance)
        if pool:
            return self.sigma() * root, np.full(len(self), float(self._df.sum()))
        return self._own_sigma()[:, None] * root, np.where(self._df > 0, self._df, np.nan)

    def se(self, pool=None):
        """Standard errors of the coefficients, DataFrame (groups, p).

        Parameters
        ----------
        pool : bool, optional
            From the pooled standard deviation or from each group's own; by default as asked of `lmList`.
        """
        return self._frame(self._se_and_df(self.pool if pool is None else pool)[0])

    def confint(self, level=0.95, pool=False):
        """Confidence intervals of the coefficients.

        Parameters
        ----------
        level : float
        pool : bool
            False: each group's own standard deviation and degrees of freedom, as lme4's confint;
            True: the pooled ones, as nlme's intervals.

        Returns
        -------
        LmListIntervals
            Mapping coefficient -> DataFrame (groups, 2).
        """
        from scipy import stats

        check_level(level, "lmList.confint")
        se, df = self._se_and_df(pool)
        reach = stats.t.ppf(0.5 + level / 2.0, df)[:, None] * se
        return LmListIntervals(self.coef(), self._coef - reach, self._coef + reach, level)

    def fitted(self):
        """Fitted values, offset included, Series aligned with the rows used; NaN in groups that failed."""
        return pd.Series(self._y - self._residuals, index=self._index, name="fitted")

    def residuals(self, type="response"):
        """Residuals, Series aligned with the rows used.

        Parameters
        ----------
        type : {"response", "pearson", "standardized"}
            Pearson: times the root of the weight; standardized: that over the pooled standard deviation.
        """
        if type not in ("response", "pearson", "standardized"):
            raise ArgumentError(f"lmList.residuals: type = {type!r}; use 'response', 'pearson' or 'standardized'.")
        r = self._residuals
        if type != "response":
            r = r if self._weights is None else r * np.sqrt(self._weights)
            r = r / self.sigma() if type == "standardized" else r
        return pd.Series(r, index=self._index, name="residuals")

    def predict(self, newdata=None):
        """Fitted values of new rows.

        Parameters
        ----------
        newdata : data frame, optional
            With the grouping column every row is predicted in its group, without it in every
            group.  By default the rows of the data.

        Returns
        -------
        Series, or DataFrame with a column per group
            NaN in groups that failed.  A coefficient that a group does not determine counts as zero, as in R.

        Raises
        ------
        DataError
            If a row lies in a group that the data did not have.
        UnknownColumnError
            If a predictor is missing.
        """
        if newdata is None:
            return self.fitted()
        columns = DataColumns(newdata)
        X, offset = self._spec.fixed(newdata), self._spec.offset(newdata)
        coef = np.where(np.isnan(self._coef) & ~self._failed[:, None], 0.0, self._coef)
        if not all(name in columns.names for part in group_components(self._group_node) for name in column_names(part)):
            return pd.DataFrame(X @ coef.T + offset[:, None], index=columns.index, columns=self.levels)
        evaluator = Evaluator(columns, state=self._spec.state, levels=self._spec.levels)
        codes = match_groups(self._group_node, evaluator, self.levels)
        if (codes < 0).any():
            row = columns.index[int(np.flatnonzero(codes < 0)[0])]
            raise DataError(
                f"lmList.predict: nonexistent group in newdata: row {row!r} has a value of '{self.group}' that is missing or was "
                f"not in the data, and so have {int((codes < 0).sum())} row(s) in all. Leave these out."
            )
        return pd.Series((X * coef[codes]).sum(axis=1) + offset, index=columns.index, name="predict")

    def summary(self):
        """Estimates with standard errors and t-tests by coefficient; prints in lme4's layout.

        Returns
        -------
        LmListSummary
        """
        from scipy import stats

        se, df = self._se_and_df(self.pool)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self._coef / se
        p = 2.0 * stats.t.sf(np.abs(t), df[:, None])
        heads = ("Estimate", "Std. Error", "t value", "Pr(>|t|)")
        tables = {
            name: pd.DataFrame(dict(zip(heads, (self._coef[:, j], se[:, j], t[:, j], p[:, j]))), index=self.levels)
            for j, name in enumerate(self._names)
        }
        return LmListSummary(self, tables)

    def to_frame(self):
        """One row per group and coefficient: group, term, estimate, std.error, statistic, p.value, df."""
        se, df = self._se_and_df(self.pool)
        tables = self.summary().coefficients
        p = len(self._names)
        return pd.DataFrame({
            self.group: self.levels.repeat(p),
            "term": np.tile(np.array(self._names, dtype=object), len(self)),
            "estimate": self._coef.ravel(),
            "std.error": se.ravel(),
            "statistic": np.column_stack([tables[name]["t value"] for name in self._names]).ravel(),
            "p.value": np.column_stack([tables[name]["Pr(>|t|)"] for name in self._names]).ravel(),
            "df": np.repeat(df, p),
        })

    def __str__(self):
        sigma = self.sigma() if self._df.sum() else np.nan
        return lmlist_text(self.formula, self.data_name, self.coef(), self.nobs, self.df_residual(), sigma)

    __repr__ = __str__

    def _repr_html_(self):
        return self.coef()._repr_html_()


class LmListSummary:
    """Attributes
    ----------
    coefficients : dict of DataFrame
        By coefficient: Estimate, Std. Error, t value, Pr(>|t|), one row per group.
    sigma : float, df : int
        Pooled.
    """

    def __init__(self, fit, coefficients):
        self._formula, self._group, self._data_name = fit.formula, fit.group, fit.data_name
        self.coefficients, self.pool = coefficients, fit.pool
        self.df = fit.df_residual()
        self.sigma = fit.sigma() if self.df else float("nan")

    def __str__(self):
        return summary_text(self._formula, self._data_name, self.coefficients, self.sigma if self.pool else None, self.df)

    __repr__ = __str__


class LmListIntervals(dict):
    """Confidence intervals by coefficient: DataFrames with a row per group; `plot` draws them."""

    def __init__(self, coef, low, high, level):
        heads = percent_names(level)
        super().__init__({
            name: pd.DataFrame({heads[0]: low[:, j], heads[1]: high[:, j]}, index=coef.index)
            for j, name in enumerate(coef.columns)
        })
        self.coef, self.level = coef, level

    def to_frame(self):
        """One row per group and coefficient: group, term, estimate, lower, upper."""
        parts = [
            pd.DataFrame({table.index.name: table.index, "term": name, "estimate": self.coef[name].to_numpy(),
                          "lower": table.iloc[:, 0].to_numpy(), "upper": table.iloc[:, 1].to_numpy()})
            for name, table in self.items()
        ]
        return pd.concat(parts, ignore_index=True)

    def plot(self, term=None, ax=None):
        """Intervals of the groups, a panel per coefficient.

        Parameters
        ----------
        term : str, optional
            The coefficient to draw; all by default.
        ax : matplotlib Axes, optional
            Where to draw; needs `term` if there are several coefficients.

        Returns
        -------
        Axes, or array of Axes
        """
        from fastlmm_hlm.report.plot_lmlist import plot_intervals

        if term is not None and term not in self:
            raise ArgumentError(f"plot: there is no coefficient {term!r}; there are {', '.join(self)}.")
        frame = self.to_frame()
        return plot_intervals(frame if term is None else frame[frame["term"] == term], self.level, ax=ax)

    def __str__(self):
        return intervals_text(self)

    __repr__ = __str__
