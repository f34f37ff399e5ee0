"""Deletion at fixed theta, in closed form: fixed effects and sigma without single rows, or without clusters.

H = W^-1 + Z Psi Z' stays, its rows and columns of the set S go.  With C = X'H^-1 X and
residuals e = y - offset - X beta, leaving S out is a generalized least squares fit with
H of the rows left (Christensen, Pearson & Johnson 1992; Banerjee & Frees 1997).

One row.  With P = H^-1 - H^-1 X C^-1 X'H^-1, (Py)_i = w_i r_i and P_ii = w_i (1 - h_i), r the
conditional residual and h the leverage; H^-1 X has the rows w_i d_i of `leverage`:

    beta_(i) - beta = -C^-1 d_i w_i r_i / (1 - h_i)
    C_(i)^-1 = C^-1 + w_i C^-1 d_i d_i'C^-1 / (1 - h_i)
    r2_(i) = r2 - w_i r_i^2 / (1 - h_i)

Clusters (every level of every grouping factor lies in one set).  H is block diagonal by
set, so sums over the rows of S leave the normal equations: with T_S = X_S'H_S^-1 X_S and
s_S = X_S'H_S^-1 e_S,

    C_(S) = C - T_S      beta_(S) - beta = -C_(S)^-1 s_S
    r2_(S) = r2 - e_S'H_S^-1 e_S - s_S'C_(S)^-1 s_S

References
----------
Banerjee, Frees (1997), JASA 92(439), 999-1005.  Christensen, Pearson, Johnson (1992),
Technometrics 34(1), 38-45.
"""

import numpy as np

from fastlmm_hlm.design.crossprod import shifted_response
from fastlmm_hlm.inference import elimination
from fastlmm_hlm.inference.clusters import Clusters, parents
from fastlmm_hlm.inference.deletions import Deleted, Deleter
from fastlmm_hlm.inference.leverage import hat_parts
from fastlmm_hlm.inference.resolvent import fixed_by_cluster, less_random_part
from fastlmm_hlm.inference.rowdiagnostics import DETERMINED, deleted_sigmas, pearson

# Part of its standard error that a coefficient must have in a direction that cannot be
# estimated any more to be lost with it.
IN_LOST_DIRECTION = 1e-6
LOST = "without these rows X has no full rank; not estimable: "


def at_fixed_theta(fit, cases, caller):
    """Estimates without each set of rows, theta that of the fit.

    Parameters
    ----------
    fit : LinearMixedModel
        With its rows.
    cases : Cases
    caller : str

    Returns
    -------
    Deleted
    """
    if cases.single:
        return _rows(fit, caller)
    design = fit._rows.design
    inner = [parents(f.codes, len(f.levels), cases.codes) for f in design.factors]
    if all(of_level is not None for of_level in inner):
        return _clusters(fit, Clusters(cases.codes, len(cases), inner, cases.name), cases)
    return Deleter(fit, cases, search=False, most=1).block(0, len(cases))


class RankOneUpdates:
    """Covariance matrices sigma_i^2 (R R' + a_i a_i'), made where they are asked for.

    Parameters
    ----------
    R : ndarray (p, p)
    a : ndarray (k, p)
    sigma : ndarray (k,)
    known : ndarray of bool (k, p)
        Elsewhere the matrices have NaN.
    """

    def __init__(self, R, a, sigma, known):
        self.base, self.a, self.sigma, self.known = R @ R.T, a, sigma, known

    def __getitem__(self, which):
        a, known = self.a[which], self.known[which]
        out = self.base + a[:, :, None] * a[:, None, :]
        out *= (self.sigma[which] ** 2)[:, None, None]
        if not known.all():
            out[~(known[:, :, None] & known[:, None, :])] = np.nan
        return out


def _rows(fit, caller):
    design, e = fit._rows.design, fit._estimates
    h, t = hat_parts(fit, caller, fixed=True)
    r, left = pearson(fit, design), 1.0 - h
    w = 1.0 if design.weights is None else design.weights
    free = left > DETERMINED
    left = np.where(free, left, 1.0)
    R = np.linalg.solve(e.RX, np.eye(e.p))
    a = t @ R.T                                                        # C^-1 d_i
    se = np.sqrt((R**2).sum(axis=1))
    length = np.sqrt((t**2).sum(axis=1))[:, None]
    known = free[:, None] | (np.abs(a) <= IN_LOST_DIRECTION * se * length)
    step = np.where(free, np.sqrt(w) * r / left, 0.0)
    sigma = deleted_sigmas(r, 1.0 - h, e)
    out = _same_theta(fit, len(h))
    out.beta, out.comparable, out.sigma = np.where(known, e.beta - step[:, None] * a, np.nan), known, sigma
    out.covariances = RankOneUpdates(R, a * np.where(free, np.sqrt(w / left), 0.0)[:, None], sigma, known)
    _say_what_is_lost(fit, out)
    return out


