"""Power by simulation, as R's simr: simulate from a model, fit, test, count.

Replicate i is drawn from the i-th child of the seed.  The fits of a block of replicates
take their Newton steps side by side, so a thousand t-tests of a small model take well below a second.
"""

from collections import Counter

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmError
from fastlmm_hlm.inference.bootstrap import blocks_of, positive_count, run_blocks
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.powertests import make_test
from fastlmm_hlm.inference.progress import ProgressBar
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulator_of
from fastlmm_hlm.report.power import curve_text, plot_power_curve, power_text

# Breaks of a power curve when none are given.
BREAKS = 10
# The null distribution of an exact test is drawn from this child of the seed, beyond all replicates.
NULL_CHILD = 2**31


def clopper_pearson(successes, trials, level=0.95):
    """Exact limits of a binomial probability (Clopper & Pearson 1934).

    Parameters
    ----------
    successes, trials : int
    level : float

    Returns
    -------
    lower, upper : float
    """
    from scipy.special import betaincinv

    tail = (1.0 - level) / 2.0
    lower = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    upper = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return lower, upper


class PowerSim:
    """Power of one test; prints as simr prints it.

    Attributes
    ----------
    power : float
        x / n.
    x, n : int
        Replicates with p < alpha, and all replicates: one without a p-value counts as not significant.
    pval : ndarray (n,)
        NaN where there is none.
    alpha : float
    warnings, errors : dict str -> int
        What was said, and in how many replicates.
    effect : float or None
        The coefficient that is tested.
    nrow : int
    seed : numpy.random.SeedSequence
        Give it again for the same replicates.
    """

    def __init__(self, pval, alpha, test, nrow, seed, warnings=(), errors=()):
        self.pval, self.alpha, self.nrow, self.seed = pval, alpha, nrow, seed
        self.warnings, self.errors = dict(warnings), dict(errors)
        self.x, self.n = int((pval < alpha).sum()), len(pval)
        self.power = self.x / self.n
        self.predictor, self.test = test.predictor, test.text
        self.effect_name, self.effect = test.effect

    def confint(self, level=0.95):
        """Limits of the power by Clopper and Pearson, Series (lower, upper)."""
        if not isinstance(level, (int, float)) or not 0.0 < level < 1.0:
            raise ArgumentError(f"confint: level = {level!r}; expected a number between 0 and 1, such as 0.95.")
        return pd.Series(clopper_pearson(self.x, self.n, level), index=["lower", "upper"], name="power")

    def to_frame(self):
        """One row: successes, trials, mean, lower, upper, DataFrame."""
        lower, upper = clopper_pearson(self.x, self.n)
        return pd.DataFrame({"successes": [self.x], "trials": [self.n], "mean": [self.power], "lower": [lower], "upper": [upper]})

    summary = to_frame

    def __str__(self):
        return power_text(self, clopper_pearson(self.x, self.n))

    __repr__ = __str__


class PowerCurve:
    """Power of one test for designs of several sizes.

    Attributes
    ----------
    sims : list of PowerSim or None
        None where the model could not be made for so few levels; `problems` says why.
    nlevels : list of int
    along, within : str or None
    problems : dict int -> str
    """

    def __init__(self, sims, nlevels, largest, along, within, predictor, problems, nsim):
        self.sims, self.nlevels, self.largest = sims, nlevels, largest
        self.along, self.within, self.predictor, self.problems, self.nsim = along, within, predictor, problems, nsim

    def to_frame(self):
        """DataFrame with one row per size: nrow, nlevels, largest, successes, trials, mean, lower, upper, errors.

        `largest` is the last value of the column `along`; missing for `within`.
        """
        rows = []
        for sim, nlevels, largest in zip(self.sims, self.nlevels, self.largest):
            if sim is None:
                rows.append([0, nlevels, largest, 0, self.nsim, 0.0, *clopper_pearson(0, self.nsim), self.nsim])
            else:
                rows.append([sim.nrow, nlevels, largest, sim.x, sim.n, sim.power, *clopper_pearson(sim.x, sim.n),
                             sum(sim.errors.values())])
        columns = ["nrow", "nlevels", "largest", "successes", "trials", "mean", "lower", "upper", "errors"]
        return pd.DataFrame(rows, columns=columns)

    summary = to_frame

    def plot(self, ax=None, target=0.8):
        """Power with its 95% intervals against the size; see `fastlmm_hlm.report.power.plot_power_curve`.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        target : float or None
            A horizontal line.

        Returns
        -------
        matplotlib Axes
        """
        return plot_power_curve(self.to_frame(), ax=ax, target=target, xlabel=self.xlabel, title=f"Power for {self.predictor}")

    @property
    def xlabel(self):
        """What the sizes count."""
        return f"number of levels in {self.along}" if self.along else f"number of observations within {self.within}"

    def __str__(self):
        return curve_text(self.to_frame(), self.predictor, self.xlabel, self.problems)

    __repr__ = __str__


