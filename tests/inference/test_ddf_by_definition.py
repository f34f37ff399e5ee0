"""Degrees of freedom against their definitions in dense n x n matrices and differences."""

import warnings

import numpy as np
import pytest
from some_models import MODELS, fitted

from fastlmm_hlm import lmer
from fastlmm_hlm.errors import ArgumentError, FastlmmWarning
from fastlmm_hlm.inference import kenward_roger, satterthwaite
from fastlmm_hlm.inference.ddf import method_of
from fastlmm_hlm.inference.projectedeffects import ProjectedEffects, core_parts, dense_order, is_block_diagonal
from fastlmm_hlm.inference.projections import Projections
from reference.lmm_dense import DenseLmm

# The parts and the dense matrices differ by rounding in condition numbers up to about 1e5.
ACCURACY = 1e-8
# Second differences of a criterion of about 1e3 with steps of 1e-3: 1e-13 * 1e3 / 1e-6 beside curvatures above 1.
DIFFERENCES = 2e-4
# One-sided differences of the exact gradient with relative steps of 1e-6.
ONE_SIDED = 2e-5

WITH_FIXED = [name for name in MODELS if name != "no fixed effects"]
INTERIOR = [name for name in WITH_FIXED if name != "zero variance"]
every_model = pytest.mark.parametrize("name", WITH_FIXED)


class Dense:
    """One fit in full: X, Z, w, y and the covariance of all random effects as a function of parameters."""

    def __init__(self, fit):
        design = fit._rows.design
        self.fit, self.X = fit, design.X
        self.Z = fit.model_matrix("random").toarray()
        self.w = np.ones(design.n) if design.weights is None else design.weights
        self.y = design.y - (0.0 if design.offset is None else design.offset)
        self.criterion, self.par = fit._criterion.aligned_at(fit._estimates.templates)
        self.scale = fit._criterion.scales

    def whole(self, blocks):
        """Block diagonal matrix of all random effects from one block per term, in lme4's order."""
        q = self.Z.shape[1]
        out, at = np.zeros((q, q)), 0
        for term, block in zip(self.fit._terms, blocks):
            nl = len(self.fit._factor_labels[term.factor][1])
            size = nl * len(block)
            out[at : at + size, at : at + size] = np.kron(np.eye(nl), block)
            at += size
        return out

    def Psi(self, par):
        return self.whole([T @ T.T for T in self.criterion.templates(par)])

    def at(self, par):
        return DenseLmm(self.y, self.X, self.Z, self.Psi(par), self.w, self.fit.isREML())


def dense_satterthwaite(dense, L):
    """2 f^2 / g'A g with Hessian and gradient by central differences in (par, log sigma^2)."""
    fit, par, m = dense.fit, dense.par, len(dense.par)

    def deviance(point):
        model = dense.at(point[:m])
        N, s = model.degrees, point[m]
        profiled = model.criterion() - N * (1.0 + np.log(2.0 * np.pi * model.pwrss / N))
        return profiled + N * (np.log(2.0 * np.pi) + s) + model.pwrss * np.exp(-s)

    def variances(point):
        C = dense.at(point[:m]).XtVinvX
        return np.exp(point[m]) * np.einsum("mp,pq,mq->m", L, np.linalg.inv(C), L)

    point, h = np.append(par, 2.0 * np.log(fit.sigma())), 1e-3
    steps = h * np.eye(m + 1)
    H = np.empty((m + 1, m + 1))
    for i in range(m + 1):
        for j in range(i + 1):
            a, b = steps[i], steps[j]
            corners = deviance(point + a + b) - deviance(point + a - b) - deviance(point - a + b) + deviance(point - a - b)
            H[i, j] = H[j, i] = corners / (4.0 * h * h)
    g = np.array([(variances(point + a) - variances(point - a)) / (2.0 * h) for a in steps])
    f = variances(point)
    return 2.0 * f**2 / np.einsum("im,ij,jm->m", g, 2.0 * np.linalg.inv(H), g)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "all at once" else n for n in INTERIOR])
