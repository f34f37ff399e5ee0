"""Newton's method of `fastlmm_hlm.optimize.newton` for many problems side by side.

Every problem takes the steps that it would take alone, with its own secant correction,
step length and stopping rule; a last step that leaves no error is evaluated here all the
same.  The linear algebra of all that are still under way
is stacked.
"""

from dataclasses import dataclass

import numpy as np

from fastlmm_hlm.optimize.newton import EIGENVALUE_FLOOR, LAST_STEP, LONGEST_STEP, MAX_EVALUATIONS, ROUNDING, TOLERANCE

# How far a step may be cut before the search along it ends, relative to the point.
SHORTEST = 1e-14
STALLED = 3


@dataclass
class Minima:
    """What was found, one row per problem.

    Attributes
    ----------
    par : ndarray (k, m)
    value : ndarray (k,)
    converged : ndarray of bool (k,)
    evaluations : ndarray of int (k,)
    gradient : ndarray (k, m), hessian : ndarray (k, m, m)
        At the last evaluated point, which is a last step of no consequence before ``par``.
    """

    par: np.ndarray
    value: np.ndarray
    converged: np.ndarray
    evaluations: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def newton_many(evaluate, start, *, max_evaluations=MAX_EVALUATIONS, tolerance=TOLERANCE, always_learn=False):
    """Minimize many criteria by Newton steps with learned corrections.

    Parameters
    ----------
    evaluate : callable
        (par (j, m), who (j,)) -> object with ``usable`` (j,), ``value`` (j,), ``gradient``
        (j, m) and ``hessian`` (j, m, m) of the problems ``who``.
    start : ndarray, shape (k, m)
    max_evaluations : int
    tolerance : float
        Predicted decrease of a criterion at which to stop.
    always_learn : bool
        Correct the curvature after every step.  By default only where the model foretold
        the decrease; where the given Hessian is far from the curvature, that is too seldom.

    Returns
    -------
    Minima
    """
    return _Search(evaluate, start, max_evaluations, tolerance, always_learn).run()


