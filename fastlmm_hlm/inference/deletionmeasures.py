"""What deletions did to a fit: the estimates without each set of rows, and measures made of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.labels import make_unique
from fastlmm_hlm.report.influence import influence_text, plot_influence

# Numbers of covariance matrices that are worked on at a time.
AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class _Original:
    """The fit itself."""

    beta: np.ndarray
    vcov: np.ndarray
    varcorr: np.ndarray
    theta: np.ndarray
    sigma: float


class Influence:
    """The estimates of a fit without each row, or each group of rows, and measures made of them.

    Every result has one row per deletion, labelled by what was left out.

    Attributes
    ----------
    groups : str
        What was left out: "case" for single rows.
    method : "full" or "onestep"
    deleted : Index, length k
    sizes : Series (k,)
        Rows in each.
    fixef : DataFrame (k, p)
        Fixed effects without the rows; NaN where the rows left cannot give them.
    sigma : Series (k,)
    theta : DataFrame (k, m)
    varcorr : DataFrame (k, 1 + variances and covariances)
        lme4's "var.cov.comps": sigma^2, then v[.] and C[.,.] of the terms.
    vcov : DataFrame (k p, p)
        Covariance matrices of the fixed effects; ``.vcov.loc[label]`` is one of them.
    converged, singular : Series of bool (k,)
    evaluations : Series of int (k,)
        Evaluations of the criterion.
    messages : dict label -> str
        Deletions after which a fit is impossible or drops fixed effects.
    original : dict
        "fixef", "sigma", "theta", "varcorr", "vcov" of the fit itself.
    """

    def __init__(self, fit, cases, method, found):
        e = fit._estimates
        self.groups, self.method = cases.name, method
        self.deleted, self._found, self._names = cases.labels, found, list(fit._x_names)
        self._sizes = cases.sizes
        self._formula = fit.formula()
        self._terms = make_unique([fit._factor_labels[t.factor][0] for t in fit._terms]), [t.names for t in fit._terms]
        R = np.linalg.solve(e.RX, np.eye(e.p))
        self._own = _Original(
            e.beta, e.sigma**2 * (R @ R.T), _components([T[None] for T in e.templates], np.array([e.sigma]))[0],
            e.theta, e.sigma,
        )
        self.messages = {cases.labels[i]: text for i, text in sorted(found.messages.items())}

    # --- estimates -------------------------------------------------------------

    def _frame(self, values, columns):
        return pd.DataFrame(values, index=self.deleted, columns=columns)

    def _series(self, values, name):
        return pd.Series(values, index=self.deleted, name=name)

    @property
    def fixef(self):
        return self._frame(self._found.beta, self._names)

    @property
    def sigma(self):
        return self._series(self._found.sigma, "sigma")

    @property
    def theta(self):
        return self._frame(self._found.theta, self._theta_names)

    @property
    def varcorr(self):
        return self._frame(_components(self._found.templates, self._found.sigma), self._component_names)

    @property
    def vcov(self):
        p = len(self._names)
        index = pd.MultiIndex.from_product([self.deleted, self._names], names=[self.deleted.name, None])
        return pd.DataFrame(self._covariances(slice(None)).reshape(-1, p), index=index, columns=self._names)

    @property
    def sizes(self):
        return self._series(self._sizes, "rows")

    @property
    def converged(self):
        return self._series(self._found.converged, "converged")

    @property
    def singular(self):
        return self._series(self._found.singular, "singular")

    @property
    def evaluations(self):
        return self._series(self._found.evaluations, "evaluations")

    @property
    def original(self):
        own, names = self._own, self._names
        return {
            "fixef": pd.Series(own.beta, index=names, name="fixef"), "sigma": own.sigma,
            "theta": pd.Series(own.theta, index=self._theta_names, name="theta"),
            "varcorr": pd.Series(own.varcorr, index=self._component_names, name="varcorr"),
            "vcov": pd.DataFrame(own.vcov, index=names, columns=names),
        }

    @cached_property
    def _theta_names(self):
        return [
            f"{group}.{a}" if a == b else f"{group}.{b}.{a}"
            for group, names in zip(*self._terms) for j, a in enumerate(names) for b in names[j:]
        ]

    @cached_property
    def _component_names(self):
        one = len(self._terms[0]) == 1
        return ["sigma^2"] + [
            ("" if one else f"{group}:") + (f"v[{a}]" if a == b else f"C[{b},{a}]")
            for group, names in zip(*self._terms) for j, a in enumerate(names) for b in names[j:]
        ]

    # --- measures --------------------------------------------------------------

    def dfbeta(self, which="fixed"):
        """Estimates without the rows less those of the fit, DataFrame (k, p).

        Parameters
        ----------
        which : {"fixed", "var.cov"}
            Fixed effects, or variances and covariances.

        Notes
        -----
        NaN where a coefficient has changed its meaning because the rows left do not
        determine it.
        """
        if which == "var.cov":
            return self.varcorr - self._own.varcorr
        if which != "fixed":
            raise ArgumentError(f"dfbeta: which = {which!r}; use 'fixed' or 'var.cov'.")
        return self._frame(self._change(), self._names)

    def _change(self):
        return np.where(self._found.comparable, self._found.beta - self._own.beta, np.nan)

    def dfbetas(self):
        """`dfbeta` over the standard errors without the rows, DataFrame (k, p)."""
        out = self._change()
        for part in self._parts():
            out[part] /= np.sqrt(np.diagonal(self._covariances(part), axis1=1, axis2=2))
        return self._frame(out, self._names)

    def cooks_distance(self, definition="lme4"):
        """Cook's distances of the fixed effects, Series (k,).

        Parameters
        ----------
        definition : {"lme4", "cook"}
            With d = `dfbeta` and V the covariance matrix of the fit's estimates, "cook"
            is d'V^-1 d / p (HLMdiag); "lme4" multiplies it by (k - p) / k, k the number
            of deletions, as ``cooks.distance(influence(fit))`` of lme4 does.
        """
        if definition not in ("lme4", "cook"):
            raise ArgumentError(f"cooks_distance: definition = {definition!r}; use 'lme4' or 'cook'.")
        k, p = self._found.beta.shape
        self._need_fixed_effects("cooks_distance")
        d = self._change()
        out = (d @ np.linalg.inv(self._own.vcov) * d).sum(axis=1) / p
        return self._series(out * (k - p) / k if definition == "lme4" else out, "cooks_distance")

    def mdffits(self):
        """d'V_(i)^-1 d / p with V_(i) the covariance matrix without the rows, Series (k,)."""
        self._need_fixed_effects("mdffits")
        d = self._change()
        out = np.full(len(d), np.nan)
        for part, known, V in self._known_covariances():
            e = d[part][known]
            out[part][known] = (e * np.linalg.solve(V, e[:, :, None])[:, :, 0]).sum(axis=1) / d.shape[1]
        return self._series(out, "mdffits")

    def covratio(self):
        """det V_(i) / det V of the fixed effects' covariance matrices, Series (k,).

        Above 1 the rows make the estimates more precise.
        """
        self._need_fixed_effects("covratio")
        out = np.full(len(self.deleted), np.nan)
        log_det = np.linalg.slogdet(self._own.vcov)[1]
        for part, known, V in self._known_covariances():
            out[part][known] = np.exp(np.linalg.slogdet(V)[1] - log_det)
        return self._series(out, "covratio")

    def covtrace(self):
        """abs(trace(V^-1 V_(i)) - p), Series (k,)."""
        self._need_fixed_effects("covtrace")
        out = np.full(len(self.deleted), np.nan)
        inverse = np.linalg.inv(self._own.vcov)
        for part, known, V in self._known_covariances():
            out[part][known] = np.abs((inverse * V).sum(axis=(1, 2)) - len(inverse))
        return self._series(out, "covtrace")

    def rvc(self):
        """Relative change of variances and covariances, DataFrame: without the rows / with them - 1."""
        with np.errstate(divide="ignore", invalid="ignore"):
            out = self.varcorr / self._own.varcorr - 1.0
        return out.where(np.isfinite(out))

    def _need_fixed_effects(self, caller):
        if not self._names:
            raise ArgumentError(f"{caller}: the model has no fixed effects; see .rvc() for the variances.")

    def _covariances(self, part):
        return np.asarray(self._found.covariances[part])

    def _parts(self):
        k, p = self._found.beta.shape
        step = max(1, AT_A_TIME // max(1, p * p))
        return (slice(first, min(first + step, k)) for first in range(0, k, step))

    def _known_covariances(self):
        """Slices of the deletions, which of these kept all coefficients, and their covariance matrices."""
        for part in self._parts():
            known = self._found.comparable[part].all(axis=1)
            yield part, known, self._covariances(part)[known]

    # --- the whole -------------------------------------------------------------

    def to_frame(self):
        """All measures side by side, DataFrame (k, .).

        Columns rows, cooksd, mdffits, covtrace, covratio, dfbetas.<coefficient>,
        rvc.<component>, sigma, converged, singular.
        """
        parts = {"rows": self.sizes}
        if self._names:
            parts |= {"cooksd": self.cooks_distance(), "mdffits": self.mdffits(), "covtrace": self.covtrace(),
                      "covratio": self.covratio()}
        measures = pd.DataFrame(parts, index=self.deleted)
        return pd.concat([
            measures, self.dfbetas().add_prefix("dfbetas."), self.rvc().add_prefix("rvc."), self.sigma, self.converged,
            self.singular,
        ], axis=1)

    def plot(self, what="cooks_distance", ax=None, label=5, title=None):
        """One point per deletion, the largest labelled.

        Parameters
        ----------
        what : str
            "cooks_distance", "mdffits", "covratio", "covtrace", "sigma"; the name of a
            coefficient (its dfbetas) or of a component of `varcorr` (its relative change).
        ax : matplotlib Axes, optional
        label : int
            How many to label.
        title : str, optional

        Returns
        -------
        matplotlib Axes
        """
        values, centre = self._to_draw(what)
        return plot_influence(values, self.groups, centre=centre, ax=ax, label=label, title=title)

    def _to_draw(self, what):
        """The measure, and the value at which a deletion has no influence."""
        if what in ("cooks_distance", "mdffits", "covratio", "covtrace"):
            names = {"cooks_distance": "Cook's distance"}
            return getattr(self, what)().rename(names.get(what, what)), 1.0 if what == "covratio" else None
        if what == "sigma":
            return self.sigma, self._own.sigma
        if what in self._names:
            return self.dfbetas()[what].rename(f"dfbetas of {what}"), 0.0
        if what in self._component_names:
            return self.rvc()[what].rename(f"relative change of {what}"), 0.0
        raise ArgumentError(
            f"plot: what = {what!r}; use 'cooks_distance', 'mdffits', 'covratio', 'covtrace', 'sigma', or one of "
            f"{', '.join(map(repr, [*self._names, *self._component_names]))}."
        )

    def __len__(self):
        return len(self.deleted)

    def __str__(self):
        kind = "refitted" if self.method == "full" else "theta held fixed"
        table = self.dfbetas().add_prefix("dfbetas.")
        if self._names:
            table.insert(0, "cooksd", self.cooks_distance())
        else:
            table = self.rvc().add_prefix("rvc.")
        return influence_text(self._formula, self.groups, kind, table, self._sizes, self.messages,
                              int((~self._found.converged).sum()))

    __repr__ = __str__


def _components(templates, sigma):
    """sigma^2 and the lower triangles of sigma^2 T T', column by column, (k, .)."""
    parts = [sigma[:, None] ** 2]
    for T in templates:
        covariance = sigma[:, None, None] ** 2 * (T @ np.swapaxes(T, 1, 2))
        columns, rows = np.triu_indices(T.shape[1])
        parts.append(covariance[:, rows, columns])
    return np.concatenate(parts, axis=1)