def _same_theta(fit, k):
    """k sets with the theta of the fit; the rest is to be filled in."""
    e = fit._estimates
    out = Deleted.empty(0, e.p, e.templates)
    out.templates = [np.broadcast_to(T, (k, *T.shape)) for T in e.templates]
    out.theta = np.broadcast_to(e.theta, (k, len(e.theta)))
    out.converged, out.singular = np.ones(k, dtype=bool), np.full(k, fit.isSingular())
    out.evaluations = np.zeros(k, dtype=int)
    return out


def _say_what_is_lost(fit, out):
    for i in np.flatnonzero(~out.comparable.all(axis=1)):
        out.messages[int(i)] = LOST + ", ".join(np.asarray(fit._x_names)[~out.comparable[i]])


def _clusters(fit, clusters, cases):
    e, p, basis = fit._estimates, fit._estimates.p, fit._x_centring
    R = np.linalg.solve(e.RX, np.eye(p))                               # C^-1 = R R' in the user's columns
    T = _projected(fit, clusters)
    root = basis.inverse @ R
    T = _congruent(T, _with_residual(root, basis.inverse @ (e.beta - fit._products.beta0)))
    s, residual2 = T[:, :p, p], T[:, p, p]
    shares, V = np.linalg.eigh(T[:, :p, :p])
    left = 1.0 - shares
    free = left > DETERMINED
    inverse = np.where(free, 1.0 / np.where(free, left, 1.0), 0.0)
    along = (s[:, None, :] @ V)[:, 0, :]                               # V's
    step = (V @ (inverse * along)[:, :, None])[:, :, 0]
    lost = ((R @ (V * ~free[:, None, :])) ** 2).sum(axis=2) > (IN_LOST_DIRECTION**2) * (R**2).sum(axis=1)
    r2 = np.maximum(e.pwrss - residual2 - (along**2 * inverse).sum(axis=1), 0.0)
    degrees = e.n - cases.sizes - (free.sum(axis=1) if e.reml else 0)
    out = _same_theta(fit, len(cases))
    out.comparable = ~lost
    out.beta = np.where(lost, np.nan, e.beta - step @ R.T)
    out.sigma = np.sqrt(np.where(degrees > 0, r2 / np.maximum(degrees, 1), np.nan))
    RV = R @ V
    out.covariances = (out.sigma**2)[:, None, None] * ((RV * inverse[:, None, :]) @ RV.transpose(0, 2, 1))
    out.covariances[lost[:, :, None] | lost[:, None, :]] = np.nan
    _say_what_is_lost(fit, out)
    return out


def _projected(fit, clusters):
    """[X r]'H^-1 [X r] by cluster, (G, p+1, p+1), as the cross-products hold X and r."""
    design, products = fit._rows.design, fit._products
    r = shifted_response(design, products.beta0)
    upper = fixed_by_cluster(design, clusters, r) if products.p else np.zeros((clusters.size, 0, 1))
    r2 = np.bincount(clusters.codes, weights=r**2 if design.weights is None else r**2 * design.weights)
    last = np.concatenate([upper[:, :, -1], r2[:, None]], axis=1)
    whole = np.concatenate([upper, last[:, None, :]], axis=1)
    UtU, UtXr, pairs = elimination.in_spherical_columns(
        elimination.templates(fit), products.ZtWZ, products.ZtWXy, products.pairs
    )
    return less_random_part(whole, [U + np.eye(U.shape[1]) for U in UtU], UtXr, pairs, clusters)


def _with_residual(root, beta):
    """M with [X root, r - X beta] = [X r] M, (p+1, p+1)."""
    p = len(beta)
    M = np.zeros((p + 1, p + 1))
    M[:p, :p], M[:p, p], M[p, p] = root, -beta, 1.0
    return M


def _congruent(T, M):
    out = M.T @ T @ M
    return (out + out.transpose(0, 2, 1)) / 2.0
