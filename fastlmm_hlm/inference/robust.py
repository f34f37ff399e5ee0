"""Cluster-robust covariance of the fixed effects and the tests made of it, as clubSandwich has them."""

import math

import numpy as np
import pandas as pd

from fastlmm_hlm._core.threads import allowed_threads
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.clusters import clusters_of
from fastlmm_hlm.inference.resolvent import Resolvent
from fastlmm_hlm.inference.sandwich import bias_reduced, jackknife, satterthwaite, unadjusted
from fastlmm_hlm.report.coefmat import significance_star
from fastlmm_hlm.report.html import table_html
from fastlmm_hlm.report.layout import string_matrix_text
from fastlmm_hlm.report.rformat import format_numbers, format_pvalues

TYPES = ("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")
# Test -> its short name in the table; in clubSandwich's order.
TESTS = {"z": "z", "naive-t": "t", "naive-tp": "tp", "Satterthwaite": "Satt"}
HEADS = {"z": "z", "t": "naive-t", "tp": "naive-tp", "Satt": "Satt"}


class RobustCovariance:
    """The sandwich of one fit, kept in a basis of X in which its bread is I.

    Parameters
    ----------
    fit : LinearMixedModel
    cluster : None, str or one value per row
    type : str
    caller : str

    Attributes
    ----------
    size : int
        Number of clusters.
    name : str
        Name of the clusters.
    """

    def __init__(self, fit, cluster, type, caller):
        if not hasattr(fit, "isLMM"):
            raise ArgumentError(f"{caller}: expected a fitted model from lmer(), got {fit.__class__.__name__}.")
        if type not in TYPES:
            raise ArgumentError(f"{caller}: type = {type!r} is not known; use one of {', '.join(TYPES)}.")
        if not fit._estimates.p:
            raise ArgumentError(f"{caller}: the model has no fixed effects, so there is nothing to give a covariance of.")
        clusters = clusters_of(fit, cluster, caller)
        self.size, self.name = clusters.size, clusters.name
        n, p, G = fit._estimates.n, fit._estimates.p, clusters.size
        if type == "CR1p" and G <= p:
            raise ArgumentError(f"{caller}: type = 'CR1p' divides by clusters - fixed effects = {G} - {p}; use 'CR2'.")
        resolvent = Resolvent(fit, clusters, allowed_threads(fit._settings.control.threads))
        at_zero = resolvent(0.0)
        root = np.linalg.cholesky(at_zero[:, :, :-1].sum(axis=0)).T          # bread^-1 = root'root
        inverse = np.linalg.solve(root, np.eye(p))

        def whitened(values):
            values = inverse.T @ values
            values[:, :, :-1] = values[:, :, :-1] @ inverse
            return values

        at_zero = whitened(at_zero)
        if type == "CR2":
            self._adjusted = bias_reduced(
                at_zero, lambda z: whitened(resolvent(z)), resolvent.least, resolvent.largest()
            )
        elif type == "CR3":
            self._adjusted = jackknife(at_zero)
        else:
            factor = {"CR0": 1.0, "CR1": G / (G - 1), "CR1p": G / (G - p) if G > p else 0.0,
                      "CR1S": G * (n - 1) / ((G - 1) * (n - p))}[type]
            self._adjusted = unadjusted(at_zero).scaled(math.sqrt(factor))
        self._basis = fit._x_centring.B @ inverse

    def matrix(self):
        """Covariance of the user's coefficients, (p, p)."""
        V = self._basis @ self._adjusted.meat() @ self._basis.T
        return (V + V.T) / 2.0

    def df(self, L):
        """Satterthwaite degrees of freedom of contrasts of the user's coefficients, (m, p) -> (m,)."""
        return satterthwaite(self._adjusted, np.atleast_2d(L) @ self._basis)