class _Search:
    def __init__(self, evaluate, start, max_evaluations, tolerance, always_learn):
        self.evaluate, self.tolerance, self.most = evaluate, tolerance, max_evaluations
        self.always_learn = always_learn
        k, m = start.shape
        self.x = np.array(start, dtype=float)
        first = evaluate(self.x, np.arange(k))
        self.f, self.g, self.B = first.value, first.gradient, first.hessian
        self.S = np.zeros((k, m, m))
        self.count = np.ones(k, dtype=int)
        self.stalled = np.zeros(k, dtype=int)
        self.converged = np.zeros(k, dtype=bool)
        self.last = np.zeros((k, m))
        self.under_way = first.usable & np.isfinite(self.f)
        self.step, self.slope, self.predicted = np.zeros((k, m)), np.zeros(k), np.zeros(k)
        self.fraction, self.length = np.ones(k), np.zeros(k)

    def run(self):
        fresh = np.flatnonzero(self.under_way)
        while True:
            self._new_steps(fresh)
            who = np.flatnonzero(self.under_way)
            if not len(who):
                break
            fresh = self._try_steps(who)
        return Minima(self.x + self.last, self.f, self.converged, self.count, self.g, self.B)

    def _noise(self, who):
        return ROUNDING * np.maximum(np.abs(self.f[who]), 1.0)

    def _finish(self, who, converged):
        self.under_way[who] = False
        self.converged[who] = converged

    def _new_steps(self, who):
        """A step for each problem that needs one; those at their minimum end here."""
        again = who
        while len(again):
            again = self._eigen_steps(again)
        who = who[self.under_way[who]]
        given_up = who[self.count[who] >= self.most]
        self._finish(given_up, False)

    def _eigen_steps(self, who):
        """Steps from the eigenvalues of B + S; returns problems to ask once more without S."""
        w, V = np.linalg.eigh(self.B[who] + self.S[who])
        size = np.maximum(np.abs(w).max(axis=1), 1e-300)
        w_abs = np.maximum(np.abs(w), EIGENVALUE_FLOOR * size[:, None])
        along = (np.swapaxes(V, 1, 2) @ self.g[who][:, :, None])[:, :, 0]
        step = -(V @ (along / w_abs)[:, :, None])[:, :, 0]
        predicted = 0.5 * (along**2 / w_abs).sum(axis=1)
        radius = np.maximum(1.0, _length(self.x[who]))
        flat = predicted <= np.maximum(self.tolerance, self._noise(who))
        saddle = flat & (w[:, 0] < -1e-7 * np.maximum(size, 1.0))

        done = flat & ~saddle
        short = done & (_length(step) <= LAST_STEP * radius)
        self.last[who[short]] = step[short]
        self._finish(who[done], True)

        doubtful = saddle & self.S[who].any(axis=(1, 2))    # the correction may be to blame: ask the model alone
        self.S[who[doubtful]] = 0.0
        leave = saddle & ~doubtful
        step[leave] = V[leave][:, :, 0] * min(1.0, LONGEST_STEP)
        predicted = np.where(leave, 0.5 * np.abs(w[:, 0]), predicted)

        length = _length(step)
        limit = LONGEST_STEP * radius
        shrink = np.where(length > limit, limit / np.maximum(length, 1e-300), 1.0)
        step, length = step * shrink[:, None], length * shrink
        self.step[who], self.length[who], self.predicted[who] = step, length, predicted
        self.slope[who] = (step * self.g[who]).sum(axis=1)
        self.fraction[who] = 1.0
        return who[doubtful]

    def _try_steps(self, who):
        """Evaluate at the end of the steps; returns the problems that moved."""
        trial = self.x[who] + self.fraction[who, None] * self.step[who]
        there = self.evaluate(trial, who)
        self.count[who] += 1
        fraction, slope, noise = self.fraction[who], self.slope[who], self._noise(who)
        usable = there.usable & np.isfinite(there.value)
        good = usable & (there.value <= self.f[who] + 1e-4 * fraction * slope + noise)

        bad = ~good
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rise = (there.value - self.f[who]) / fraction
            fit = np.where(rise > slope, -slope * fraction / (2.0 * (rise - slope)), 0.5 * fraction)
        cut = np.where(usable, np.clip(fit, 0.1 * fraction, 0.5 * fraction), 0.25 * fraction)
        self.fraction[who[bad]] = cut[bad]
        radius = np.maximum(1.0, _length(self.x[who]))
        exhausted = bad & ((cut * self.length[who] < SHORTEST * radius) | (self.count[who] >= self.most))
        target = np.maximum(self.tolerance, noise)
        self._finish(who[exhausted], self.predicted[who[exhausted]] <= 1e3 * target[exhausted])

        self._move(who[good], trial[good], there.value[good], there.gradient[good], there.hessian[good])
        return who[good & self.under_way[who]]

    def _move(self, who, x, f, g, B):
        if not len(who):
            return
        s, decrease = x - self.x[who], self.f[who] - f
        S = self.S[who]
        plain = -(s * self.g[who]).sum(axis=1) - 0.5 * _form(self.B[who], s)
        errors = np.minimum(np.abs(plain - decrease), np.abs(plain - 0.5 * _form(S, s) - decrease))
        well = (errors <= 0.5 * np.abs(decrease)) | self.always_learn
        residual = (g - self.g[who]) - ((B + S) @ s[:, :, None])[:, :, 0]
        scale = (residual * s).sum(axis=1)
        safe = np.abs(scale) > 1e-8 * _length(residual) * _length(s)
        update = residual[:, :, None] * residual[:, None, :] / np.where(safe, scale, 1.0)[:, None, None]
        S = np.where(safe[:, None, None], S + update, S)
        self.S[who] = np.where(well[:, None, None], S, 0.0)
        noise = self._noise(who)
        self.stalled[who] = np.where(np.abs(decrease) <= noise, self.stalled[who] + 1, 0)
        self.x[who], self.f[who], self.g[who], self.B[who] = x, f, g, B
        self._finish(who[self.stalled[who] >= STALLED], True)


def _form(H, s):
    """s'H s, (k,)."""
    return (s * (H @ s[:, :, None])[:, :, 0]).sum(axis=1)


def _length(x):
    """Euclidean lengths of the rows, (k,)."""
    return np.sqrt((x * x).sum(axis=1))
