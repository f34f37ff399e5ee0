"""Simulated quantile residuals: where every observation lies among what the model would have produced.

Dunn and Smyth (1996), J. Comput. Graph. Statist. 5; Gelman and Hill (2007), ch. 8.  If the
model is right they are uniform on (0, 1), whatever the weights, offsets and random effects.
R users know them from DHARMa.

All tests compare a statistic of the observed data with that of each simulated data set
(`simranks`), so the dependence of rows within groups is allowed for.  With refit=False
the parameters are taken for known: since they were estimated from the same data, these fit
too well, p-values are too large, and little but a trend along the fitted values is found.  With
refit=True the model is fitted to every simulated data set as well, standardized residuals are
ranked among standardized residuals, and p-values are uniform under the model.

A test of zero inflation is left out: a normal response has no zeros to count.
"""

from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference import simtests
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.simranks import Aggregated, Ranks, RefittedResiduals, Simulations
from fastlmm_hlm.inference.simulation import seed_sequence, simulator_of
from fastlmm_hlm.report.simresidual_plots import plot_simulated_residuals

# Rows in which every data set is ranked and that the tests are about; of more rows so many are taken, evenly spaced.
MOST_ROWS = 100_000
# More simulations than this have ranks beyond 16 bits.
MOST_SIMULATIONS = 60_000


def simulate_residuals(fit, nsim=250, seed=None, use_u=False, refit=False, group=None, keep_simulations=False):
    """Simulated quantile residuals of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
        With its rows.
    nsim : int
        Simulated data sets; residuals lie on a grid of 1 / (nsim + 1), smoothed at random.
    seed : None, int, SeedSequence or Generator
    use_u : bool
        Keep the conditional modes of the random effects; by default new ones are drawn, as if
        every group were a new one.
    refit : bool
        Fit the model to each simulated data set, and rank the standardized residuals (given the
        random effects) among those of the refits: calibrated p-values, for nsim refits more.
    group : str or array, optional
        Residuals of the sums of these groups; see `SimulatedResiduals.recalculate`.
    keep_simulations : bool
        Keep the simulated data, (nsim, n) numbers.

    Returns
    -------
    SimulatedResiduals

    Raises
    ------
    ArgumentError
        For arguments out of range.
    RowsNotKeptError
        If the fit was pickled without its rows.

    Notes
    -----
    Every row has its residual.  The tests, and the lines of the pictures, use at most 100,000 rows, evenly
    spaced.  Memory: nsim times the number of random effects, ranks of those rows, and
    blocks of 8 million simulated values.

    Examples
    --------
    >>> from fastlmm_hlm import datasets, lmer
    >>> fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    >>> residuals = simulate_residuals(fit, seed=1)
    >>> bool(residuals.test_uniformity())
    True
    """
    caller = "simulate_residuals"
    require_fit(fit, caller)
    if isinstance(nsim, bool) or not isinstance(nsim, Integral) or not 1 < nsim <= MOST_SIMULATIONS:
        raise ArgumentError(f"{caller}: nsim = {nsim!r}; expected a whole number from 2 to {MOST_SIMULATIONS:,}.")
    sequence = seed_sequence(seed)
    simulator = simulator_of(fit, bool(use_u), caller=caller)
    if refit:
        source = RefittedResiduals(fit, simulator, int(nsim), sequence, caller)
    else:
        source = Simulations(simulator, int(nsim), sequence)
    design = simulator.design
    population = design.fixed_part(fit._estimates.beta)
    if design.offset is not None:
        population = population + design.offset
    made = SimulatedResiduals(fit, source, population, design.y, sequence, bool(refit), keep_simulations, use_u=bool(use_u))
    return made if group is None else made.recalculate(group)


