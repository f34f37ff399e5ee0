"""The signed root of the deviance difference along one parameter.

Points are added wave by wave, all of a wave side by side: towards both sides until
the root exceeds a cutoff or the parameter its bound, then between neighbours until
gaps are small, then at the levels whose limits are to be exact.  What waits for minima
is a generator that yields what it wants solved, so that the waves of several
parameters are solved side by side too.
"""

import math

import numpy as np

from fastlmm_hlm.inference.constrained import problem_of, solve_together

# A constrained minimum this much below the optimum says that the optimum is none.
LOWER_BY = 1e-6
# Deviances closer than this are the same.
SAME = 1e-9
# Gaps between neighbouring roots are at most this many steps.
WIDEST = 1.5
MOST_WAVES = 25
# Waves that sharpen the limits, and the accuracy at which a limit counts as met.
SHARPENING, MET = 6, 1e-7
# A wave reaches at most this many times as far as the last one.
GROWTH = 2.5


class LowerDevianceFound(Exception):
    """A constrained minimum lies below the optimum that profiling started from."""

    def __init__(self, templates, difference):
        super().__init__(difference)
        self.templates, self.difference = templates, difference


def trace_together(paths, cutoff, step, levels):
    """Trace several paths, their waves side by side; see `Path.trace`."""
    under_way = [path.trace(cutoff, step, levels) for path in paths]
    wanted = [(one, next(one, None)) for one in under_way]
    while wanted := [(one, request) for one, request in wanted if request is not None]:
        solved = solve_together([request for _, request in wanted])
        wanted = [(one, _next_request(one, answer)) for (one, _), answer in zip(wanted, solved)]


def _next_request(generator, answer):
    try:
        return generator.send(answer)
    except StopIteration:
        return None


