"""Responses simulated from a fitted model, one random generator per replicate.

Replicate i draws from the i-th child of one seed sequence, so a response depends on
the seed and on i alone: not on how many are drawn, in which order, or by which process.
"""

import numpy as np

from fastlmm_hlm.errors import ArgumentError

TYPES = ("parametric", "semiparametric")
NOT_YET = "semiparametric bootstrapping with use_u=False is not possible: random effects are not resampled"


def seed_sequence(seed):
    """The seed sequence behind a seed.

    Parameters
    ----------
    seed : None, int, sequence of int, numpy.random.SeedSequence or Generator
        A Generator is drawn from once, so that calls one after the other differ.

    Returns
    -------
    numpy.random.SeedSequence

    Raises
    ------
    ArgumentError
        If the seed is none of these.
    """
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(0, 2**32, size=4, dtype=np.uint64).tolist())
    try:
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"seed: {seed!r} cannot seed random numbers; give a whole number >= 0, a numpy Generator or None."
        ) from None


def generator_of(sequence, replicate):
    """The generator of one replicate: that of the sequence's child with this number."""
    child = np.random.SeedSequence(
        sequence.entropy, spawn_key=(*sequence.spawn_key, int(replicate)), pool_size=sequence.pool_size
    )
    return np.random.Generator(np.random.PCG64(child))


def template_of_factor(terms, templates, factor, c):
    """The templates of a factor's terms side by side, (c, c)."""
    out = np.zeros((c, c))
    for term, T in zip(terms, templates):
        if term.factor == factor:
            out[term.columns, term.columns] = T
    return out


class ResponseSimulator:
    """Draws responses y = offset + X beta + Z b + e.

    Parameters
    ----------
    design : Design
        Its y is not used.
    beta : ndarray (p,)
    sigma : float
        Residual standard deviation of a row with weight 1.
    templates : list of ndarray (c, c)
        Relative covariance factors of the terms: b = sigma T u with u ~ N(0, I).
    b : list of ndarray (nl, nc), optional
        Random effects by grouping factor that are kept in every replicate
        (lme4's ``use.u = TRUE``); None draws them.  Levels of the design beyond these are
        drawn in any case.
    residuals : ndarray (n,), optional
        Pearson residuals to draw from with replacement (semiparametric); None
        draws normal errors with variance sigma^2 / weight.
    kept : list of ndarray of bool (nc,), optional
        With b: the columns that are kept; all by default.
    with_errors : bool
        Whether e is added.
    standard : callable, optional
        ``standard(rng, shape)`` gives the standardized random effects u in the place of normal ones.
    """

    def __init__(self, design, beta, sigma, templates, b=None, residuals=None, kept=None, with_errors=True, standard=None):
        self.design, self.sigma, self.residuals = design, sigma, residuals
        self.with_errors, self.standard = with_errors, standard
        self.mean = design.fixed_part(beta)
        if design.offset is not None:
            self.mean = self.mean + design.offset
        self.factors = []
        for f, factor in enumerate(design.factors):
            c = len(factor.columns)
            stays = np.full(c, b is not None) if kept is None else kept[f]
            known = len(b[f]) if b is not None and stays.any() else 0
            if known:
                effects = np.zeros((len(factor.levels), c))
                effects[:known] = np.where(stays, b[f], 0.0)
                self.mean = self.mean + self._effects(factor, effects)
            if not stays.all() or known < len(factor.levels):
                T = template_of_factor(design.terms, templates, f, c)
                self.factors.append((factor, sigma * T.T, known, stays))
        scale = 1.0 if residuals is not None else sigma
        self.scale = scale if design.weights is None else scale / np.sqrt(design.weights)

    @staticmethod
    def _effects(factor, b):
        """Z b of one factor, (n,)."""
        total = None
        for j, column in enumerate(factor.columns):
            part = b[:, j].take(factor.codes)
            if column is not None:
                part *= column
            total = part if total is None else total + part
        return total

    def draw(self, rng, out=None):
        """One response, (n,).

        Parameters
        ----------
        rng : numpy.random.Generator
        out : ndarray (n,), optional
            Where to put it.
        """
        y = np.empty(self.design.n) if out is None else out
        np.copyto(y, self.mean)
        for factor, effects in self.drawn_effects(rng):
            y += self._effects(factor, effects)
        if not self.with_errors:
            return y
        if self.residuals is None:
            y += self.scale * rng.standard_normal(len(y))
        else:
            y += self.scale * self.residuals[rng.integers(0, len(y), len(y))]
        return y

    def drawn_effects(self, rng):
        """(factor, its random effects (nl, c)) of every grouping factor with effects that are not kept; those kept are 0."""
        for factor, half, known, stays in self.factors:
            effects = self._standard(rng, (len(factor.levels), len(half))) @ half
            effects[:known, stays] = 0.0                  # these are in the mean
            yield factor, effects

    def _standard(self, rng, shape):
        if self.standard is None:
            return rng.standard_normal(shape)
        u = np.asarray(self.standard(rng, shape), dtype=float)
        if u.shape != shape or not np.isfinite(u).all():
            raise ArgumentError(
                f"simulate: cluster_rand gave an array of shape {u.shape}{'' if np.isfinite(u).all() else ' with values not finite'}; "
                f"expected finite numbers of shape {shape}: cluster_rand(rng, size), with mean 0 and variance 1."
            )
        return u


def simulator_of(fit, use_u=False, type="parametric", caller="simulate"):
    """The simulator of a fitted model.

    Parameters
    ----------
    fit : LinearMixedModel
    use_u : bool
        Keep the conditional modes of the fit instead of drawing random effects.
    type : {"parametric", "semiparametric"}
        Normal errors, or residuals of the fit drawn with replacement.
    caller : str
        Whose name an error bears.

    Returns
    -------
    ResponseSimulator

    Raises
    ------
    ArgumentError
        For an unknown type, or "semiparametric" without use_u.
    RowsNotKeptError
        If the fit has no rows.
    """
    if type not in TYPES:
        raise ArgumentError(f"{caller}: type = {type!r} is not known; use 'parametric' or 'semiparametric'.")
    if type == "semiparametric" and not use_u:
        raise ArgumentError(f"{caller}: {NOT_YET}. Use use_u=True, or type='parametric'.")
    design, e = fit._rows_or_raise(caller).design, fit._estimates
    simulator = ResponseSimulator(design, e.beta, e.sigma, e.templates, e.b if use_u else None)
    if type == "semiparametric":
        r = design.y - simulator.mean
        simulator.residuals = r if design.weights is None else r * np.sqrt(design.weights)
        simulator.scale = 1.0 if design.weights is None else 1.0 / np.sqrt(design.weights)
    return simulator


def simulate_responses(fit, nsim=1, seed=None, use_u=False, type="parametric", caller="simulate"):
    """Simulated responses of a fitted model.

    Parameters
    ----------
    fit : LinearMixedModel
    nsim : int
    seed : None, int, SeedSequence or Generator
    use_u, type
        See `simulator_of`.

    Returns
    -------
    ndarray, shape (nsim, n)
    """
    simulator, sequence = simulator_of(fit, use_u, type, caller), seed_sequence(seed)
    out = np.empty((nsim, simulator.design.n))
    for i in range(nsim):
        simulator.draw(generator_of(sequence, i), out[i])
    return out
