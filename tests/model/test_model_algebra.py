"""The pieces of a fit satisfy the equations of Bates et al. (2015), JSS 67(1), sec. 3."""

import numpy as np
import pytest
from reference.lmm_dense import DenseLmm
from some_models import fitted

# Sums of some hundred products of well-scaled numbers.
ROUNDING = 1e-9
# Parts of the optimum that depend on theta, which itself is known to about 1e-7.
SOLUTION = 1e-7


def close(a, b, tolerance=ROUNDING):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max(initial=0.0)))


def pieces(fit, *names):
    return [part.toarray() if hasattr(part, "toarray") else np.asarray(part) for part in map(fit.getME, names)]


def weight_matrix(fit):
    return np.diag(fit.weights().to_numpy())


def penalized(fit):
    """M = Lambda'Z'WZ Lambda + I."""
    Z, Lambda = pieces(fit, "Z", "Lambda")
    return Lambda.T @ Z.T @ weight_matrix(fit) @ Z @ Lambda + np.eye(Z.shape[1])


def dense(fit, reml=None):
    Z, Lambda, X, y, offset = pieces(fit, "Z", "Lambda", "X", "y", "offset")
    return DenseLmm(y - offset, X, Z, Lambda @ Lambda.T, fit.weights().to_numpy(),
                    fit.isREML() if reml is None else reml)


def test_fitted_values_are_offset_plus_fixed_plus_random_part(fit):
    X, Z, b, beta, offset = pieces(fit, "X", "Z", "b", "beta", "offset")
    close(fit.fitted(), offset + X @ beta + Z @ b)
    close(fit.getME("mu"), fit.fitted())


def test_random_effects_are_Lambda_times_the_spherical_ones(fit):
    Lambda, u, b = pieces(fit, "Lambda", "u", "b")
    close(Lambda @ u, b)


def test_L_factors_the_permuted_penalized_matrix(fit):
    L, perm = pieces(fit, "L", "perm")
    assert sorted(perm) == list(range(len(L)))
    assert np.abs(np.triu(L, 1)).max() == 0.0
    M = penalized(fit)[np.ix_(perm, perm)]
    close(L @ L.T, M)


def test_RZX_and_RX_complete_the_cholesky_factor(fit):
    Z, X, Lambda, L, perm, RZX, RX = pieces(fit, "Z", "X", "Lambda", "L", "perm", "RZX", "RX")
    W = weight_matrix(fit)
    close(L @ RZX, (Lambda.T @ Z.T @ W @ X)[perm])
    close(RX.T @ RX, X.T @ W @ X - RZX.T @ RZX)
    assert np.abs(np.tril(RX, -1)).max(initial=0.0) == 0.0
    assert (np.diagonal(RX) > 0).all()


