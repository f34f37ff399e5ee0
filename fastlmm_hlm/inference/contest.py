"""Tests of contrasts of the fixed effects, in lmerTest's columns."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, UnknownNameError
from fastlmm_hlm.inference.ddf import canonical_name, fit_for, method_of
from fastlmm_hlm.inference.tails import f_pvalue, t_pvalue, t_quantile

F_COLUMNS = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]
T_COLUMNS = ["Estimate", "Std. Error", "df", "t value", "Pr(>|t|)"]
# A contrast whose weights on dropped columns differ by more from what the kept ones imply is not estimable:
# the relation comes from cross-products, which have half the digits of the columns.
ESTIMABLE = 1e-6


def contest(fit, L, rhs=0.0, joint=True, collect=True, confint=True, level=0.95, ddf="Satterthwaite",
            check_estimability=False):
    """Test contrasts of the fixed effects: jointly with F, or one by one with t.

    Parameters
    ----------
    fit : LinearMixedModel
    L : array (p,) or (q, p), dict, DataFrame, or a list of these
        Rows of weights, one per fixed effect.  A dict gives the weights by
        coefficient name, a DataFrame has coefficient names as columns and labels of
        contrasts as index; names left out weigh 0.  A list of matrices is several
        hypotheses; a list of rows is one matrix.
    rhs : float or array
        Values of the contrasts under the hypothesis.
    joint : bool
        One F-test per matrix (True), or one t-test per row.
    collect : bool
        Put several hypotheses into one table (True), or return a list.
    confint : bool
        Add confidence limits to t-tests.
    level : float
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
    check_estimability : bool
        L has a weight for every coefficient, those dropped from a rank-deficient
        model too; a contrast that the data cannot tell gives a row of NaN, and is
        refused in a joint test.

    Returns
    -------
    DataFrame, or a list of them
        Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F); or Estimate, Std. Error,
        df, t value, lower, upper, Pr(>|t|).

    Raises
    ------
    ArgumentError
        If L, rhs or another argument does not fit the model.
    UnknownNameError
        For a coefficient that the model does not have.
    """
    check_level(level, "contest")
    canonical_name(ddf, "contest")
    matrices = [_matrix(fit, part, check_estimability, joint, "contest") for part in _hypotheses(L)]
    tables = []
    for matrix in matrices:
        values = _right_side(rhs, matrix, "contest")
        tables.append(
            f_table(fit, [(None, matrix.to_numpy(), values)], ddf) if joint else t_table(fit, matrix, values, confint, level, ddf)
        )
    if not collect:
        return tables[0] if not isinstance(L, (list, tuple)) or len(tables) == 1 and np.ndim(L) < 3 else tables
    table = pd.concat(tables)
    numbered = all(isinstance(label, (int, np.integer)) for label in table.index)
    return table.set_axis(range(1, len(table) + 1)) if numbered else table


def contest1D(fit, L, rhs=0.0, ddf="Satterthwaite", confint=False, level=0.95):  # noqa: N802 - lmerTest's name
    """Test one contrast with t; parameters as in `contest`, one row of weights.

    Returns
    -------
    DataFrame, one row
        Estimate, Std. Error, df, t value, Pr(>|t|), with lower and upper between if asked for.
    """
    check_level(level, "contest1D")
    matrix = _matrix(fit, L, False, False, "contest1D")
    if len(matrix) != 1:
        raise ArgumentError(f"contest1D: L has {len(matrix)} rows; it tests one contrast. Use contest(fit, L, joint=False).")
    return t_table(fit, matrix, _right_side(rhs, matrix, "contest1D"), confint, level, ddf)


def contestMD(fit, L, rhs=0.0, ddf="Satterthwaite"):  # noqa: N802
    """Test several contrasts jointly with F; parameters as in `contest`.

    Returns
    -------
    DataFrame, one row
    """
    matrix = _matrix(fit, L, False, True, "contestMD")
    return f_table(fit, [(None, matrix.to_numpy(), _right_side(rhs, matrix, "contestMD"))], ddf)


def calcSatterth(fit, L):  # noqa: N802
    """Satterthwaite's F-test of L beta = 0 as a dict: denom, Fstat, pvalue, ndf."""
    row = contestMD(fit, L).iloc[0]
    return {"denom": row["DenDF"], "Fstat": row["F value"], "pvalue": row["Pr(>F)"], "ndf": int(row["NumDF"])}


# --- tables -----------------------------------------------------------------------------


