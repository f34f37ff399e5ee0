"""What one side says of a model, in the same shape for both sides.

A dict of plain parts:

    criterion, sigma, logLik, npar, AIC, BIC, df_residual, nobs, rows_left_out    numbers
    singular                bool
    names, fixef (p,), se (p,), vcov (p, p)
    theta (m,)
    VarCorr                 dict of (grp, var1, var2) -> covariance; var1 of the residual variance is None
    ranef                   dict of factor -> {"levels", "terms", "modes" (l, c), "variances": blocks (l, c_i, c_i)}
    fitted, residuals (n,), rows (n,)     rows count from 1
    ngrps                   dict of factor -> levels
    coefficients            dict of column -> (p,), as summary() has it; without df and p where they are not known
    problem                 why there are no p-values, or None
"""

import numpy as np
from scipy.linalg import block_diag

from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.inference.ddf import canonical_name

NUMBERS = ("criterion", "sigma", "logLik", "AIC", "BIC")
COUNTS = ("npar", "df_residual", "nobs", "rows_left_out")


def ours(fit, ddf):
    """The answers of a fit made here.

    Parameters
    ----------
    fit : LinearMixedModel
    ddf : str

    Returns
    -------
    dict
    """
    rows, beta, V = fit._rows_or_raise("verify"), fit.fixef(), fit.vcov().to_numpy()
    log_likelihood, fitted = fit.logLik(), fit._linear_predictor()
    found = {
        "criterion": fit.deviance(REML=fit.isREML()), "sigma": fit.sigma(), "logLik": float(log_likelihood),
        "npar": log_likelihood.df, "AIC": fit.AIC(), "BIC": fit.BIC(), "df_residual": fit.df_residual(), "nobs": fit.nobs(),
        "rows_left_out": rows.n_input - len(rows.index), "singular": fit.isSingular(),
        "names": list(beta.index), "fixef": beta.to_numpy(), "vcov": V, "theta": np.asarray(fit.theta),
        "VarCorr": {tuple(_text(row[k]) for k in ("grp", "var1", "var2")): float(row["vcov"]) for row in fit.VarCorr().to_frame().to_dict("records")},
        "ranef": _our_modes(fit),
        "fitted": fitted, "residuals": rows.design.y - fitted,
        "rows": np.arange(1, rows.n_input + 1) if rows.positions is None else np.asarray(rows.positions) + 1,
        "ngrps": {str(name): int(count) for name, count in fit.ngrps().items()},
        "problem": None,
    }
    found["se"] = np.sqrt(np.diag(V))
    table = fit.summary(ddf=canonical_name(ddf, "verify")).coefficients
    found["coefficients"] = {name: table[name].to_numpy(dtype=float) for name in table.columns}
    return found


def _our_modes(fit):
    effects, blocks = fit.ranef(condVar=True), {}
    for term in fit._terms:
        blocks.setdefault(fit._factor_labels[term.factor][0], []).append(term.columns)
    return {
        str(name): {
            "levels": [level_text(level) for level in table.index], "terms": [str(term) for term in table.columns],
            "modes": table.to_numpy(dtype=float), "variances": [effects.condVar[name][:, own, own] for own in blocks[name]],
        }
        for name, table in effects.items()
    }


def theirs(answer):
    """The answers of lme4, as `rsession.call` hands them over for one of the three points.

    Parameters
    ----------
    answer : dict

    Returns
    -------
    dict
    """
    found = {name: float(answer[name]) for name in NUMBERS} | {name: int(answer[name]) for name in COUNTS}
    variances = answer["VarCorr"]
    keys = zip(*(map(_text, _list(variances[k])) for k in ("grp", "var1", "var2")), strict=True)
    V = np.atleast_2d(answer["vcov"])
    table = answer["coefficients"]["table"]
    found |= {
        "singular": bool(answer["singular"]), "names": _list(answer["fixef_names"]), "fixef": _array(answer["fixef"]), "vcov": V,
        "se": np.sqrt(np.diag(V)), "theta": _array(answer["theta"]),
        "VarCorr": dict(zip(keys, _array(variances["vcov"]).tolist(), strict=True)),
        "ranef": {name: _their_modes(part) for name, part in answer["ranef"].items()},
        "fitted": _array(answer["fitted"]), "residuals": _array(answer["residuals"]), "rows": _array(answer["rows"]).astype(int),
        "ngrps": {name: int(count) for name, count in answer["ngrps"].items()},
        "coefficients": dict(zip(table["columns"], np.atleast_2d(table["values"]).T, strict=True)) if isinstance(table, dict) else {},
        "problem": answer["coefficients"].get("problem"),
    }
    return found


def _their_modes(part):
    blocks = [np.moveaxis(np.asarray(block), 2, 0) for block in part["variances"]]
    return {"levels": _list(part["levels"]), "terms": _list(part["terms"]), "modes": np.atleast_2d(part["modes"]), "variances": blocks}


def column_moments(fit):
    """Mean products of the raw columns of each random term, in the order of `fit.theta`.

    Returns
    -------
    list of ndarray (c, c)
    """
    design, moments = fit._rows_or_raise("verify").design, []
    for term in fit._terms:
        chosen = design.factors[term.factor].columns[term.columns]
        x = np.column_stack([np.ones(design.n) if column is None else np.asarray(column, dtype=float) for column in chosen])
        moments.append(x.T @ x / design.n)
    return moments


def theta_scale(moments):
    """Directions of theta in which equal steps change the covariance of the response about alike.

    With moments = K'K, K lower triangular, K lambda is the template for columns of mean square one;
    the directions are K^-1 E for the lower triangular units E.

    Parameters
    ----------
    moments : list of ndarray (c, c)

    Returns
    -------
    ndarray (m, m), or None if the columns of a term are linearly dependent
    """
    blocks = []
    for M in moments:
        try:
            K = np.linalg.cholesky(M[::-1, ::-1])[::-1, ::-1].T
        except np.linalg.LinAlgError:
            return None
        column, row = np.triu_indices(len(M))
        directions = np.zeros((len(row), len(row)))
        inverse = np.linalg.inv(K)
        for k, (i, j) in enumerate(zip(row, column, strict=True)):
            image = np.zeros_like(M)
            image[:, j] = inverse[:, i]
            directions[:, k] = image[row, column]
        blocks.append(directions)
    return block_diag(*blocks)


def _text(cell):
    return None if cell is None or cell != cell else str(cell)


def _list(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def _array(value):
    return np.zeros(0) if value is None else np.atleast_1d(np.asarray(value, dtype=float))