def test_theta_and_Lind_fill_Lambda(fit):
    Lambdat = fit.getME("Lambdat")
    Lambdat.sort_indices()
    theta, Lind = fit.getME("theta"), fit.getME("Lind")
    (Lambda,) = pieces(fit, "Lambda")
    rebuilt = np.zeros_like(Lambda)
    first = 0
    for levels, template in zip(fit.getME("l_i"), fit.getME("Tlist").values()):
        c = len(template)
        for k in range(levels):
            where = slice(first + k * c, first + (k + 1) * c)
            rebuilt[where, where] = template
        first += levels * c
    close(Lambda, rebuilt)
    stored = np.concatenate([T.T[np.triu_indices(len(T))] for T in fit.getME("Tlist").values()])
    close(theta, stored)
    assert Lind.min() == 1 and Lind.max() == len(theta)
    pattern = sum(levels * p * (p + 1) // 2 for levels, p in zip(fit.getME("l_i"), fit.getME("p_i")))
    assert len(Lind) == pattern


def test_Z_and_its_transpose_and_its_blocks_agree(fit):
    Z, Zt, A, Lambda = pieces(fit, "Z", "Zt", "A", "Lambda")
    close(Zt, Z.T)
    close(A, Lambda.T @ Z.T)
    blocks = [block.toarray() for block in fit.getME("mmList").values()]
    close(np.hstack(blocks), Z)
    close(np.vstack([block.toarray() for block in fit.getME("Ztlist").values()]), Z.T)
    close(fit.model_matrix("random").toarray(), Z)


def test_the_factor_list_tells_which_entries_of_Z_are_filled(fit):
    flist = fit.getME("flist")
    assert list(flist.columns) == list(fit.ngrps().index)
    first = 0
    (Z,) = pieces(fit, "Z")
    for name, levels, width in zip(fit.getME("cnms"), fit.getME("l_i"), fit.getME("p_i")):
        factor = next(g for g in flist.columns if name == g or name.startswith(g + "."))
        codes = flist[factor].cat.codes.to_numpy()
        block = Z[:, first : first + levels * width].reshape(len(Z), levels, width)
        outside = np.ones((len(Z), levels), dtype=bool)
        outside[np.arange(len(Z)), codes] = False
        assert not block[outside].any()
        first += levels * width


def test_counts_agree_with_the_matrices(fit):
    X, Z = pieces(fit, "X", "Z")
    assert fit.getME("n") == fit.nobs == fit.nobs() == len(fit.getME("y")) == len(X)
    assert fit.getME("p") == X.shape[1] == len(fit.fixef())
    assert fit.getME("q") == Z.shape[1] == fit.getME("q_i").sum() == fit.getME("Gp")[-1]
    assert fit.getME("m") == len(fit.theta) == fit.getME("m_i").sum() == fit.getME("Tp")[-1] == len(fit.getME("lower"))
    assert fit.getME("k") == fit.getME("n_rtrms") == len(fit.VarCorr()) == len(fit.getME("cnms"))
    assert fit.getME("n_rfacs") == len(fit.ngrps()) == len(fit.ranef(condVar=False))
    assert fit.df_residual() == fit.nobs - fit.npar


def test_devcomp_holds_the_terms_of_the_criterion(fit):
    cmp, dims = fit.getME("devcomp")["cmp"], fit.getME("devcomp")["dims"]
    L, RX, u = pieces(fit, "L", "RX", "u")
    close(cmp["ldL2"], 2.0 * np.log(np.diagonal(L)).sum())
    close(cmp["ussq"], u @ u, SOLUTION)
    weighted = (fit.weights() * fit.residuals() ** 2).sum()
    close(cmp["wrss"], weighted, SOLUTION)
    close(cmp["pwrss"], weighted + u @ u, SOLUTION)
    close(cmp["ldRX2"], 2.0 * np.log(np.diagonal(RX)).sum())
    N = dims["n"] - dims["p"] if fit.isREML() else dims["n"]
    close(fit.sigma() ** 2, cmp["pwrss"] / N)
    value = cmp["ldL2"] + N * (1 + np.log(2 * np.pi * cmp["pwrss"] / N)) - np.log(fit.weights()).sum()
    close(value + (cmp["ldRX2"] if fit.isREML() else 0.0), fit.deviance(REML=fit.isREML()))


def test_estimates_are_those_of_generalized_least_squares(fit):
    truth = dense(fit)
    beta, b = pieces(fit, "beta", "b")
    close(beta, truth.beta, SOLUTION)
    close(b, truth.modes(), SOLUTION)
    close(fit.sigma() ** 2, truth.sigma2, SOLUTION)
    close(fit.vcov(), truth.vcov(), SOLUTION)


@pytest.mark.parametrize("reml", [True, False])
def test_both_likelihoods_equal_the_normal_density(fit, reml):
    truth = dense(fit, reml)
    close(fit.deviance(REML=reml), truth.criterion())
    close(float(fit.logLik(REML=reml)), -0.5 * truth.criterion())


def test_conditional_variances_are_the_dense_ones(fit):
    V = dense(fit).conditional_variance()
    ranef = fit.ranef(condVar=True)
    starts = dict(zip(fit.getME("cnms"), fit.getME("Gp")))
    widths = dict(zip(fit.getME("cnms"), fit.getME("p_i")))
    for group, frame in ranef.items():
        terms = [t for t in starts if t == group or t.startswith(group + ".")]
        for level in range(len(frame)):
            rows = np.concatenate([starts[t] + level * widths[t] + np.arange(widths[t]) for t in terms])
            close(ranef.condVar[group][level], V[np.ix_(rows, rows)], SOLUTION)


def test_devfun_is_the_criterion_of_any_theta(fit):
    devfun, at = fit.devfun(), fit.theta
    best = fit.deviance(REML=fit.isREML())
    close(devfun(at), best)
    again = fit.getME("devfun")
    close(again(at), best)


UNSTRUCTURED = ["slopes", "weights and offset", "crossed", "nested", "no fixed effects", "crossed slopes",
                "all at once", "zero variance"]
DIAGONAL = ["independent slopes, ML", "diag"]


def diagonal_of(fit):
    """True for the elements of theta on the diagonal of a template."""
    return fit.getME("lower") == 0.0


@pytest.mark.parametrize("name", UNSTRUCTURED + DIAGONAL)
def test_devfun_is_larger_all_around_the_optimum(name):
    fit = fitted(name)
    devfun, at, best = fit.devfun(), fit.theta, fit.deviance(REML=fit.isREML())
    free = diagonal_of(fit) if name in DIAGONAL else np.ones(len(at), dtype=bool)
    rng = np.random.default_rng(7)
    steps = [0.02 * sign * np.eye(len(at))[k] for k in np.flatnonzero(free) for sign in (-1, 1)]
    steps += [0.02 * rng.normal(size=len(at)) * free for _ in range(10)]
    for step in steps:
        assert devfun(at + step) >= best - 1e-9


def test_devfun_is_larger_for_other_compound_symmetric_covariances():
    fit = fitted("compound symmetry")
    devfun, best = fit.devfun(), fit.deviance(REML=True)
    Psi = fit.VarCorr()["g"].to_numpy() / fit.sigma() ** 2
    sd, R = np.sqrt(np.diagonal(Psi)), fit.VarCorr()["g"].correlation.to_numpy()
    rho = R[0, 1]
    close(R[~np.eye(3, dtype=bool)], np.full(6, rho), SOLUTION)

    def theta(sd, rho):
        covariance = np.outer(sd, sd) * (np.eye(3) + rho * (1 - np.eye(3)))
        return np.linalg.cholesky(covariance).T[np.triu_indices(3)]

    close(devfun(theta(sd, rho)), best)
    for step in 0.02 * np.vstack([np.eye(4), -np.eye(4)]):
        assert devfun(theta(sd + step[:3], rho + step[3])) > best


def test_devfun_equals_the_dense_criterion_away_from_the_optimum():
    fit = fitted("crossed slopes")
    Z, X, y = pieces(fit, "Z", "X", "y")
    theta = fit.theta * 0.6 + 0.11
    T = np.zeros((2, 2))
    T[[0, 1, 1], [0, 0, 1]] = theta[:3]
    Lambda = np.block([[np.kron(np.eye(17), T), np.zeros((34, 9))], [np.zeros((9, 34)), theta[3] * np.eye(9)]])
    truth = DenseLmm(y, X, Z, Lambda @ Lambda.T, np.ones(len(y)), True)
    close(fit.devfun()(theta), truth.criterion())


def test_devfun_does_not_disturb_the_fit(sleep_fit):
    before = sleep_fit.fixef(), sleep_fit.ranef(), sleep_fit.getME("L").toarray()
    sleep_fit.devfun()(np.array([3.0, -1.0, 0.2]))
    close(sleep_fit.fixef(), before[0])
    close(sleep_fit.ranef()["Subject"], before[1]["Subject"])
    close(sleep_fit.ranef().condVar["Subject"], before[1].condVar["Subject"])
    close(sleep_fit.getME("L").toarray(), before[2])
