"""The parameters that profiles and intervals are about, under lme4's names.

Order and names are lme4's: the standard deviations and correlations of each term down
the columns of its lower triangle, then sigma, then the fixed effects.
"""

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from fastlmm_hlm.design.covariance import Diagonal, Unstructured, lower_indices
from fastlmm_hlm.errors import ArgumentError, UnknownNameError


@dataclass(frozen=True)
class Parameter:
    """One parameter of a linear mixed model on the scale of standard deviations.

    Attributes
    ----------
    kind : "sd", "cor", "sigma" or "beta"
    name : str
        Such as "sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sigma", "Days".
    short : str
        Such as ".sig01", ".sigma", "Days".
    term : int or None
        Random-effects term.
    row, column : int or None
        Columns of the term; for a standard deviation both are that column.
    index : int or None
        Column of X.
    """

    kind: str
    name: str
    short: str
    term: int | None = None
    row: int | None = None
    column: int | None = None
    index: int | None = None

    @property
    def lower(self):
        """Least value it can take."""
        return {"sd": 0.0, "cor": -1.0, "sigma": 0.0, "beta": -np.inf}[self.kind]

    @property
    def upper(self):
        """Greatest value it can take."""
        return 1.0 if self.kind == "cor" else np.inf

    @property
    def is_fixed_effect(self):
        return self.kind == "beta"


def _entries(covariance):
    """(row, column) of the free standard deviations and correlations of a structure."""
    c = covariance.nc
    if isinstance(covariance, Unstructured):
        return list(zip(*lower_indices(c)))
    if isinstance(covariance, Diagonal):
        return [(i, i) for i in range(1 if covariance.hom else c)]
    return [(i, i) for i in range(covariance.nsd)] + [(1, 0)]


def parameters_of(fit):
    """Every parameter of a fit, list of Parameter."""
    out = []
    for t, term in enumerate(fit._terms):
        group = fit._factor_labels[term.factor][0]
        for row, column in _entries(term.covariance):
            short = f".sig{len(out) + 1:02d}"
            if row == column:
                out.append(Parameter("sd", f"sd_{term.names[row]}|{group}", short, t, int(row), int(column)))
            else:
                name = f"cor_{term.names[row]}.{term.names[column]}|{group}"
                out.append(Parameter("cor", name, short, t, int(row), int(column)))
    out.append(Parameter("sigma", "sigma", ".sigma"))
    return out + [Parameter("beta", name, name, index=j) for j, name in enumerate(fit._x_names)]


def values_of(parameters, templates, sigma, beta):
    """Values of parameters at several points.

    Parameters
    ----------
    parameters : list of Parameter
    templates : list of ndarray (k, c, c)
        Relative covariance factors of the terms in the user's columns.
    sigma : ndarray (k,)
    beta : ndarray (k, p)

    Returns
    -------
    ndarray (k, parameters)
    """
    out = np.empty((len(sigma), len(parameters)))
    relative = [np.sqrt((T**2).sum(axis=2)) for T in templates]
    for i, one in enumerate(parameters):
        if one.kind == "sigma":
            out[:, i] = sigma
        elif one.kind == "beta":
            out[:, i] = beta[:, one.index]
        elif one.kind == "sd":
            out[:, i] = sigma * relative[one.term][:, one.row]
        else:
            T, sd = templates[one.term], relative[one.term]
            both = sd[:, one.row] * sd[:, one.column]
            dot = (T[:, one.row] * T[:, one.column]).sum(axis=1)
            out[:, i] = np.where(both > 0, np.clip(dot / np.where(both > 0, both, 1.0), -1.0, 1.0), np.nan)
    return out


def chosen(parameters, which, caller):
    """Parameters that the user asked for.

    Parameters
    ----------
    parameters : list of Parameter
    which : None, int, str, "theta_", "beta_", or a sequence of numbers and names
        Numbers count from 0.

    Returns
    -------
    list of int
        Places in `parameters`, in their order.

    Raises
    ------
    UnknownNameError, ArgumentError
    """
    if which is None:
        return list(range(len(parameters)))
    items = list(which) if hasattr(which, "__iter__") and not isinstance(which, str) else [which]
    places = set()
    for item in items:
        if isinstance(item, str):
            found = [
                i for i, one in enumerate(parameters)
                if item in (one.name, one.short)
                or (item == "theta_" and not one.is_fixed_effect)
                or (item == "beta_" and one.is_fixed_effect)
            ]
            if not found:
                raise UnknownNameError(
                    f"{caller}: no parameter is called {item!r}; there are "
                    f"{', '.join(one.short if one.short == one.name else f'{one.short} ({one.name})' for one in parameters)}, "
                    "'theta_' and 'beta_'."
                )
            places.update(found)
        elif isinstance(item, Integral) and not isinstance(item, bool):
            if not -len(parameters) <= item < len(parameters):
                raise ArgumentError(
                    f"{caller}: there is no parameter {item}; they count from 0 to {len(parameters) - 1}."
                )
            places.add(int(item) % len(parameters))
        else:
            raise ArgumentError(f"{caller}: {item!r} is neither the number nor the name of a parameter.")
    return sorted(places)
