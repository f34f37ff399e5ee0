"""allFit: the same model by every optimizer, and from other starting points."""

import time
import warnings
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmError, FastlmmWarning
from fastlmm_hlm.inference.progress import ProgressBar
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence
from fastlmm_hlm.optimize.control import OPTIMIZERS
from fastlmm_hlm.report.allfit import allfit_text, summary_text

# Criteria closer than this are the same optimum; deviance units.
SAME_OPTIMUM = 1e-3
# Log-likelihoods that differ by this share of themselves are equal.
ROUNDING = 1e-12
# Random starts: standard deviations of the log of relative deviations, and of the other parameters.
SPREAD_LOG, SPREAD = 1.5, 1.0


def allFit(fit, optimizers=None, max_evaluations=None, start_from_mle=True, starts=0, seed=None, progress=False):  # noqa: N802
    """Fit the model again with every optimizer, from its cross-products.

    Parameters
    ----------
    fit : LinearMixedModel
    optimizers : list of str, optional
        Names as for `lmerControl`; all by default.
    max_evaluations : int, optional
        Of the criterion, for each fit.
    start_from_mle : bool
        Start at the estimates of the fit, as lme4; otherwise where a fit would start.
    starts : int
        That many random starting points besides, the same ones for every optimizer: relative standard deviations from a
        log-normal distribution around sigma in standardized columns.  To look for other optima.
    seed : None, int, SeedSequence or Generator
        Of the random starting points.
    progress : bool
        Show a progress bar; needs tqdm.

    Returns
    -------
    AllFit

    Raises
    ------
    ArgumentError
        For an unknown optimizer, or numbers out of range.
    """
    names = _chosen(optimizers)
    if isinstance(starts, bool) or not isinstance(starts, Integral) or starts < 0:
        raise ArgumentError(f"allFit: starts = {starts!r}; expected how many random starting points, 0 or more.")
    points = [fit._estimates.templates if start_from_mle else None]
    sequence = seed_sequence(seed)
    points += [_random_start(fit, generator_of(sequence, i)) for i in range(starts)]
    made, seconds = {}, {}
    with ProgressBar(progress, len(names) * len(points), "allFit", "fit") as bar:
        for name in names:
            control = replace(fit._settings.control, optimizer=name, max_evaluations=max_evaluations, tolerance=None)
            for i, templates in enumerate(points):
                label = name if i == 0 else f"{name}.start{i}"
                began = time.perf_counter()
                made[label] = _fitted(fit, control, templates)
                seconds[label] = time.perf_counter() - began
                if bar is not None:
                    bar.update(1)
    return AllFit(fit, made, seconds)


def _chosen(optimizers):
    if optimizers is None:
        return list(OPTIMIZERS)
    names = [optimizers] if isinstance(optimizers, str) else list(optimizers)
    unknown = [name for name in names if name not in OPTIMIZERS]
    if unknown or not names:
        found = f"the optimizer {unknown[0]!r} is not known" if unknown else "optimizers is empty"
        raise ArgumentError(f"allFit: {found}; use some of {', '.join(OPTIMIZERS)}.")
    return list(dict.fromkeys(names))


def _random_start(fit, rng):
    """Templates at a random point of the working coordinates."""
    criterion, par = fit._criterion, fit._criterion.unit_start()
    is_deviation = criterion.lower() == 0.0
    z = rng.standard_normal(len(par))
    return criterion.templates(np.where(is_deviation, par * np.exp(SPREAD_LOG * z), par + SPREAD * z))


