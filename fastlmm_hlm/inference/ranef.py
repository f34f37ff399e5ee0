"""Conditional modes of the random effects and their conditional variances."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import UnknownNameError
from fastlmm_hlm.report.html import levels_html


class ByGroup(Mapping):
    """DataFrames by grouping factor, printed one after the other as R prints a list."""

    def __init__(self, frames, caller):
        self._frames = dict(frames)
        self._caller = caller

    def __getitem__(self, name):
        try:
            return self._frames[name]
        except KeyError:
            raise UnknownNameError(
                f"{self._caller}: no grouping factor is called {name!r}; there are {', '.join(self._frames)}."
            ) from None

    def __iter__(self):
        return iter(self._frames)

    def __len__(self):
        return len(self._frames)

    def __repr__(self):
        return "\n\n".join(f"${name}\n{frame}" for name, frame in self._frames.items())

    def _repr_html_(self):
        return "".join(levels_html(frame, name, self._notes()) for name, frame in self._frames.items())

    def _notes(self):
        """Lines below each table of a notebook."""
        return []


class RandomEffects(ByGroup):
    """Conditional modes by grouping factor (rows = levels, columns = terms).

    Attributes
    ----------
    condVar : dict of ndarray (levels, c, c), or None
        Conditional variances given theta and beta, in the order of the rows and columns.
    """

    # dotplot(ranef(fit)) and qqmath(ranef(fit)) are its methods.
    answers_generics = True

    def __init__(self, frames, condVar=None):
        super().__init__(frames, "ranef")
        self.condVar = condVar

    def _notes(self):
        return [] if self.condVar is None else ["with conditional variances"]

    def dotplot(self, group=None, terms=None, **look):
        """Random effects in order with their intervals; see `fastlmm_hlm.inference.pictures.raneffects.plot_ranef`."""
        from fastlmm_hlm.inference.pictures.raneffects import plot_ranef

        return plot_ranef(self, group, terms, **look)

    def qqmath(self, group=None, terms=None, **look):
        """Normal quantile plots; see `fastlmm_hlm.inference.pictures.quantiles.plot_ranef_qq`."""
        from fastlmm_hlm.inference.pictures.quantiles import plot_ranef_qq

        return plot_ranef_qq(self, group, terms, **look)

    def to_frame(self):
        """R's as.data.frame(ranef(fit)): columns grpvar, term, grp, condval, condsd.

        condsd is left out when the modes were asked for without variances.
        """
        parts = []
        for group, frame in self._frames.items():
            nl, names = len(frame), list(frame.columns)
            part = {
                "grpvar": np.repeat(group, nl * len(names)),
                "term": np.repeat(names, nl),
                "grp": np.tile(frame.index.to_numpy(), len(names)),
                "condval": frame.to_numpy().ravel(order="F"),
            }
            if self.condVar is not None:
                variance = np.diagonal(self.condVar[group], axis1=1, axis2=2)
                part["condsd"] = np.sqrt(np.maximum(variance, 0.0)).ravel(order="F")
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)


def random_effects(factors, b, condVar=None):
    """Label the modes.

    Parameters
    ----------
    factors : list of (name, levels, columns)
    b : list of ndarray (nl, nc)
    condVar : list of ndarray (nl, nc, nc) or None
    """
    frames = {
        name: pd.DataFrame(values, index=pd.Index(levels, name=None), columns=list(columns))
        for (name, levels, columns), values in zip(factors, b)
    }
    variances = None if condVar is None else {name: V.copy() for (name, _, _), V in zip(factors, condVar)}
    return RandomEffects(frames, variances)


def coefficients(fixef, ranef):
    """Fixed plus random effects by group: R's coef().

    A random effect without its fixed effect counts from zero and comes first; a
    fixed effect without a random one is the same in every row.

    Parameters
    ----------
    fixef : Series
    ranef : RandomEffects
    """
    frames = {}
    for group, modes in ranef.items():
        extra = [name for name in modes.columns if name not in fixef.index]
        names = [*extra, *fixef.index]
        values = np.tile(np.concatenate([np.zeros(len(extra)), fixef.to_numpy()]), (len(modes), 1))
        for j, name in enumerate(modes.columns):
            values[:, names.index(name)] += modes.to_numpy()[:, j]
        frames[group] = pd.DataFrame(values, index=modes.index, columns=names)
    return ByGroup(frames, "coef")
