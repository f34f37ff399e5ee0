"""getME: the pieces of a fit under lme4's names."""

import numpy as np
import pandas as pd
from scipy import sparse

from fastlmm_hlm.criterion.estimates import spherical_effects
from fastlmm_hlm.design.covariance import lower_indices
from fastlmm_hlm.errors import UnknownNameError
from fastlmm_hlm.inference.labels import make_unique
from fastlmm_hlm.model.rows import random_model_matrix


def _term_order(fit):
    """Random effects in lme4's order (term by term) as indices into factor order, (q,)."""
    shapes = [G.shape[:2] for G in fit._products.ZtWZ]
    starts = np.cumsum([0, *[nl * nc for nl, nc in shapes]])
    order = []
    for term in fit._terms:
        nl, nc = shapes[term.factor]
        grid = starts[term.factor] + np.arange(nl)[:, None] * nc + np.arange(term.columns.start, term.columns.stop)
        order.append(grid.ravel())
    return np.concatenate(order)


def _flat(parts):
    return np.concatenate([part.ravel() for part in parts])


def _Lambda(fit):
    blocks = []
    for term, T in zip(fit._terms, fit._estimates.templates):
        nl = len(fit._factor_labels[term.factor][1])
        blocks.append(sparse.kron(sparse.eye_array(nl), sparse.csc_array(T), format="csc"))
    return sparse.block_diag(blocks, format="csc")


def _Lind(fit):
    """Which element of theta each stored entry of Lambda' takes, 1-based as in R."""
    out, first = [], 0
    for term in fit._terms:
        c = len(term.names)
        rows, columns = lower_indices(c)
        number = np.zeros((c, c), dtype=int)
        number[rows, columns] = np.arange(len(rows)) + first + 1
        first += len(rows)
        pattern = np.concatenate([number[j, : j + 1] for j in range(c)])
        out.append(np.tile(pattern, len(fit._factor_labels[term.factor][1])))
    return np.concatenate(out)


def _factorized(fit):
    """The kernel, evaluated at lme4's templates."""
    criterion = fit._criterion
    criterion.evaluate_templates(fit._estimates.templates)
    return criterion.kernel


def _L(fit):
    indptr, indices, values, perm = _factorized(fit).factor()
    L = sparse.csc_array((values, indices, indptr))
    return L, perm


def _RZX(fit):
    """RZX in the rows of L (permuted), for the user's columns of X."""
    kernel = _factorized(fit)
    _, RZX = kernel.blocks()
    RZX = np.linalg.solve(fit._x_centring.B.T, RZX.T).T
    return RZX[kernel.factor()[3]]


def _perm(fit):
    """Row k of L belongs to random effect perm[k] of getME(fit, "b")."""
    inverse = np.argsort(_term_order(fit))
    return inverse[_L(fit)[1]]


def _devcomp(fit):
    e = fit._estimates
    N = e.degrees
    cmp = {
        "ldL2": e.ldL2,
        "ldRX2": e.ldRX2,
        "ussq": float(sum((u**2).sum() for u in spherical_effects(fit._criterion, e))),
        "pwrss": e.pwrss,
        "REML" if e.reml else "dev": e.criterion,
        "sigmaREML" if e.reml else "sigmaML": e.sigma,
    }
    cmp["wrss"] = cmp["pwrss"] - cmp["ussq"]
    dims = {"N": e.n, "n": e.n, "p": e.p, "nmp": e.n - e.p, "q": int(fit._products.q), "nth": len(e.theta),
            "REML": e.p if e.reml else 0, "useSc": 1, "nAGQ": 1, "degrees": N}
    return {"cmp": cmp, "dims": dims}


def _lower(fit):
    return np.concatenate(
        [np.where(np.equal(*lower_indices(len(T))), 0.0, -np.inf) for T in fit._estimates.templates]
    )


def _flist(fit):
    rows = fit._rows_or_raise("getME")
    return pd.DataFrame(
        {f.name: pd.Categorical.from_codes(f.codes, categories=f.levels) for f in rows.design.factors},
        index=rows.index,
    )


def _named(fit, templates):
    names = make_unique([fit._factor_labels[t.factor][0] for t in fit._terms])
    return dict(zip(names, templates))