def _fitted(fit, control, templates):
    """The fit, or the error that ended it; what it would warn of is in its messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastlmmWarning)
        try:
            return fit._with_control(control, templates)
        except (FastlmmError, ArithmeticError, np.linalg.LinAlgError) as error:
            return error


@dataclass(frozen=True)
class AllFitSummary:
    """What the fits found, by optimizer; prints as lme4's summary(allFit()).

    Attributes
    ----------
    which_OK : Series of bool          whether there is a fit
    msgs : dict                        messages of each fit, None without; the error of a failed one
    fixef : DataFrame (fits, p)
    llik : Series
    sdcor : DataFrame                  standard deviations and correlations, and sigma
    theta : DataFrame
    times : DataFrame                  elapsed seconds
    feval : Series                     evaluations of the criterion
    """

    which_OK: pd.Series
    msgs: dict
    fixef: pd.DataFrame
    llik: pd.Series
    sdcor: pd.DataFrame
    theta: pd.DataFrame
    times: pd.DataFrame
    feval: pd.Series

    def __str__(self):
        return summary_text(vars(self))

    __repr__ = __str__


class AllFit:
    """The fits by optimizer.

    Attributes
    ----------
    fit : LinearMixedModel
        The original.
    fits : dict
        Optimizer -> fit, or the exception that ended it; "newton.start1" is from the first random start.
    """

    answers_generics = True

    def __init__(self, fit, fits, seconds):
        self.fit, self.fits, self._seconds = fit, fits, seconds

    def __getitem__(self, name):
        if name not in self.fits:
            raise ArgumentError(f"allFit: there is no fit {name!r}; there are {', '.join(self.fits)}.")
        return self.fits[name]

    def _good(self):
        return {name: fit for name, fit in self.fits.items() if not isinstance(fit, Exception)}

    def summary(self):
        """The parts of lme4's summary(allFit()), AllFitSummary."""
        good = self._good()
        names = list(good)
        sd = [fit.VarCorr().to_frame() for fit in good.values()]
        return AllFitSummary(
            which_OK=pd.Series({name: name in good for name in self.fits}, dtype=bool),
            msgs={name: (str(fit) if isinstance(fit, Exception) else "; ".join(fit._messages) or None)
                  for name, fit in self.fits.items()},
            fixef=pd.DataFrame([fit._estimates.beta for fit in good.values()], index=names, columns=self.fit._x_names),
            llik=pd.Series({name: float(fit.logLik()) for name, fit in good.items()}, dtype=float),
            sdcor=pd.DataFrame([frame["sdcor"].to_numpy() for frame in sd], index=names, columns=_sdcor_names(self.fit)),
            theta=pd.DataFrame([fit.theta for fit in good.values()], index=names, columns=_theta_names(self.fit)),
            times=pd.DataFrame({"elapsed": {name: self._seconds[name] for name in good}}, dtype=float),
            feval=pd.Series({name: fit.optinfo["evaluations"] for name, fit in good.items()}, dtype=int),
        )

    def differences(self):
        """How far every fit is from the best one, DataFrame.

        Returns
        -------
        DataFrame
            Columns: criterion (REML criterion or deviance, minus the best), fixef (largest difference of a
            fixed effect, in standard errors of the best), sdcor (largest of a standard deviation, in units of sigma, or of a
            correlation), status ("converged", "singular", "failed", or "error").
        """
        parts = self.summary()
        out = pd.DataFrame(index=list(self.fits), columns=["criterion", "fixef", "sdcor"], dtype=float)
        out["status"] = ["error" if isinstance(fit, Exception) else fit.optinfo["status"] for fit in self.fits.values()]
        good = self._good()
        if good:
            best = _best(parts.llik)
            se = good[best].bse.to_numpy()
            scale = np.where(_is_correlation(self.fit), 1.0, good[best].sigma())
            names = list(good)
            out.loc[names, "criterion"] = 2.0 * (parts.llik[best] - parts.llik)
            out.loc[names, "fixef"] = (np.abs(parts.fixef - parts.fixef.loc[best]) / se).max(axis=1).fillna(0.0)
            out.loc[names, "sdcor"] = (np.abs(parts.sdcor - parts.sdcor.loc[best]) / scale).max(axis=1)
        return out

    def verdict(self):
        """Whether all found one optimum, a few sentences with the numbers.

        Returns
        -------
        str
        """
        table = self.differences()
        known = table[table["criterion"].notna()]
        if known.empty:
            return "No optimizer gave a fit."
        best = _best(-0.5 * known["criterion"])
        same = known[known["criterion"] <= SAME_OPTIMUM]
        lines = [
            f"{len(same)} of {len(table)} fits are within {SAME_OPTIMUM:g} of the best criterion ({best}); among them fixed effects "
            f"differ by at most {same['fixef'].max():.2g} standard errors, standard deviations (in sigma) and correlations by "
            f"{same['sdcor'].max():.2g}."
        ]
        for name, row in known[known["criterion"] > SAME_OPTIMUM].iterrows():
            what = "it stopped before an optimum" if row["status"] == "failed" else "another optimum"
            lines.append(f"{name} is {row['criterion']:.3g} worse: {what} (fixed effects {row['fixef']:.2g} standard errors, "
                         f"deviations and correlations {row['sdcor']:.2g} away).")
        for name in table.index[table["status"] == "error"]:
            lines.append(f"{name} gave no fit: {self.fits[name]}")
        original = -2.0 * (float(self.fit.logLik()) - float(self.fits[best].logLik()))
        if original > SAME_OPTIMUM:
            lines.append(f"The original fit is {original:.3g} worse than {best}: it is not the best optimum; use that fit.")
        return "\n".join(lines)

    def plot(self, ax=None):
        """How far every optimizer is from the best, on a log scale; matplotlib Axes."""
        from fastlmm_hlm.report.plot_allfit import plot_differences

        return plot_differences(self.differences(), ax=ax)

    def __str__(self):
        good = self.summary().llik
        text = allfit_text(self.fit._formula_text, self.fit._data_name, list(self.fits), good.to_numpy())
        return text + self.verdict() + "\n"

    __repr__ = __str__


def _best(llik):
    """Label of the largest log-likelihood; of those that rounding cannot tell apart, the first."""
    return llik.index[llik >= llik.max() - ROUNDING * max(abs(llik.max()), 1.0)][0]


def _theta_names(fit):
    """Subject.(Intercept), Subject.Days.(Intercept), Subject.Days: lme4's names, column by column."""
    names = []
    for term in fit._terms:
        group = fit._factor_labels[term.factor][0]
        c = len(term.names)
        names += [f"{group}.{term.names[i]}" + ("" if i == j else f".{term.names[j]}") for j in range(c) for i in range(j, c)]
    return names


def _sdcor_names(fit):
    """Names of the rows of as.data.frame(VarCorr(fit)), in the manner of `_theta_names`."""
    out = []
    for grp, one, two in fit.VarCorr().to_frame()[["grp", "var1", "var2"]].itertuples(index=False):
        out.append("sigma" if one is None else f"{grp}.{one}" if two is None else f"{grp}.{two}.{one}")
    return out


def _is_correlation(fit):
    return np.array([two is not None for two in fit.VarCorr().to_frame()["var2"]])
