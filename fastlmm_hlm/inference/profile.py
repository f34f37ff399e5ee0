"""Profile likelihood of the parameters of a linear mixed model: lme4's profile().

For each parameter, zeta is the signed root of the difference between the deviance
minimized with the parameter fixed and its minimum (Bates et al. 2015, sec. 5.1).  The
deviance is that of maximum likelihood, for fits by REML too.
"""

import math

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, ConvergenceError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.boot_intervals import check_level
from fastlmm_hlm.inference.ml_fit import MaximumLikelihood
from fastlmm_hlm.inference.parameters import chosen, parameters_of, values_of
from fastlmm_hlm.inference.profile_path import LowerDevianceFound, Path, trace_together
from fastlmm_hlm.report.html import frame_html
from fastlmm_hlm.report.percent import percent_names

# Steps of zeta towards the cutoff, as in lme4.
STEPS = 8
# Levels whose limits are sharpened beyond what interpolation gives.
LEVELS = (0.9, 0.95, 0.99)
# How often profiling starts again from a lower deviance that it found.
RESTARTS = 3


class Profile:
    """The profile of some parameters.

    Attributes
    ----------
    names : list of str
        Such as ".sig01" or "sd_(Intercept)|Subject", see `profile`.
    estimates : Series
        Maximum likelihood estimates of all parameters, standard deviations and correlations.
    deviance : float
        At the estimates.
    cutoff : float
        Absolute zeta up to which the profile goes.
    points : dict str -> DataFrame
        By parameter, increasing: zeta and the parameters at the constrained minima.
    trouble : list of str
        What went wrong, empty as a rule.
    """

    def __init__(self, paths, parameters, at_estimate, deviance, cutoff, signames):
        name = (lambda one: one.short) if signames else (lambda one: one.name)
        every = [name(one) for one in parameters]
        self.estimates = pd.Series(at_estimate, index=every, name="estimate")
        self.deviance, self.cutoff = float(deviance), float(cutoff)
        self.names, self.points, self._bounds, self._kinds, self.trouble = [], {}, {}, {}, []
        for path in paths:
            own = name(path.parameter)
            rows = path.rows
            rows[:, every.index(own)] = path.value
            frame = pd.DataFrame(np.column_stack([path.zeta, rows]), columns=[".zeta", *every])
            self.names.append(own)
            self.points[own] = frame
            self._bounds[own] = path.parameter.lower, path.parameter.upper
            self._kinds[own] = path.parameter.kind
            self.trouble += path.trouble
        self._curves = {}

    def __getstate__(self):
        return self.__dict__ | {"_curves": {}}

    def __repr__(self):
        return (
            f"Profile of {', '.join(self.names)}: {len(self.to_frame())} points, |zeta| up to {self.cutoff:.3g}"
        )

    def _repr_html_(self):
        rows = [(len(frame), frame[name].min(), frame[name].max()) for name, frame in self.points.items()]
        table = pd.DataFrame(rows, index=list(self.points), columns=["points", "from", "to"])
        return frame_html(table, f"Profile, |zeta| up to {self.cutoff:.3g}")

    def to_frame(self):
        """R's as.data.frame(profile): .zeta, every parameter, .par and .focal.

        Returns
        -------
        DataFrame
            One row per point; ``.par`` is the parameter held fixed there, ``.focal`` its value.
        """
        parts = [
            frame.assign(**{".par": name, ".focal": frame[name]}) for name, frame in self.points.items()
        ]
        out = pd.concat(parts, ignore_index=True)
        out[".par"] = pd.Categorical(out[".par"], categories=self.names)
        return out

    def _curve(self, name):
        if name not in self._curves:
            frame = self.points[name]
            self._curves[name] = Curve(
                frame[name].to_numpy(), frame[".zeta"].to_numpy(), self._kinds[name], self._bounds[name]
            )
        return self._curves[name]

    def zeta(self, name, value):
        """zeta of one parameter at values, by interpolation; NaN outside the profile."""
        return self._curve(name).zeta(np.asarray(value, dtype=float))

    def confint(self, parm=None, level=0.95):
        """Profile likelihood confidence intervals.

        Parameters
        ----------
        parm : str or list of str, optional
            Parameters by name; all that were profiled by default.
        level : float

        Returns
        -------
        DataFrame (k, 2)
            Where the profile ends at a bound of the parameter before the level is
            reached, the limit is that bound: 0 for a standard deviation, -1 or 1 for a correlation.
        """
        from scipy.special import ndtri

        level = check_level(level, "confint")
        names = self.names if parm is None else self._named(parm)
        reach = float(ndtri((1.0 + level) / 2.0))
        limits = [self._curve(name).limits(reach) for name in names]
        short = [name for name, pair in zip(names, limits) if np.isnan(pair).any()]
        if short:
            warn_user(
                f"confint: the profile of {', '.join(short)} does not reach level {level:g}; profile with a smaller "
                "alphamax, or call fit.confint().", FastlmmWarning,
            )
        return pd.DataFrame(limits, index=names, columns=percent_names(level))

    def _named(self, parm):
        wanted = [parm] if isinstance(parm, str) else list(parm)
        for name in wanted:
            if name not in self.points:
                raise ArgumentError(f"confint: {name!r} was not profiled; there are {', '.join(self.names)}.")
        return wanted

    def densities(self, points=201):
        """Density of each parameter whose distribution has the profile's intervals.

        Returns
        -------
        dict str -> DataFrame with columns value and density
        """
        return {name: self._curve(name).density(points) for name in self.names}

    def plot_zeta(self, *, absolute=False, levels=(0.5, 0.8, 0.9, 0.95, 0.99), ax=None):
        """zeta over each parameter, with intervals; see `fastlmm_hlm.report.profile_plots.plot_zeta`."""
        from fastlmm_hlm.report.profile_plots import plot_zeta

        return plot_zeta(self._pictures(), absolute=absolute, levels=levels, ax=ax)

    def plot_density(self, *, ax=None):
        """Profile density of each parameter; see `fastlmm_hlm.report.profile_plots.plot_density`."""
        from fastlmm_hlm.report.profile_plots import plot_density

        return plot_density(self.densities(), self.estimates, ax=ax)

    def _pictures(self):
        out = {}
        for name in self.names:
            curve = self._curve(name)
            value = np.unique(np.concatenate([curve.grid(200), curve.value]))
            out[name] = pd.DataFrame({"value": value, "zeta": curve.zeta(value)})
        return out