def t_table(fit, L, rhs, confint=False, level=0.95, ddf="Satterthwaite"):
    """t-tests of single contrasts.

    Parameters
    ----------
    fit : LinearMixedModel
    L : DataFrame (m, p)
    rhs : ndarray (m,)
    confint : bool
    level : float
    ddf : str

    Returns
    -------
    DataFrame, m rows
    """
    method = method_of(fit, ddf)
    weights = L.to_numpy()
    estimate = weights @ method.beta
    se = np.sqrt(np.einsum("mp,pq,mq->m", weights, method.vcov, weights))
    df = method.df(weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (estimate - rhs) / se
    table = pd.DataFrame(
        {"Estimate": estimate, "Std. Error": se, "df": df, "t value": t}, index=L.index
    )
    if confint:
        half = t_quantile(level, df) * se
        table["lower"], table["upper"] = estimate - half, estimate + half
    table["Pr(>|t|)"] = t_pvalue(t, df)
    return table


def f_table(fit, hypotheses, ddf="Satterthwaite"):
    """F-tests of several hypotheses.

    Parameters
    ----------
    fit : LinearMixedModel
    hypotheses : list of (label or None, L (q, p), rhs (q,))
    ddf : str

    Returns
    -------
    DataFrame, one row per hypothesis
        Mean Sq is sigma^2 times F, before Kenward and Roger's scaling of it.
    """
    method = method_of(fit, ddf)
    sigma2 = fit_for(fit, ddf).sigma() ** 2
    rows, labels = [], []
    for k, (label, L, rhs) in enumerate(hypotheses):
        F, ndf, ddf_ = method.f_test(L, rhs)
        mean_square = F / method.f_scale(L) * sigma2
        rows.append([mean_square * ndf, mean_square, ndf, ddf_, F, f_pvalue(F, ndf, ddf_)])
        labels.append(k + 1 if label is None else label)
    table = pd.DataFrame(rows, index=labels, columns=F_COLUMNS, dtype=float)
    return table.astype({"NumDF": int})


def check_level(level, caller):
    """Refuse a confidence level that is no probability."""
    if not isinstance(level, (int, float, np.number)) or isinstance(level, bool) or not 0.0 < level < 1.0:
        raise ArgumentError(f"{caller}: level = {level!r}; expected a confidence level between 0 and 1, such as 0.95.")


# --- what was given ---------------------------------------------------------------------


def _hypotheses(L):
    """The matrices of a list of hypotheses; one matrix when L is no such list."""
    if isinstance(L, (list, tuple)) and len(L) and any(
        isinstance(part, (dict, pd.DataFrame)) or np.ndim(part) == 2 for part in L
    ):
        return list(L)
    return [L]


def _matrix(fit, L, check_estimability, joint, caller):
    """L as a DataFrame with one column per fixed effect."""
    names = list(fit.fixef().index)
    every = list(fit.fixef(add_dropped=True).index) if check_estimability else names
    if isinstance(L, dict):
        L = pd.DataFrame([L], index=[1])
    if isinstance(L, pd.Series):
        L = L.to_frame().T.set_axis([1])
    if isinstance(L, pd.DataFrame):
        unknown = [str(name) for name in L.columns if name not in every]
        if unknown:
            raise UnknownNameError(
                f"{caller}: no fixed effect is called {unknown[0]!r}; there are {', '.join(map(str, every))}."
            )
        L = L.reindex(columns=every).fillna(0.0) if L.columns.is_unique else L
    try:
        values = np.atleast_2d(np.asarray(L, dtype=float))
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: L must hold numbers, {len(every)} to a row; got {L!r}.") from None
    if values.ndim != 2 or values.shape[1] != len(every):
        raise ArgumentError(
            f"{caller}: L has {values.shape[-1]} weights to a row; expected {len(every)}, one for each of "
            f"{', '.join(map(str, every))}."
        )
    if not np.isfinite(values).all():
        raise ArgumentError(f"{caller}: L has a weight that is not finite.")
    index = L.index if isinstance(L, pd.DataFrame) else range(1, len(values) + 1)
    if check_estimability and len(every) > len(names):
        values = _estimable(fit, values, names, every)
        lost = np.flatnonzero(np.isnan(values).any(axis=1))
        if joint and len(lost):
            raise ArgumentError(
                f"{caller}: contrast {index[lost[0]]} is not estimable: the data do not tell the coefficients of "
                f"{', '.join(map(str, fit._dropped_columns))} from the others. Test contrasts of what was observed."
            )
    return pd.DataFrame(values, index=index, columns=names)


def _estimable(fit, L, names, every):
    """Weights of the kept coefficients; NaN in rows whose weights of the dropped ones do not follow from them."""
    kept = [every.index(name) for name in names]
    dropped = [j for j in range(len(every)) if j not in kept]
    off = np.abs(L[:, kept] @ fit._dependence - L[:, dropped]).max(axis=1, initial=0.0)
    out = L[:, kept].copy()
    out[off > ESTIMABLE * np.abs(L).max(axis=1)] = np.nan
    return out


def _right_side(rhs, L, caller):
    try:
        values = np.broadcast_to(np.asarray(rhs, dtype=float), (len(L),))
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: rhs = {rhs!r}; expected one number, or one per row of L, that is {len(L)}.") from None
    return values