def vcov_robust(fit, cluster=None, type="CR2"):
    """Cluster-robust covariance matrix of the fixed effects.

    Consistent for many clusters when the model of the covariances is wrong:
    the residuals within a cluster may vary and correlate in any way [1]_, [2]_.

    Parameters
    ----------
    fit : LinearMixedModel
    cluster : str or one value per row, optional
        A grouping factor, a column of the data or values; every grouping factor
        of the model must be nested in it.  By default the outermost factor.
    type : {"CR2", "CR0", "CR1", "CR1p", "CR1S", "CR3"}
        CR2 is unbiased if the model holds.  CR0 is the plain sandwich; with G
        clusters and N rows CR1 multiplies it by G / (G - 1), CR1p by G / (G - p),
        CR1S by G (N - 1) / ((G - 1) (N - p)), as Stata does.  CR3 is close to the
        jackknife.

    Returns
    -------
    DataFrame, shape (p, p)
        ``.attrs`` has "type", "cluster" (its name) and "clusters" (how many).

    Raises
    ------
    ArgumentError
        If a grouping factor is not nested in the clusters, or there is only one cluster.
    UnknownNameError
        If `cluster` names nothing.
    RowsNotKeptError
        If the fit was pickled without its rows.

    Notes
    -----
    One pass over the rows; after it the cost grows with the number of levels.
    CR2 repeats the algebra of the fit at about 15 to 50 complex points, and with
    prior weights sums the rows again for each.

    References
    ----------
    .. [1] Bell, McCaffrey (2002), Survey Methodology 28(2), 169-181.
    .. [2] Pustejovsky, Tipton (2018), JBES 36(4), 672-683.
    """
    robust = RobustCovariance(fit, cluster, type, "vcov_robust")
    names = fit._x_names
    frame = pd.DataFrame(robust.matrix(), index=names, columns=names)
    frame.attrs.update(type=type, cluster=robust.name, clusters=robust.size)
    return frame


class CoefTest(pd.DataFrame):
    """Tests of the coefficients with clubSandwich's columns, printed in its layout."""

    @property
    def _constructor(self):
        return pd.DataFrame

    def _words(self):
        """Heads and columns of the printed table."""
        heads, columns = ["Coef."], [list(self["Coef"])]
        for name, head in (("beta", "Estimate"), ("SE", "SE"), ("tstat", "t-stat")):
            heads.append(head)
            columns.append(format_numbers(self[name].to_numpy(), 3))
        for short, head in HEADS.items():
            if f"p_{short}" in self:
                p = self[f"p_{short}"].to_numpy()
                heads += [f"d.f. ({head})", f"p-val ({head})", "Sig."]
                columns += [format_numbers(self[f"df_{short}"].to_numpy(), 3), format_pvalues(p, 3, eps=1e-3),
                            [significance_star(value).strip() for value in p]]
        return heads, columns

    def __str__(self):
        heads, columns = self._words()
        return string_matrix_text([""] * len(self), heads, columns, width=200).rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self):
        heads, columns = self._words()
        return table_html(heads[1:], list(zip(*columns[1:])), None, columns[0])


def coef_test(fit, vcov="CR2", cluster=None, test="Satterthwaite"):
    """Tests of every fixed effect with cluster-robust standard errors.

    Parameters
    ----------
    fit : LinearMixedModel
    vcov : str
        Type of `vcov_robust`.
    cluster
        As for `vcov_robust`.
    test : str or list of str
        "Satterthwaite": t with the degrees of freedom of Pustejovsky & Tipton
        (2018); "naive-t" and "naive-tp": t with clusters - 1, or clusters - p;
        "z": normal.  "All" gives all four.

    Returns
    -------
    CoefTest
        DataFrame with columns Coef, beta, SE, tstat and, per test, ``df_`` and ``p_``
        followed by z, t, tp or Satt; prints as clubSandwich does.

    Raises
    ------
    ArgumentError, UnknownNameError, RowsNotKeptError
        As for `vcov_robust`; also for an unknown test.
    """
    from scipy import stats

    wanted = list(TESTS) if isinstance(test, str) and test == "All" else [test] if isinstance(test, str) else list(test)
    unknown = [one for one in wanted if one not in TESTS]
    if unknown or not wanted:
        raise ArgumentError(
            f"coef_test: test = {test!r}; use one or several of {', '.join(map(repr, TESTS))}, or 'All'."
        )
    robust = RobustCovariance(fit, cluster, vcov, "coef_test")
    beta, p = fit._estimates.beta, fit._estimates.p
    se = np.sqrt(np.maximum(np.diagonal(robust.matrix()), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = beta / se
    columns = {"Coef": list(fit._x_names), "beta": beta, "SE": se, "tstat": t}
    for name, short in TESTS.items():
        if name not in wanted:
            continue
        if name == "Satterthwaite":
            df = robust.df(np.eye(p))
        else:
            df = np.full(p, {"z": np.inf, "naive-t": robust.size - 1.0, "naive-tp": robust.size - p}[name])
        df = np.where(df > 0, df, np.nan)
        columns[f"df_{short}"] = df
        columns[f"p_{short}"] = 2.0 * stats.t.sf(np.abs(t), df)
    return CoefTest(columns, index=pd.Index(fit._x_names))