class Curve:
    """zeta as a function of one parameter, and back, by splines.

    They run on a scale x on which zeta is smooth and not far from a line.  For a standard
    deviation s that is log(s); log(1 + (s/u)^2) when the profile reaches zero, where zeta
    depends on s^2; asinh(s/u) when the estimate itself is zero, where zeta starts as a line.
    For a correlation it is Fisher's z unless the profile reaches -1 or 1.

    Parameters
    ----------
    value, zeta : ndarray (k,)
        Increasing.
    kind : "sd", "cor", "sigma" or "beta"
    bounds : (float, float)
    """

    def __init__(self, value, zeta, kind, bounds):
        from scipy.interpolate import CubicSpline, PchipInterpolator

        self._ends = value[0], value[-1]      # zeta may stay the same on the way there
        before = np.concatenate([[-np.inf], np.maximum.accumulate(zeta)[:-1]])
        keep = zeta > before + 1e-10
        self.value, self.roots, self.bounds = value[keep], zeta[keep], bounds
        self._scale = self._unscale = lambda value: value
        if kind in ("sd", "sigma"):
            self._choose_scale()
        elif kind == "cor" and max(-self.value[0], self.value[-1]) < 1.0:
            self._scale, self._unscale = np.arctanh, np.tanh
        x = self._scale(self.value)
        self._forward = self._backward = None
        if len(x) >= 4:
            self._forward = self._monotone(CubicSpline, PchipInterpolator, x, self.roots)
            self._backward = self._monotone(CubicSpline, PchipInterpolator, self.roots, x)

    def _choose_scale(self):
        if self.value[0] > 0:
            self._scale, self._unscale = np.log, np.exp
            return
        from_zero = self.roots[0] < 0
        unit = float(np.interp(0.0 if from_zero else 1.0, self.roots, self.value))
        if from_zero:
            self._scale = lambda value: np.log1p((value / unit) ** 2)
            self._unscale = lambda x: unit * np.sqrt(np.expm1(np.maximum(x, 0.0)))
        else:
            self._scale = lambda value: np.arcsinh(value / unit)
            self._unscale = lambda x: unit * np.sinh(x)

    @staticmethod
    def _monotone(smooth, safe, x, y):
        """A cubic spline where it increases, else the monotone piecewise cubic of Fritsch and Carlson."""
        spline = smooth(x, y)
        fine = np.unique(np.concatenate([np.linspace(a, b, 12) for a, b in zip(x[:-1], x[1:])]))
        return spline if (spline(fine, 1) > 0).all() else safe(x, y)

    def grid(self, points):
        """Values spread evenly over the profile."""
        return np.linspace(self.value[0], self.value[-1], points)

    def zeta(self, value):
        """Root at values; NaN outside."""
        inside = (value >= self.value[0]) & (value <= self.value[-1])
        if self._forward is None:
            return np.where(inside, np.interp(value, self.value, self.roots), np.nan)
        return np.where(inside, self._forward(self._scale(np.where(inside, value, self.value[0]))), np.nan)

    def at(self, root):
        """Value at one root: the bound where the profile ends there first, NaN beyond it."""
        if root < self.roots[0]:
            return self.bounds[0] if self._ends[0] <= self.bounds[0] else math.nan
        if root > self.roots[-1]:
            return self.bounds[1] if self._ends[1] >= self.bounds[1] else math.nan
        near = int(np.argmin(np.abs(self.roots - root)))
        if abs(self.roots[near] - root) < 1e-7:
            return float(self.value[near])
        if self._backward is None:
            return float(np.interp(root, self.roots, self.value))
        return float(self._unscale(self._backward(root)))

    def limits(self, reach):
        """Values at -reach and reach."""
        return [self.at(-reach), self.at(reach)]

    def density(self, points):
        """Values and the density of phi(zeta) dzeta/dvalue, DataFrame."""
        value = self.grid(points)
        zeta = self.zeta(value)
        slope = np.gradient(zeta, value)
        return pd.DataFrame({"value": value, "density": np.exp(-0.5 * zeta**2) / math.sqrt(2.0 * math.pi) * slope})