def test_satterthwaites_degrees_of_freedom_follow_from_their_definition(name):
    fit = fitted(name)
    p = len(fit.fixef())
    L = np.vstack([np.eye(p), np.random.default_rng(3).normal(size=(2, p))])
    np.testing.assert_allclose(method_of(fit).df(L), dense_satterthwaite(Dense(fit), L), rtol=DIFFERENCES)


@every_model
def test_the_parts_of_projected_effects_are_those_of_the_dense_matrices(name):
    fit = fitted(name)
    dense = Dense(fit)
    model = dense.at(dense.par)
    S, E = dense.Z.T @ model.Vinv @ dense.Z, dense.Z.T @ model.Vinv @ dense.X
    working, directions = dense.criterion.directions(dense.par)
    projections = Projections(dense.criterion, fit._estimates, fit._x_centring, directions, core_parts(fit._products))
    whole = []
    for k, (term, s) in enumerate(zip(fit._terms, dense.criterion.slices)):
        basis = dense.criterion.basis_of(term) @ dense.criterion.scales[k]
        for V in working[s]:
            blocks = [np.zeros((len(t.names),) * 2) for t in fit._terms]
            blocks[k] = basis @ V @ basis.T
            whole.append(dense.whole(blocks))
    B = fit._x_centring.B
    back = np.linalg.inv(B)
    for i, D in enumerate(whole):
        K = E.T @ D @ E
        found = back.T @ projections.K[i] @ back
        np.testing.assert_allclose(found, K, rtol=0, atol=ACCURACY * np.abs(model.XtVinvX).max())
        assert projections.t[i] == pytest.approx(np.trace(S @ D), rel=ACCURACY, abs=ACCURACY)
        for j, other in enumerate(whole):
            assert projections.T[i, j] == pytest.approx(np.trace(S @ D @ S @ other), rel=ACCURACY, abs=ACCURACY * len(S))
            Q = E.T @ D @ S @ other @ E
            found = back.T @ projections.Q[i, j] @ back
            np.testing.assert_allclose(found, Q, rtol=0, atol=ACCURACY * np.abs(model.XtVinvX).max())
    np.testing.assert_allclose(projections.information, model.average_information(whole), rtol=ACCURACY, atol=ACCURACY * model.pwrss)


@pytest.mark.parametrize("name", WITH_FIXED)
def test_differences_of_the_gradient_give_the_exact_hessian(name):
    fit = fitted(name)
    criterion, par = fit._criterion.aligned_at(fit._estimates.templates)
    working, directions = criterion.directions(par)
    free = np.array([np.abs(V).max() > 1e-8 for V in working])
    chosen = [d for d, kept in zip(directions, free) if kept]
    made = Projections(criterion, fit._estimates, fit._x_centring, chosen, core_parts(fit._products))
    exact = satterthwaite.exact_hessian(criterion, par, free, made)
    found = satterthwaite.differences(criterion, par, free, made)
    scale = np.sqrt(np.outer(np.diagonal(exact), np.diagonal(exact)))
    np.testing.assert_allclose(found / scale, exact / scale, rtol=0, atol=ONE_SIDED)


def test_degrees_of_freedom_by_differences_are_those_of_the_exact_hessian(monkeypatch):
    fit = fitted("crossed slopes")
    exact = method_of(fit).df(np.eye(len(fit.fixef())))
    monkeypatch.setattr(satterthwaite, "MOST_CORE", -1)
    other = satterthwaite.Satterthwaite(fit._criterion, fit._estimates, fit._x_centring)
    np.testing.assert_allclose(other.df(np.eye(len(fit.fixef()))), exact, rtol=ONE_SIDED)


# --- Kenward and Roger -----------------------------------------------------------------


