"""Analysis of variance of the fixed part of one model, in lmerTest's or lme4's columns."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import FastlmmWarning, warn_user
from fastlmm_hlm.inference import termcontrasts
from fastlmm_hlm.inference.contest import F_COLUMNS, f_table
from fastlmm_hlm.inference.ddf import canonical_name
from fastlmm_hlm.report.anovatable import AnovaTable


class TypeTable(AnovaTable):
    """An analysis of variance that remembers its hypotheses.

    Attributes
    ----------
    hypotheses : dict term -> DataFrame (rows, p)
    """

    _metadata = [*AnovaTable._metadata, "hypotheses"]


def anova(fit, type="III", ddf="Satterthwaite"):
    """F-tests of the terms of the fixed part.

    Parameters
    ----------
    fit : LinearMixedModel
    type : {"III", "II", "I", 3, 2, 1}
        Marginal, by containment, or sequential hypotheses; see `termcontrasts`.
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
        "lme4" gives lme4's own table: sequential, without p-values.

    Returns
    -------
    TypeTable
        Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F); or npar, Sum Sq, Mean Sq, F value.

    Raises
    ------
    ArgumentError
        For an unknown type or method.
    RowsNotKeptError
        For types I and II of a weighted fit without its rows: they need X'X.

    Warns
    -----
    FastlmmWarning
        If a type III hypothesis is about cells that have no rows.
    """
    method, kind = canonical_name(ddf, "anova"), termcontrasts.canonical_type(type)
    if method == "lme4":
        return sequential_table(fit)
    hypotheses = term_hypotheses(fit, kind)
    tested = {term: L for term, L in hypotheses.items() if len(L)}
    table = pd.DataFrame(columns=F_COLUMNS, dtype=float)
    if tested:
        table = f_table(fit, [(term, L.to_numpy(), np.zeros(len(L))) for term, L in tested.items()], method)
    without = [term for term in hypotheses if term not in tested]
    if without:
        table = table.reindex([*table.index, *without])
    heading = [f"Type {kind} Analysis of Variance Table with {method}'s method"]
    out = TypeTable.make(table, table.index, heading)
    object.__setattr__(out, "hypotheses", hypotheses)
    return out


def term_hypotheses(fit, kind):
    """The hypotheses of one type, dict term -> DataFrame (rows, p) of weights by coefficient."""
    terms = termcontrasts.FixedTerms.of(fit)
    if not terms.terms:
        return {}
    names = list(fit.fixef().index)
    own = terms.kept_assign
    if kind == "III":
        missing = termcontrasts.missing_cells(terms)
        if missing:
            warn_user(
                f"anova: no rows have {', '.join(missing)}. Type III hypotheses then average over the cells that there are; "
                "interpret them with care.", FastlmmWarning,
            )
        found = termcontrasts.marginal(terms)
    else:
        R = _triangular(fit)
        make = termcontrasts.sequential if kind == "I" else termcontrasts.by_containment
        found = [(L, [names[j] for j in np.flatnonzero(own == k)]) for k, L in enumerate(make(terms, R), start=1)]
    return {label: pd.DataFrame(L, index=rows, columns=names) for label, (L, rows) in zip(terms.labels, found)}


def _triangular(fit):
    """R with R'R = X'X of the user's kept columns, prior weights left out as in lmerTest, (p, p)."""
    p = fit._estimates.p
    XtX = fit._products.XyWXy[:p, :p]
    if fit._weighted:
        from fastlmm_hlm.design.crossprod import fixed_products

        XtX = fixed_products(fit._rows_or_raise("anova").design)
    centred = np.linalg.cholesky(XtX).T
    R = np.linalg.qr(np.linalg.solve(fit._x_centring.B.T, centred.T).T, mode="r")
    return R * np.where(np.diagonal(R) < 0, -1.0, 1.0)[:, None]


def sequential_table(fit):
    """lme4's table: sums of squares of RX beta by term, no denominators.

    Bates et al. (2015), sec. 5.1: with X'H^-1 X = RX'RX the components of RX beta are
    independent, and those of a term measure it after the terms before it.
    """
    terms = termcontrasts.FixedTerms.of(fit)
    estimates = fit._estimates
    effects = (estimates.RX @ estimates.beta) ** 2
    rows = {}
    for k, label in enumerate(terms.labels, start=1):
        own = terms.kept_assign == k
        if own.any():
            total = effects[own].sum()
            mean = total / own.sum()
            rows[label] = [own.sum(), total, mean, mean / estimates.sigma**2]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["npar", "Sum Sq", "Mean Sq", "F value"], dtype=float)
    return TypeTable.make(table.astype({"npar": int}), table.index, ["Analysis of Variance Table"])