class _Task:
    """Everything a process needs to make replicates."""

    def __init__(self, fit, test, method, sequence, caller, made=None):
        self.fit, self.test, self.method, self.sequence, self.caller = fit, test, method, sequence, caller
        self.simulator = simulator_of(fit, caller=caller)
        self.made = made or make_test(fit, test, method, caller, generator_of(sequence, NULL_CHILD))

    def __reduce__(self):
        # a fit leaves its rows out of its own pickle
        return _task_from, (self.fit, self.fit._rows, self.test, self.method, self.sequence, self.caller)

    def block(self, first, last):
        """p-values of replicates first .. last-1, with warnings and errors."""
        y = np.empty((last - first, self.simulator.design.n))
        for i in range(first, last):
            self.simulator.draw(generator_of(self.sequence, i), y[i - first])
        return self.made.pvalues(y)


def _task_from(fit, rows, *rest):
    fit._rows = rows
    return _Task(fit, *rest)


def _simulated(task, nsim, alpha, processes, bar):
    """PowerSim of one task."""
    pval, said = np.full(nsim, np.nan), (Counter(), Counter())
    blocks = blocks_of(nsim, processes, task.made.at_a_time)
    for first, (p, *counts) in run_blocks(task, blocks, processes, task.caller):
        pval[first : first + len(p)] = p
        for total, count in zip(said, counts):
            total.update(count)
        if bar is not None:
            bar.update(len(p))
    return PowerSim(pval, alpha, task.made, task.simulator.design.n, task.sequence, *said)


def _checked(fit, nsim, alpha, processes, caller):
    require_fit(fit, caller)
    if not isinstance(alpha, (int, float, np.number)) or isinstance(alpha, bool) or not 0.0 < alpha < 1.0:
        raise ArgumentError(f"{caller}: alpha = {alpha!r}; expected a significance level between 0 and 1, such as 0.05.")
    return positive_count(nsim, "nsim", caller), positive_count(processes, "processes", caller)