def _design(fit):
    return fit._rows_or_raise("getME").design


COMPONENTS = {
    "X": lambda fit: fit.model_matrix("fixed"),
    "Z": lambda fit: random_model_matrix(_design(fit))[0],
    "Zt": lambda fit: random_model_matrix(_design(fit))[0].T.tocsc(),
    "mmList": lambda fit: dict(zip([t.text for t in fit._terms], random_model_matrix(_design(fit))[1])),
    "Ztlist": lambda fit: dict(zip([t.text for t in fit._terms],
                                   [Z.T.tocsc() for Z in random_model_matrix(_design(fit))[1]])),
    "y": lambda fit: _design(fit).y,
    "mu": lambda fit: fit.fitted().to_numpy(),
    "offset": lambda fit: np.zeros(fit._estimates.n) if _design(fit).offset is None else _design(fit).offset,
    "flist": _flist,
    "u": lambda fit: _flat(spherical_effects(fit._criterion, fit._estimates))[_term_order(fit)],
    "b": lambda fit: _flat(fit._estimates.b)[_term_order(fit)],
    "Lambda": _Lambda,
    "Lambdat": lambda fit: _Lambda(fit).T.tocsc(),
    "Lind": _Lind,
    "Tlist": lambda fit: _named(fit, [T.copy() for T in fit._estimates.templates]),
    "L": lambda fit: _L(fit)[0],
    "perm": _perm,
    "A": lambda fit: (_Lambda(fit).T @ random_model_matrix(_design(fit))[0].T).tocsc(),
    "RX": lambda fit: fit._estimates.RX,
    "RZX": _RZX,
    "theta": lambda fit: fit.theta,
    "par": lambda fit: fit.theta,
    "lower": _lower,
    "beta": lambda fit: fit._estimates.beta,
    "fixef": lambda fit: fit.fixef(),
    "sigma": lambda fit: fit.sigma(),
    "cnms": lambda fit: _named(fit, [list(t.names) for t in fit._terms]),
    "Gp": lambda fit: np.cumsum([0, *[len(t.names) * len(fit._factor_labels[t.factor][1]) for t in fit._terms]]),
    "Tp": lambda fit: np.cumsum([0, *[len(T) * (len(T) + 1) // 2 for T in fit._estimates.templates]]),
    "devcomp": _devcomp,
    "devfun": lambda fit: fit.devfun(),
    "REML": lambda fit: fit._estimates.p if fit._estimates.reml else 0,
    "is_REML": lambda fit: fit._estimates.reml,
    "n": lambda fit: fit._estimates.n,
    "N": lambda fit: fit._estimates.n,
    "p": lambda fit: fit._estimates.p,
    "q": lambda fit: int(fit._products.q),
    "m": lambda fit: len(fit._estimates.theta),
    "k": lambda fit: len(fit._terms),
    "npar": lambda fit: fit.npar,
    "n_rtrms": lambda fit: len(fit._terms),
    "n_rfacs": lambda fit: len(fit._factor_labels),
    "p_i": lambda fit: np.array([len(t.names) for t in fit._terms]),
    "l_i": lambda fit: np.array([len(fit._factor_labels[t.factor][1]) for t in fit._terms]),
    "q_i": lambda fit: np.array([len(t.names) * len(fit._factor_labels[t.factor][1]) for t in fit._terms]),
    "m_i": lambda fit: np.array([len(T) * (len(T) + 1) // 2 for T in fit._estimates.templates]),
}


def component(fit, name):
    """One piece of a fit, or a dict of several.

    Parameters
    ----------
    fit : LinearMixedModel
    name : str or sequence of str, or "ALL"

    Raises
    ------
    UnknownNameError
    """
    if isinstance(name, (list, tuple)):
        return {one: component(fit, one) for one in name}
    if name == "ALL":
        return {one: component(fit, one) for one in COMPONENTS}
    if not isinstance(name, str) or name not in COMPONENTS:
        raise UnknownNameError(f"getME: {name!r} is not known; the names are {', '.join(sorted(COMPONENTS))}.")
    value = COMPONENTS[name](fit)
    return value.copy() if isinstance(value, np.ndarray) else value
