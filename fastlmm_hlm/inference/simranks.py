"""Ranks of observations among simulated ones, block of rows by block of rows.

Row by row the observed value and its nsim simulated ones are ranked together, so every
data set, the observed one and each simulated one, has a rank 0 .. nsim in every row.  If the
model is right, all nsim + 1 data sets are alike, whatever the dependence between
rows: any statistic of the ranks of the observed data may be compared with the same statistic of the
ranks of each simulated data set (Besag and Clifford 1989, Biometrika 76).
"""

import numpy as np

from fastlmm_hlm.design.columns import dense
from fastlmm_hlm.errors import ConvergenceError
from fastlmm_hlm.inference.refits import Refitter
from fastlmm_hlm.inference.simulation import generator_of

# Numbers of simulations held at a time.
AT_A_TIME = 8_000_000


class Simulations:
    """Simulated responses of the rows in turn, each replicate from its own generator.

    They are those of `simulate_responses` with the same seed: a generator gives the same
    normal numbers in blocks as at once.

    Parameters
    ----------
    simulator : ResponseSimulator
    nsim : int
    sequence : SeedSequence
    """

    def __init__(self, simulator, nsim, sequence):
        self.simulator, self.nsim, self.sequence = simulator, nsim, sequence

    def blocks(self, rows):
        """(slice, observed (k,), simulated (nsim, k)) of `rows` rows at a time."""
        simulator, design = self.simulator, self.simulator.design
        generators = [generator_of(self.sequence, i) for i in range(self.nsim)]
        effects = [list(simulator.drawn_effects(rng)) for rng in generators]
        for first in range(0, design.n, rows):
            at = slice(first, min(first + rows, design.n))
            made = np.empty((self.nsim, at.stop - at.start))
            scale = simulator.scale if np.ndim(simulator.scale) == 0 else simulator.scale[at]
            for i, rng in enumerate(generators):
                made[i] = simulator.mean[at] + scale * rng.standard_normal(made.shape[1])
                for factor, b in effects[i]:
                    made[i] += effects_in(factor, b, at)
            yield at, design.y[at], made


def effects_in(factor, b, at):
    """Z b of one factor in some rows."""
    codes, total = factor.codes[at], 0.0
    for j, column in enumerate(factor.columns):
        part = b[:, j].take(codes)
        total = total + (part if column is None else part * column[at])
    return total


class RefittedResiduals:
    """Residuals of the model fitted again to each simulated response, beside those of the fit.

    They are Pearson residuals over the residual standard deviation of their own fit.  Without
    that the observed residuals, whose scale is the one that was simulated from, would be more alike to the
    average than the simulated ones are.

    Parameters
    ----------
    fit : LinearMixedModel
    simulator : ResponseSimulator
    nsim : int
    sequence : SeedSequence
    caller : str
    """

    def __init__(self, fit, simulator, nsim, sequence, caller):
        self.simulations = Simulations(simulator, nsim, sequence)
        self.fit = fit
        refitter = Refitter(fit, caller)
        estimates, first = [], 0
        while first < nsim:
            last = min(first + refitter.at_a_time, nsim)
            y = np.empty((last - first, simulator.design.n))
            for i in range(first, last):
                simulator.draw(generator_of(sequence, i), y[i - first])
            refits = refitter.fit(refitter.responses(y))
            if not refits.usable.all():
                bad = first + int(np.argmin(refits.usable))
                raise ConvergenceError(f"{caller}: the model could not be fitted to simulation {bad}; use refit=False.")
            estimates.append((refits.beta, refits.b, refits.sigma))
            first = last
        self.beta = np.concatenate([beta for beta, _, _ in estimates])
        self.b = [np.concatenate(parts) for parts in zip(*(b for _, b, _ in estimates))]
        self.sigma = np.concatenate([sigma for _, _, sigma in estimates])
        self.design, self.nsim = refitter.design, nsim

    def blocks(self, rows):
        """As `Simulations.blocks`, of standardized residuals."""
        design, e = self.design, self.fit._estimates
        for at, y, made in self.simulations.blocks(rows):
            X = dense([None if c is None else c[at] for c in design.x_columns], len(y))
            offset = 0.0 if design.offset is None else design.offset[at]
            made -= self.beta @ X.T + offset
            own = y - X @ e.beta - offset
            for factor, b, ours in zip(design.factors, self.b, e.b):
                own = own - effects_in(factor, ours, at)
                for i in range(self.nsim):
                    made[i] -= effects_in(factor, b[i], at)
            made /= self.sigma[:, None]
            own = own / e.sigma
            if design.weights is not None:
                made *= np.sqrt(design.weights[at])
                own = own * np.sqrt(design.weights[at])
            yield at, own, made