def profile(fit, which=None, alphamax=0.01, delta=None, signames=True, levels=LEVELS):
    """Profile the likelihood of a fit.

    Parameters
    ----------
    fit : LinearMixedModel
    which : optional
        Parameters: numbers from 0, names, ``"theta_"`` (standard deviations, correlations and
        sigma) or ``"beta_"`` (fixed effects); all by default.
    alphamax : float
        The profile goes as far as a test on all parameters together at this level:
        ``|zeta|`` <= sqrt of the chi-square quantile, as in lme4.
    delta : float, optional
        Step of zeta; by default an eighth of that.
    signames : bool
        Names .sig01, .sig02, ... and .sigma; False gives "sd_(Intercept)|Subject" and so on.
    levels : sequence of float
        Confidence levels whose limits are points of the profile.

    Returns
    -------
    Profile

    Raises
    ------
    ArgumentError, UnknownNameError
        For arguments out of range.
    ConvergenceError
        If the optimum cannot be found.
    """
    from scipy.special import chdtri

    if not 0.0 < alphamax < 1.0:
        raise ArgumentError(f"profile: alphamax = {alphamax!r}; expected a number between 0 and 1.")
    if delta is not None and not delta > 0:
        raise ArgumentError(f"profile: delta = {delta!r}; expected a positive number.")
    parameters = parameters_of(fit)
    cutoff = math.sqrt(float(chdtri(len(parameters), alphamax)))
    step = cutoff / STEPS if delta is None else float(delta)
    return traced(fit, parameters, chosen(parameters, which, "profile"), cutoff, step, levels, signames)


def traced(fit, parameters, places, cutoff, step, levels, signames):
    """The profile of the parameters at some places, with given steps; see `profile`."""
    from scipy.special import ndtri

    roots = [float(ndtri((1.0 + check_level(level, "profile")) / 2.0)) for level in levels]
    roots = [root for root in roots if root <= cutoff]
    templates = None
    for _ in range(RESTARTS):
        ml = MaximumLikelihood(fit, templates)
        e = ml.estimates
        at_estimate = values_of(parameters, [T[None] for T in e.templates], np.array([e.sigma]), e.beta[None])[0]
        guesses = _standard_errors(ml, parameters, at_estimate)
        try:
            # a deviation of zero leaves its correlations open: any is an estimate
            at_estimate = np.where(np.isnan(at_estimate), 0.0, at_estimate)
            paths = [Path(ml, parameters[i], at_estimate[i], guesses[i]) for i in places]
            trace_together(paths, cutoff, step, roots)
            for path in paths:
                path.finish(parameters, at_estimate)
            break
        except LowerDevianceFound as found:
            templates, difference = found.templates, found.difference
    else:
        raise ConvergenceError(f"profile: a deviance {-difference:.3g} below the optimum was found again and again.")
    made = Profile(paths, parameters, at_estimate, ml.deviance, cutoff, signames)
    for text in made.trouble:
        warn_user(f"profile: {text}", FastlmmWarning)
    return made


def _standard_errors(ml, parameters, values):
    """What may pass for standard errors, (parameters,): where the search for limits begins."""
    from fastlmm_hlm.inference.vcov import vcov_fixed

    e, products = ml.estimates, ml.products
    fixed = np.sqrt(np.diagonal(vcov_fixed(e.RX, e.sigma)))
    out = np.empty(len(values))
    for i, one in enumerate(parameters):
        if one.kind == "beta":
            out[i] = fixed[one.index]
        elif one.kind == "sigma":
            out[i] = e.sigma / math.sqrt(2.0 * max(e.n - products.q, e.n / 4.0))
        else:
            levels = products.ZtWZ[ml.terms[one.term].factor].shape[0]
            if one.kind == "cor":
                out[i] = max(1.0 - np.nan_to_num(values[i]) ** 2, 0.1) / math.sqrt(levels)
                continue
            term = ml.terms[one.term]
            diagonal = products.ZtWZ[term.factor][:, term.columns.start + one.row, term.columns.start + one.row]
            noise = e.sigma / math.sqrt(max(float(diagonal.mean()), 1e-300))
            out[i] = (values[i] if values[i] > 0 else noise) / math.sqrt(2.0 * levels)
    return out