def dense_kenward_roger(dense):
    """Phi, Phi_A, W and Phi P_i Phi of Kenward & Roger (1997) with G_i row by row."""
    fit, X = dense.fit, dense.X
    s2 = fit.sigma() ** 2
    model = dense.at(dense.par)
    G = [np.diag(1.0 / dense.w)]
    for k, term in enumerate(fit._terms):
        for V in term.covariance.linear_span():
            blocks = [np.zeros((len(t.names),) * 2) for t in fit._terms]
            blocks[k] = V
            G.append(dense.Z @ dense.whole(blocks) @ dense.Z.T)
    inverse = model.Vinv / s2
    Phi = np.linalg.inv(X.T @ inverse @ X)
    P = [-X.T @ inverse @ g @ inverse @ X for g in G]
    Q = [[X.T @ inverse @ g @ inverse @ h @ inverse @ X for h in G] for g in G]
    projected = [(inverse - inverse @ X @ Phi @ X.T @ inverse) @ g for g in G]
    IE = np.array([[(a * b.T).sum() for b in projected] for a in projected]) / 2.0
    W = np.linalg.inv(IE)
    bend = sum(W[i, j] * (Q[i][j] - P[i] @ Phi @ P[j]) for i in range(len(G)) for j in range(len(G)))
    return Phi, Phi + 2.0 * Phi @ bend @ Phi, W, [Phi @ Pi @ Phi for Pi in P]


REML_MODELS = ["slopes", "diag", "weights and offset", "crossed", "nested", "crossed slopes"]


@pytest.mark.parametrize("name", REML_MODELS)
def test_kenward_and_rogers_covariance_and_df_follow_from_the_paper(name):
    fit = fitted(name)
    Phi, adjusted, W, sensitivity = dense_kenward_roger(Dense(fit))
    found = method_of(fit, "Kenward-Roger")
    np.testing.assert_allclose(found.vcov, adjusted, rtol=1e-6, atol=1e-7 * np.abs(adjusted).max())
    for row in np.eye(len(Phi)):
        v = row @ Phi @ row
        t = np.array([row @ s @ row for s in sensitivity]) / v
        assert found.df(row)[0] == pytest.approx(2.0 / (t @ W @ t), rel=1e-6)


def test_kenward_and_roger_take_prior_weights_into_account():
    """A weight of two for every row doubles sigma^2 and changes nothing else; unequal weights are tested by definition above."""
    data = fitted("slopes")._settings.data
    twice = data.assign(w=2.0)
    weighted, plain = (lmer("Reaction ~ Days + (Days | Subject)", twice, weights=w) for w in ("w", None))
    np.testing.assert_allclose(method_of(weighted, "KR").vcov, method_of(plain, "KR").vcov, rtol=1e-6)
    np.testing.assert_allclose(method_of(weighted, "KR").df(np.eye(2)), method_of(plain, "KR").df(np.eye(2)), rtol=1e-5)