class Aggregated:
    """Sums or means of rows by group, of a source of blocks.

    Parameters
    ----------
    source : Simulations or RefittedResiduals
    codes : ndarray of int (n,)
        Group of each row.
    groups : int
    mean : bool
    """

    def __init__(self, source, codes, groups, mean):
        self.source, self.codes, self.groups, self.mean, self.nsim = source, codes, groups, mean, source.nsim

    def blocks(self, rows):
        """One block of all groups."""
        own, made = np.zeros(self.groups), np.zeros((self.nsim, self.groups))
        for at, y, simulated in self.source.blocks(rows):
            codes = self.codes[at]
            own += np.bincount(codes, weights=y, minlength=self.groups)
            for total, values in zip(made, simulated):
                total += np.bincount(codes, weights=values, minlength=self.groups)
        if self.mean:
            size = np.bincount(self.codes, minlength=self.groups)
            own, made = own / size, made / size
        yield slice(0, self.groups), own, made


class Ranks:
    """What is kept of the simulations.

    Attributes
    ----------
    rank : ndarray of int32 (n,)
        Number of simulated values below the observed one, ties broken at random.
    scaled : ndarray (n,)
        (rank + U) / (nsim + 1), U uniform: exactly uniform under the model.
    kept : ndarray of int (m,)
        Rows in which all data sets were ranked; all that follows is of these.
    ranks : ndarray of uint16 (nsim + 1, m)
        Data set 0 is the observed one.
    counts : ndarray of int64 (nsim + 1, nsim + 1)
        counts[j, r]: rows in which data set j has rank r.
    squares : ndarray (nsim + 1,)
        Sum over rows of the squared deviation of each data set from the mean of all, relative
        to the variance of all in that row.
    simulations : ndarray (nsim, n) or None
    """

    def __init__(self, source, n, nsim, kept, sequence, keep):
        rng = np.random.Generator(np.random.PCG64(sequence.spawn(1)[0]))
        sets = nsim + 1
        self.nsim, self.kept = nsim, kept
        self.rank, self.scaled = np.empty(n, dtype=np.int32), np.empty(n)
        self.ranks, self.squares = np.empty((sets, len(kept)), dtype=np.uint16), np.zeros(sets)
        self.simulations = np.empty((nsim, n)) if keep else None
        for at, own, made in source.blocks(max(1, AT_A_TIME // sets)):
            if keep:
                self.simulations[:, at] = made
            self._add(at, own, made, rng)
        self.counts = np.array([np.bincount(row, minlength=sets) for row in self.ranks])

    def _add(self, at, own, made, rng):
        low, high = np.searchsorted(self.kept, [at.start, at.stop])
        inside = self.kept[low:high] - at.start
        whole = np.empty((len(inside), self.nsim + 1))
        whole[:, 0], whole[:, 1:] = own[inside], (made if len(inside) == len(own) else made[:, inside]).T
        self.ranks[:, low:high] = ranked(whole, rng).T
        self.squares += _relative_squares(whole)
        rank = self.ranks[0, low:high]
        if len(inside) < len(own):
            rank = (made < own).sum(axis=0)
            ties = (made == own).sum(axis=0)
            rank[inside] = self.ranks[0, low:high]
            other = np.setdiff1d(np.flatnonzero(ties), inside)
            rank[other] += rng.integers(0, ties[other] + 1)
        self.rank[at] = rank
        self.scaled[at] = (rank + rng.random(len(own))) / (self.nsim + 1)


def ranked(values, rng):
    """Rank of each value in its row, ties broken at random, (k, sets) of uint16."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    for j in np.flatnonzero((np.diff(ordered, axis=1) == 0).any(axis=1)):
        order[j] = np.lexsort((rng.random(values.shape[1]), values[j]))
    out = np.empty(values.shape, dtype=np.uint16)
    np.put_along_axis(out, order, np.arange(values.shape[1], dtype=np.uint16)[None], axis=1)
    return out


def _relative_squares(values):
    """Squared deviations from the mean of the row in units of its variance, summed over rows; the values are overwritten."""
    values -= values.mean(axis=1, keepdims=True)
    np.square(values, out=values)
    spread = values.mean(axis=1)
    return (1.0 / np.where(spread > 0, spread, 1.0)) @ values