def power_sim(fit, test=None, nsim=1000, alpha=0.05, seed=None, progress=False, processes=1, method=None):
    """Power of a test by simulation: simr's ``powerSim``.

    Responses are simulated from the parameters of the fit (random effects drawn anew), the
    model is fitted to each, and the share of p-values below alpha is counted.

    Parameters
    ----------
    fit : LinearMixedModel
        Fitted, or with parameters that are given: `make_lmer`, `with_parameters`, `extend`.
    test : None, str, `fcompare` or callable
        A coefficient or a term of the fixed part, by default the first term after the
        intercept; "random:TERM" for a random term, as `ranova` names it, or its grouping factor
        ("random" where there is one); ``fcompare("~ x")`` for a likelihood ratio test
        against another model; or a function from a fit to a p-value.
    nsim : int
    alpha : float
    seed : None, int, SeedSequence or Generator
        The p-values depend on it alone.
    progress : bool
        Show a progress bar; needs tqdm.
    processes : int
        How many to use; the results do not depend on it.
    method : {"t", "z", "lr", "kr", "F", "exact"}, optional
        "t" : Satterthwaite's degrees of freedom (default for one coefficient).
        "F" : the row of `anova(fit)`, type III, for a term (default for several columns).
        "z" : normal; chi-squared for several columns.
        "kr" : Kenward and Roger's t or F.
        "lr" : likelihood ratio against the model without the columns of the term, by ML;
        for a random term on the criterion of the fit, chi-squared as in `ranova` (default there).
        "exact" : for one random variance, `exactRLRT`; its null distribution is simulated once.

    Returns
    -------
    PowerSim

    Raises
    ------
    ArgumentError
        For arguments out of range.
    UnknownNameError
        If the model has no such effect.

    References
    ----------
    Green & MacLeod (2016), SIMR: an R package for power analysis of generalized linear mixed
    models by simulation, Methods in Ecology and Evolution 7(4), 493-498.

    Examples
    --------
    >>> from fastlmm_hlm import datasets, lmer
    >>> fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    >>> smaller = fit.with_parameters(fixef={"Days": 4.0})
    >>> bool(0.5 < power_sim(smaller, "Days", nsim=200, seed=1).power < 0.85)
    True
    """
    nsim, processes = _checked(fit, nsim, alpha, processes, "power_sim")
    task = _Task(fit, test, method, seed_sequence(seed), "power_sim")
    with ProgressBar(progress, nsim, "power_sim", "fit") as bar:
        return _simulated(task, nsim, alpha, processes, bar)


def power_curve(fit, test=None, along=None, within=None, breaks=None, nsim=1000, alpha=0.05, seed=None, progress=False,
                processes=1, method=None):
    """Power for designs of several sizes: simr's ``powerCurve``.

    With `along`, the first levels of a column are kept: numbers and categories in their
    order, texts as they first appear.  With `within`, the first rows of every combination of some
    columns.  For more than the data have, `extend` the fit first.

    Parameters
    ----------
    fit : LinearMixedModel
    test : see `power_sim`
    along : str
        A column of the model, such as a grouping factor or the time.
    within : str
        Columns joined by "+".
    breaks : sequence of int, optional
        Sizes; by default about 10 up to all that there are.
    nsim, alpha, seed, progress, processes, method
        As for `power_sim`; nsim for each size.

    Returns
    -------
    PowerCurve

    Raises
    ------
    ArgumentError
        If not exactly one of `along` and `within` is given, or a break is out of range.
    UnknownColumnError
        If the model does not use the column.
    """
    caller = "power_curve"
    nsim, processes = _checked(fit, nsim, alpha, processes, caller)
    if (along is None) == (within is None):
        raise ArgumentError(f"{caller}: give along= (a column) or within= (columns joined by '+'), one of them.")
    steps = fit._smaller_designs(along, within, caller)
    breaks = _breaks(breaks, steps.most, caller)
    first = make_test(fit, test, method, caller)
    children = seed_sequence(seed).spawn(len(breaks))
    sims, problems = [], {}
    with ProgressBar(progress, nsim * len(breaks), caller, "fit") as bar:
        for size, child in zip(breaks, children):
            try:
                task = _Task(steps.of(size), test, method, child, caller)
            except (FastlmmError, np.linalg.LinAlgError) as problem:
                problems[size] = str(problem)
                sims.append(None)
                if bar is not None:
                    bar.update(nsim)
                continue
            sims.append(_simulated(task, nsim, alpha, processes, bar))
    return PowerCurve(sims, breaks, [steps.largest(size) for size in breaks], along, within, first.predictor, problems, nsim)


def _breaks(breaks, most, caller):
    """Sizes, increasing.

    Raises
    ------
    ArgumentError
    """
    if breaks is None:
        return np.unique(np.linspace(min(3, most), most, BREAKS).round().astype(int)).tolist()
    values = np.atleast_1d(np.asarray(breaks))
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu" or values.min() < 1 or values.max() > most:
        raise ArgumentError(f"{caller}: breaks = {breaks!r}; expected whole numbers from 1 to {most}, all that the data have. For "
                            "more, extend() the fit first.")
    return np.unique(values).tolist()