class Path:
    """Points of the profile of one parameter.

    Parameters
    ----------
    ml : MaximumLikelihood
    parameter : Parameter
    estimate : float
    guess : float
        A standard error, or what may pass for one.

    Attributes
    ----------
    value, zeta : ndarray (k,)
        Increasing.
    rows : ndarray (k, parameters)
        All parameters at the points, after `finish`.
    trouble : list of str
    """

    def __init__(self, ml, parameter, estimate, guess):
        self.ml, self.parameter, self.estimate, self.guess = ml, parameter, float(estimate), guess
        self.problem = problem_of(ml, parameter)
        self.value, self.zeta = np.array([self.estimate]), np.zeros(1)
        self.at = [None]                  # (problem, coordinates) of each point but the estimate
        self.caps = []
        self.trouble = []
        self.lower, self.upper = parameter.lower, parameter.upper

    # --- waves ---------------------------------------------------------------

    def trace(self, cutoff, step, levels):
        """Add points until the profile is known: a generator of requests for `solve_together`.

        Parameters
        ----------
        cutoff : float
            Root of the deviance difference to reach on both sides.
        step : float
            Distance of neighbouring roots to aim at.
        levels : sequence of float
            Roots at which the limits are to be exact.
        """
        for problem in self.problem.limits_of_the_rest():
            solved = yield problem, np.zeros(1), None
            self.caps.append((float(solved.deviance[0]), problem, solved.par[0]))
        yield from self._add(self._first())
        for _ in range(MOST_WAVES):
            wanted = np.concatenate([self._further(side, cutoff, step) for side in (-1, 1)] + [self._between(step)])
            if not len(wanted):
                break
            yield from self._add(wanted)
        else:
            self.trouble.append(f"the profile of {self.parameter.name} did not reach the cutoff {cutoff:.3g}")
        targets = [side * level for level in levels for side in (-1, 1)]
        before = self.value
        for _ in range(SHARPENING):
            wanted = [v for v in (self._nearer(target) for target in targets) if v is not None]
            if not wanted:
                break
            yield from self._add(np.array(wanted))
        self._keep(np.isin(self.value, before) | (np.abs(np.abs(self.zeta)[:, None] - levels) < MET).any(axis=1))
        yield from self._check_order()

    def _keep(self, kept):
        """Leave out the steps towards the limits."""
        self.value, self.zeta = self.value[kept], self.zeta[kept]
        self.at = [one for one, keep in zip(self.at, kept) if keep]

    def _first(self):
        trial = np.array([self.estimate - self.guess, self.estimate + self.guess])
        if self.parameter.kind in ("sd", "sigma"):
            trial[0] = self.estimate * math.exp(-self.guess / self.estimate) if self.estimate > 0 else -1.0
        elif self.parameter.kind == "cor":
            trial = np.clip(trial, (self.estimate - 1) / 2, (self.estimate + 1) / 2)
        return trial[(trial >= self.lower) & (trial <= self.upper) & (trial != self.estimate)]

    def _side(self, side):
        """Values and sizes of the roots on one side, from the estimate outwards."""
        keep = self.value >= self.estimate if side > 0 else self.value <= self.estimate
        order = np.argsort(side * self.value[keep])
        return self.value[keep][order], np.abs(self.zeta[keep][order])

    def _bound(self, side):
        return self.upper if side > 0 else self.lower

    def _further(self, side, cutoff, step):
        """Values beyond the outermost one of a side, or none when it is far enough."""
        value, zeta = self._side(side)
        bound = self._bound(side)
        if zeta[-1] >= cutoff or value[-1] == bound or self.estimate == bound:
            return np.empty(0)
        if len(value) == 1:
            return np.array([bound]) if math.isfinite(bound) else np.array([self.estimate + side * self.guess])
        x = self._scale(value, side)
        slope = (x[-1] - x[-2]) / max(zeta[-1] - zeta[-2], 1e-3)
        reach = min(zeta[-1] * GROWTH + step, cutoff + 0.1 * step)
        count = max(int(math.ceil((reach - zeta[-1]) / step)), 1)
        beyond = x[-1] + slope * (reach - zeta[-1]) * np.arange(1, count + 1) / count
        out = self._unscale(beyond, side)
        if math.isfinite(bound):
            inside = side * out < side * bound
            # a step that would leave the range ends at the bound itself
            out = out if inside.all() else np.append(out[inside], bound)
        return out

    def _between(self, step):
        """Values between neighbours whose roots differ by too much."""
        out = []
        for side in (-1, 1):
            value, zeta = self._side(side)
            x = self._scale(value, side)
            for i in range(len(x) - 1):
                gap = zeta[i + 1] - zeta[i]
                if gap > WIDEST * step and abs(x[i + 1] - x[i]) > 1e-9 * max(abs(x[i]), abs(x[i + 1])):
                    pieces = int(math.ceil(gap / step))
                    out.append(self._unscale(np.linspace(x[i], x[i + 1], pieces + 1)[1:-1], side))
        return np.concatenate(out) if out else np.empty(0)

    def _scale(self, value, side):
        """A scale on which the root is nearly linear."""
        if self.parameter.kind in ("sd", "sigma"):
            if self.estimate == 0:
                return value
            return np.log(value) if self._logarithmic(side) else (value / self.estimate) ** 2
        return value

    def _unscale(self, x, side):
        if self.parameter.kind in ("sd", "sigma"):
            if self.estimate == 0:
                return x
            return np.exp(x) if self._logarithmic(side) else self.estimate * np.sqrt(np.maximum(x, 0.0))
        return x

    def _logarithmic(self, side):
        return side > 0 or self.parameter.kind == "sigma"

    def _nearer(self, target):
        """A value nearer to where the root is `target`; None when that is met or out of reach."""
        side = 1 if target > 0 else -1
        value, zeta = self._side(side)
        size = abs(target)
        if zeta[-1] < size or np.abs(zeta - size).min() < MET:
            return None
        outer = int(np.argmax(zeta >= size))
        x = self._scale(value, side)
        inside, outside = sorted((x[outer - 1], x[outer]))
        near = np.argsort(np.abs(zeta - size))[:4]
        near = near[np.argsort(zeta[near])]
        z, nodes = zeta[near], x[near]
        guess = math.nan
        if (np.diff(z) > 1e-12).all():
            guess = _lagrange(z, nodes, size)
        if not inside < guess < outside:
            share = (size - zeta[outer - 1]) / (zeta[outer] - zeta[outer - 1])
            guess = x[outer - 1] + share * (x[outer] - x[outer - 1])
        new = float(self._unscale(np.array([guess]), side)[0])
        return None if np.any(self.value == new) else new

    # --- points --------------------------------------------------------------

    def _starts(self, problem, values):
        """Coordinates near the minima at new values, from neighbours of the same kind."""
        known = [i for i, one in enumerate(self.at) if one is not None and one[0] is problem]
        if not known:
            return problem.starts(values)
        value = self.value[known]
        smooth = problem.to_smooth(value, np.stack([self.at[i][1] for i in known]))
        out = np.empty((len(values), smooth.shape[1]))
        for i, v in enumerate(values):
            near = np.argsort(np.abs(value - v))[:2]
            out[i] = smooth[near[0]]
            if len(near) == 2 and (value[near[0]] > self.estimate) == (value[near[1]] > self.estimate):
                t = (v - value[near[0]]) / (value[near[1]] - value[near[0]])
                if -1.5 < t < 1.5:
                    out[i] += t * (smooth[near[1]] - out[i])
        return problem.from_smooth(np.asarray(values), out)

    def _add(self, values):
        values = np.unique(values)
        values = values[~np.isin(values, self.value)]
        if self.parameter.kind == "sd" and (values == 0).any():
            yield from self._put(self.problem.at_zero(), values[values == 0])
            values = values[values > 0]
        if len(values):
            yield from self._put(self.problem, values)

    def _put(self, problem, values):
        solved = yield problem, values, self._starts(problem, values)
        again = np.flatnonzero(~solved.converged)
        if len(again):
            second = yield problem, values[again], None
            better = second.converged | (second.deviance < solved.deviance[again])
            solved.deviance[again[better]], solved.par[again[better]] = second.deviance[better], second.par[better]
            solved.converged[again] |= second.converged
        at = [(problem, par) for par in solved.par]
        for cap, other, par in self.caps:
            for i in np.flatnonzero(solved.deviance > cap - SAME):
                solved.deviance[i], solved.converged[i], at[i] = cap, True, (other, par)
        difference = solved.deviance - self.ml.deviance
        if (difference < -LOWER_BY).any():
            i = int(np.argmin(difference))
            raise LowerDevianceFound(problem.templates_at(values, solved.par, i), float(difference[i]))
        usable = np.isfinite(difference)
        for value in values[~usable | ~solved.converged]:
            self.trouble.append(f"no minimum was found with {self.parameter.name} fixed at {value:.6g}")
        zeta = np.sign(values - self.estimate) * np.sqrt(np.maximum(difference, 0.0))
        value = np.concatenate([self.value, values[usable]])
        order = np.argsort(value, kind="stable")
        self.value, self.zeta = value[order], np.concatenate([self.zeta, zeta[usable]])[order]
        at = self.at + [one for one, good in zip(at, usable) if good]
        self.at = [at[i] for i in order]

    def _check_order(self):
        """Solve again, from both neighbours, where the root does not increase."""
        for _ in range(3):
            falling = np.flatnonzero(np.diff(self.zeta) < -1e-7)
            if not len(falling):
                return
            for i in np.unique(np.concatenate([falling, falling + 1])):
                if self.at[i] is None or self.at[i][0] is not self.problem:
                    continue
                for j in (i - 1, i + 1):
                    if 0 <= j < len(self.at) and self.at[j] is not None and self.at[j][0] is self.problem:
                        again = yield self.problem, self.value[[i]], self.at[j][1][None]
                        root = math.sqrt(max(float(again.deviance[0] - self.ml.deviance), 0.0))
                        if root < abs(self.zeta[i]):
                            self.zeta[i] = math.copysign(root, self.value[i] - self.estimate)
                            self.at[i] = self.problem, again.par[0]
        if (np.diff(self.zeta) < -1e-7).any():
            self.trouble.append(f"non-monotonic profile for {self.parameter.name}")

    def finish(self, parameters, at_estimate):
        """All parameters at the points, as rows."""
        self.rows = np.tile(at_estimate, (len(self.value), 1))
        for problem in {id(one[0]): one[0] for one in self.at if one is not None}.values():
            here = [i for i, one in enumerate(self.at) if one is not None and one[0] is problem]
            par = np.stack([self.at[i][1] for i in here])
            self.rows[here] = problem.parameters_at(self.value[here], par, parameters)
        self.at = None
        return self


def _lagrange(z, x, at):
    """The polynomial through (z, x) at one place."""
    z, x = z.tolist(), x.tolist()
    total = 0.0
    for i, (own, height) in enumerate(zip(z, x)):
        for other in z[:i] + z[i + 1 :]:
            height *= (at - other) / (own - other)
        total += height
    return total