def test_kenward_roger_refits_a_fit_by_maximum_likelihood_once_and_says_so():
    data = fitted("slopes")._settings.data
    ml = lmer("Reaction ~ Days + (Days | Subject)", data, REML=False)
    with pytest.warns(FastlmmWarning, match="fitted again by REML"):
        text = str(ml.summary(ddf="Kenward-Roger"))
    assert text.startswith("Linear mixed model fit by REML.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = ml.summary(ddf="KR").coefficients
    np.testing.assert_allclose(table, fitted("slopes").summary(ddf="KR").coefficients, rtol=1e-5)


def test_kenward_roger_refuses_what_is_too_large_and_names_satterthwaite(monkeypatch):
    monkeypatch.setattr(kenward_roger, "MOST_CORE", 5)
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", fitted("crossed")._settings.data)
    with pytest.raises(ArgumentError, match="6 x 6.*ddf='Satterthwaite'"):
        fit.summary(ddf="Kenward-Roger")


def test_kenward_roger_refuses_a_covariance_that_is_not_linear():
    fit = fitted("compound symmetry")
    with pytest.raises(ArgumentError, match="not.*linear|linear in its parameters"):
        method_of(fit, "Kenward-Roger")


# --- large models in parts -------------------------------------------------------------------


def nested_fit(seed=2, classes=120, schools=40):
    import pandas as pd

    rng = np.random.default_rng(seed)
    school = np.arange(classes) % schools
    klass = rng.integers(0, classes, 1500)
    x = rng.normal(size=1500)
    b, c = rng.normal(size=(classes, 2))[klass], rng.normal(size=(schools, 2))[school[klass]]
    y = x + b[:, 0] + c[:, 0] + (b[:, 1] + c[:, 1]) * x + rng.normal(size=1500)
    data = pd.DataFrame({"y": y, "x": x, "klass": klass, "school": school[klass]})
    return lmer("y ~ x + (x | klass) + (x | school)", data)


def test_a_nested_core_is_kept_sparse_and_gives_what_a_dense_one_gives(monkeypatch):
    fit = nested_fit()
    part = core_parts(fit._products)
    assert is_block_diagonal(part) and dense_order(part) == 2
    sparse_df = method_of(fit, "KR").df(np.eye(2)), method_of(fit, "S").df(np.eye(2))
    monkeypatch.setattr("fastlmm_hlm.inference.projectedeffects.LARGEST_SPARSE_PART", 0)
    again = nested_fit()
    assert dense_order(core_parts(again._products)) == 80
    dense_df = method_of(again, "KR").df(np.eye(2)), method_of(again, "S").df(np.eye(2))
    np.testing.assert_allclose(sparse_df, dense_df, rtol=1e-9)


def test_levels_of_the_first_factor_connect_those_of_the_others():
    fit = fitted("crossed slopes")
    assert len(set(core_parts(fit._products))) == 1 and not is_block_diagonal(core_parts(fit._products))
    assert len(core_parts(fitted("slopes")._products)) == 0
    assert isinstance(ProjectedEffects(fit._products, [np.eye(c) for c in fit._criterion.nc]), ProjectedEffects)


# --- the boundary, scales, and the cache -----------------------------------------------------


def test_a_variance_of_zero_leaves_the_degrees_of_freedom_of_least_squares():
    fit = fitted("zero variance")
    assert method_of(fit).df(np.eye(1))[0] == pytest.approx(fit.nobs - 1, rel=1e-9)


def test_degrees_of_freedom_do_not_depend_on_units_or_on_the_zero_of_a_predictor():
    data = fitted("slopes")._settings.data.query("not (Subject == '308' and Days > 5)")
    df = method_of(lmer("Reaction ~ Days + (Days | Subject)", data)).df([0, 1])
    year = data.assign(Days=1000.0 * (data["Days"] + 2000.0), Reaction=data["Reaction"] / 1e6)
    moved = method_of(lmer("Reaction ~ Days + (Days | Subject)", year)).df([0, 1])
    np.testing.assert_allclose(moved, df, rtol=1e-5)


def test_a_method_is_made_once_and_not_pickled():
    import pickle

    fit = lmer("Reaction ~ Days + (Days | Subject)", fitted("slopes")._settings.data)
    assert not fit._ddf_methods
    assert method_of(fit) is method_of(fit, "satterthwaite") and method_of(fit) is not method_of(fit, "lme4")
    again = pickle.loads(pickle.dumps(fit))
    assert not again._ddf_methods
    np.testing.assert_allclose(method_of(again).df(np.eye(2)), method_of(fit).df(np.eye(2)), rtol=1e-9)
    for changed in (fit.refit(fit.fitted().to_numpy() + np.arange(180) % 7), fit.refitML()):
        assert method_of(changed) is not method_of(fit)


def test_an_unknown_method_is_refused():
    with pytest.raises(ArgumentError, match="'Satterthwaite', 'Kenward-Roger' or 'lme4'"):
        fitted("slopes").summary(ddf="chisq")