class SimulatedResiduals:
    """Residuals on (0, 1), tests of them and their pictures.

    Attributes
    ----------
    scaled : Series
        The residuals, aligned with the data (with groups: with these).
    fitted : Series
        Fixed part and offset.  The random effects are left out, since residuals are
        correlated with their estimates even when the model is right.
    observed : Series
    simulations : DataFrame (n, nsim) or None
        With refit=True of standardized residuals.
    nsim : int
    refit, use_u : bool
    """

    def __init__(self, fit, source, fitted, observed, sequence, refit, keep, index=None, use_u=False):
        self._fit, self._source, self._sequence, self.refit, self._keep = fit, source, sequence, refit, keep
        self.use_u = use_u
        self.nsim, n = source.nsim, len(observed)
        self._index = index
        kept = np.arange(n) if n <= MOST_ROWS else np.linspace(0, n - 1, MOST_ROWS).astype(np.int64)
        self._ranks = Ranks(source, n, self.nsim, kept, sequence, keep)
        self._fitted, self._observed = fitted, observed
        self.scaled = self._series(self._ranks.scaled, "scaled")
        self.fitted, self.observed = self._series(fitted, "fitted"), self._series(observed, "observed")
        self.simulations = None
        if keep:
            columns = [f"sim_{i + 1}" for i in range(self.nsim)]
            self.simulations = pd.DataFrame(self._ranks.simulations.T, index=self._index_of_rows(), columns=columns, copy=False)

    def _index_of_rows(self):
        return self._fit._rows.index if self._index is None else self._index

    def _series(self, values, name):
        if self._index is None:
            return self._fit._rows.series(values, name)
        return pd.Series(values, index=self._index, name=name)

    def __len__(self):
        return len(self._observed)

    def recalculate(self, group, aggregate="sum"):
        """Residuals of sums or means of groups of rows.

        Parameters
        ----------
        group : str or array
            A column of the data, or one value per row.
        aggregate : {"sum", "mean"}

        Returns
        -------
        SimulatedResiduals
            One residual per group, in the order of the groups' values; the same simulations.

        Raises
        ------
        ArgumentError
        """
        if aggregate not in ("sum", "mean"):
            raise ArgumentError(f"recalculate: aggregate = {aggregate!r}; use 'sum' or 'mean'.")
        if self._index is not None:
            raise ArgumentError("recalculate: these residuals are of groups already; recalculate those of the rows.")
        codes, levels = pd.factorize(self._column(group, "recalculate"), sort=True)
        if (codes < 0).any():
            raise ArgumentError("recalculate: the group is missing in some rows.")
        size = np.bincount(codes, minlength=len(levels))
        over = size if aggregate == "mean" else 1.0
        sums = [np.bincount(codes, weights=v, minlength=len(levels)) / over for v in (self._fitted, self._observed)]
        index = pd.Index(levels, name=group if isinstance(group, str) else None)
        source = Aggregated(self._source, codes, len(levels), aggregate == "mean")
        return SimulatedResiduals(self._fit, source, *sums, self._sequence, self.refit, self._keep, index, self.use_u)

    def _column(self, values, caller):
        """A column of the data by name, or values for the rows: ndarray (n,)."""
        if isinstance(values, str):
            from fastlmm_hlm.formula.columns import DataColumns

            rows, data = self._fit._rows, self._fit._settings.data
            if self._index is not None or data is None:
                raise ArgumentError(f"{caller}: {values!r} names a column of the data; here give one value per residual.")
            source = DataColumns(data)
            source.check([values], caller)
            column = source._get(source._labels[source._places[values]])
            array = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
            return array if rows.positions is None else array[rows.positions]
        if isinstance(values, pd.Series) and values.index.is_unique and not values.index.equals(self._index_of_rows()):
            if self._index_of_rows().isin(values.index).all():
                values = values.reindex(self._index_of_rows())
        array = np.asarray(values)
        if array.shape != (len(self),):
            raise ArgumentError(f"{caller}: got values of shape {array.shape}; expected one per residual, that is ({len(self)},).")
        return array

    # --- tests --------------------------------------------------------------------

    def test_uniformity(self):
        """Kolmogorov and Smirnov's test that residuals are uniform.

        Returns
        -------
        Check
            ``.statistic``, ``.p`` by simulation, ``.p_asymptotic`` of the usual test, which takes rows for independent.
        """
        return simtests.uniformity(self._ranks)

    def test_dispersion(self, alternative="two-sided"):
        """Whether observations scatter around their expectation as much as simulated ones.

        Parameters
        ----------
        alternative : {"two-sided", "greater", "less"}

        Returns
        -------
        Check
            ``.ratio`` of the observed mean square to that of simulated data, each row in units of
            its own simulated variance; ``.p`` by simulation.
        """
        return simtests.dispersion(self._ranks, alternative)

    def test_outliers(self, alternative="two-sided"):
        """Number of observations outside all simulated values, expected n 2 / (nsim + 1).

        Returns
        -------
        Check
            ``.count``, ``.expected``, ``.p`` by simulation, ``.p_binomial`` for independent rows, ``.rows``
            (labels).
        """
        found = simtests.outliers(self._ranks, alternative)
        found.numbers["rows"] = list(self._index_of_rows()[np.isin(self._ranks.rank, (0, self.nsim))])    # of all rows
        return found

    def test_quantiles(self, predictor=None, quantiles=(0.25, 0.5, 0.75)):
        """Whether quantiles of the residuals are level along the fitted values, or another predictor.

        The gradient of quantile regression (Koenker 2005, Quantile Regression, sec. 3.6) on
        orthonormal polynomials z of degrees 1 to 3 in the ranks of the predictor, at the hypothesis
        that the quantile of level tau is the same everywhere: S = sum_i (tau - 1(u_i <= tau)) z_i, and
        S'S / (tau (1 - tau)) is chi-squared with 3 degrees of freedom for independent rows.  No
        curve is fitted, so it costs one product of matrices for all simulated data sets.  The
        level itself is the concern of `test_uniformity`.

        Parameters
        ----------
        predictor : str or array, optional
            A numeric column, or one number per row; the fitted values by default.
        quantiles : sequence of float

        Returns
        -------
        Check
            ``.p`` of all quantiles together by simulation, ``.p_values`` of each (Series), ``.statistic``.
        """
        x = self._fitted if predictor is None else self._column(predictor, "test_quantiles")
        return simtests.quantiles(self._ranks, x[self._ranks.kept], quantiles)

    def test_categorical(self, by):
        """Whether residuals are uniform, and spread alike, in every level of a factor.

        Parameters
        ----------
        by : str or array
            A column of the data, or one value per row.

        Returns
        -------
        Check
            ``.p_uniformity`` (the largest of the levels' sqrt(n) D), ``.p_homogeneity``
            (Brown and Forsythe's F, the form of Levene's test with medians), both by simulation, ``.p`` the
            smaller one doubled; ``.levels`` DataFrame: n, D, p of each level.
        """
        return simtests.categorical(self._ranks, self._column(by, "test_categorical")[self._ranks.kept])

    def test_temporal(self, time, by=None):
        """Durbin and Watson's statistic of the residuals in the order of time.

        Parameters
        ----------
        time : str or array
        by : str or array, optional
            Series of their own, such as the subjects; needed where a time comes twice.

        Returns
        -------
        Check
            ``.statistic`` (2 without correlation), ``.p`` by simulation, two-sided.

        Raises
        ------
        ArgumentError
            If a time occurs twice in a series, or the rows are too many; with use_u=True and
            refit=False, when estimated effects correlate the residuals of a group and simulated ones do not.
        """
        if self.use_u and not self.refit:
            raise ArgumentError(
                "test_temporal: with use_u=True the estimates of the random effects correlate the residuals of a group, which "
                "simulations that are not refitted do not show; use simulate_residuals(fit, use_u=True, refit=True), or use_u=False."
            )
        if len(self._ranks.kept) < len(self):
            raise ArgumentError(
                f"test_temporal: it needs the ranks of all rows, which are kept up to {MOST_ROWS:,}; there are {len(self):,}. "
                "Use recalculate(group=time)."
            )
        series = None if by is None else self._column(by, "test_temporal")
        return simtests.temporal(self._ranks, self._column(time, "test_temporal"), series)

    # --- showing ------------------------------------------------------------------

    def plot_data(self):
        """What `plot` draws: two data frames.

        Returns
        -------
        residuals : DataFrame (n, .)
            scaled, fitted, rank (of the fitted values, from 0 to 1), outlier.
        curves : DataFrame
            x, tau, quantile, lower, upper: moving quantiles of the residuals along x with the
            band in which 95% of those of the simulated data sets lie.
        """
        from scipy.stats import rankdata

        n = len(self)
        x = (rankdata(self._fitted) - 0.5) / n
        residuals = pd.DataFrame({
            "scaled": self._ranks.scaled, "fitted": self._fitted, "rank": x,
            "outlier": np.isin(self._ranks.rank, (0, self.nsim)),
        }, index=self._index_of_rows())
        return residuals, simtests.moving_quantiles(self._ranks, self._fitted[self._ranks.kept])

    def plot(self, axes=None):
        """Two panels: quantiles of the residuals against uniform ones, and residuals against fitted values.

        Parameters
        ----------
        axes : pair of matplotlib Axes, optional

        Returns
        -------
        ndarray of two matplotlib Axes
        """
        residuals, curves = self.plot_data()
        said = [self.test_uniformity(), self.test_dispersion(), self.test_outliers()]
        p = self.test_quantiles().p if np.ptp(self._fitted) > 0 else None
        return plot_simulated_residuals(residuals, curves, axes=axes, notes=[one.short for one in said],
                                        band=simtests.band(self._ranks), p_quantiles=p)

    def __str__(self):
        how = "refitted" if self.refit else "not refitted: p-values are on the large side, refit=True calibrates them"
        tests = [self.test_uniformity(), self.test_dispersion(), self.test_outliers()]
        if np.ptp(self._fitted) > 0:
            tests.append(self.test_quantiles())
        lines = [f"Simulated residuals of {self._fit.formula}", f"{len(self):,} residuals, {self.nsim} simulations, {how}", "",
                 *(str(test) for test in tests)]
        return "\n".join(lines) + "\n"

    __repr__ = __str__
