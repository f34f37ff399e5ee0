"""Cluster-robust covariances: against clubSandwich, the definition, and invariances."""

import pickle
import time

import numpy as np
import pandas as pd
import pytest
from some_cases import CASES, FOLDER, data_of, fitted_case, reference

from fastlmm_hlm import coef_test, datasets, getME, lmer, vcov_robust
from fastlmm_hlm.errors import ArgumentError, RowsNotKeptError, UnknownNameError
from fastlmm_hlm.inference.robust import TYPES
from fastlmm_hlm.inference.sandwich import nodes

# R's optimum is good to about 1e-8 in theta (nlme's to 1e-7), and the covariance is a smooth function of it.
AGAINST_R = 1e-6
# The definition inverts matrices with as many rows as the data.
AGAINST_DEFINITION = 1e-9
# Sums in another order.
ROUNDING = 1e-10
# Smaller p-values are not doubles of full precision.
SMALLEST = 1e-300
ROBUST = [name for name, case in CASES.items() if case.get("robust", True)]


def relative(V, W):
    """Largest difference of two covariance matrices in units of standard deviations."""
    sd = np.sqrt(np.diagonal(W))
    return np.abs(V - W).max(initial=0.0) if not sd.any() else (np.abs(V - W) / np.outer(sd, sd)).max()


def order_of(fit, names):
    return [list(fit._x_names).index(name) for name in names]


# --- R ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROBUST)
def test_covariances_and_degrees_of_freedom_are_those_of_clubsandwich(name):
    fit, cluster = fitted_case(name)
    answers = reference("robust.json")[name]
    order = order_of(fit, answers["names"])
    assert set(answers["vcov"]) >= set(TYPES) - {"CR3"}
    for type, W in answers["vcov"].items():
        if type == "CR1p" and fit.vcov_robust(cluster, "CR0").attrs["clusters"] <= len(order):
            continue                                   # R divides by zero
        V = vcov_robust(fit, cluster, type).to_numpy()[np.ix_(order, order)]
        assert relative(V, np.array(W)) < AGAINST_R, type
        ours = coef_test(fit, type, cluster, "All").iloc[order]
        theirs = answers["tests"][type]
        for column in ("SE", "df_Satt", "df_t", "df_tp"):
            wanted = np.array(theirs[column], dtype=float)
            wanted[wanted <= 0] = np.nan               # R's p-values are NaN there
            np.testing.assert_allclose(ours[column], wanted, rtol=AGAINST_R, err_msg=f"{type} {column}")
        for column in ("p_z", "p_t", "p_Satt"):        # a p-value loses as many digits as its logarithm has
            a, b = (np.log(np.maximum(np.array(p, dtype=float), SMALLEST)) for p in (ours[column], theirs[column]))
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=f"{type} {column}")


@pytest.mark.parametrize("name", ["sleepstudy_unbalanced", "hsb_cross_level", "pixel", "oxide", "egsingle", "pastes"])
def test_the_table_prints_as_clubsandwich_prints_it(name):
    fit, cluster = fitted_case(name)
    wanted = [line.rstrip() for line in reference("robust.json")[name]["text"]]
    got = [line.rstrip() for line in str(coef_test(fit, "CR2", cluster)).splitlines()]
    assert sorted(got) == sorted(wanted)


# --- the definition --------------------------------------------------------------------------


def dense_pieces(fit, cluster):
    """X, e, the blocks of H by cluster, bread: written out."""
    X, Z = fit.model_matrix().to_numpy(), getME(fit, "Z").toarray()
    Lambda, w = getME(fit, "Lambda").toarray(), fit.weights().to_numpy()
    U = Z @ Lambda
    H = np.diag(1.0 / w) + U @ U.T
    offset = getME(fit, "offset")
    e = getME(fit, "y") - offset - X @ fit.fixef().to_numpy()
    groups = [np.flatnonzero(cluster == g) for g in np.unique(cluster)]
    M = np.linalg.inv(X.T @ np.linalg.solve(H, X))
    return X, e, H, M, groups


def power(B, exponent):
    """Symmetric power, null directions left out."""
    values, vectors = np.linalg.eigh((B + B.T) / 2)
    kept = values > 1e-10 * values.max()
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


def dense_sandwich(fit, cluster, type):
    """Covariance and degrees of freedom by Pustejovsky and Tipton's formulas, n x n and all."""
    X, e, H, M, groups = dense_pieces(fit, cluster)
    n, p, G = *X.shape, len(groups)
    factor = {"CR1": G / (G - 1), "CR1p": G / (G - p), "CR1S": G * (n - 1) / ((G - 1) * (n - p))}.get(type, 1.0)
    meat, g_vectors = np.zeros((p, p)), np.zeros((G, p, n))
    for k, i in enumerate(groups):
        Xg, Hg = X[i], H[np.ix_(i, i)]
        if type == "CR2":
            root = np.linalg.cholesky(Hg).T
            A = root.T @ power(root @ (Hg - Xg @ M @ Xg.T) @ root.T, -0.5) @ root
        elif type == "CR3":
            A = np.linalg.inv(np.eye(len(i)) - Xg @ M @ Xg.T @ np.linalg.inv(Hg))
        else:
            A = np.eye(len(i)) * np.sqrt(factor)
        C = Xg.T @ np.linalg.solve(Hg, A)
        meat += np.outer(C @ e[i], C @ e[i])
        g_vectors[k][:, i] = M @ C
    covariance = H - X @ M @ X.T                      # of the residuals
    df = []
    for j in range(p):
        gamma = g_vectors[:, j] @ covariance @ g_vectors[:, j].T
        df.append(np.trace(gamma) ** 2 / (gamma**2).sum())
    return M @ meat @ M, np.array(df)


def crossed_within():
    """Classes and teachers crossed within schools, weighted, with an offset."""
    rng = np.random.default_rng(3)
    n = 150
    school = rng.integers(9, size=n)
    klass, teacher = school * 4 + rng.integers(4, size=n), school * 3 + rng.integers(3, size=n)
    x, z = rng.normal(size=n), rng.normal(size=9)[school]
    y = x * (1 + rng.normal(size=9)[school]) + z + 1.5 * rng.normal(size=9)[school] + rng.normal(size=36)[klass]
    y += rng.normal(size=27)[teacher] * 0.7 + 0.5 * rng.normal(size=n) * (1 + (x > 0))
    return pd.DataFrame({"y": y, "x": x, "z": z, "school": school, "klass": klass, "teacher": teacher,
                         "w": rng.uniform(0.3, 4.0, size=n), "o": rng.normal(size=n)})


DEFINED = {
    "crossed within clusters": ("y ~ x + z + (1 | klass) + (1 | teacher) + (1 | school)", {}),
    "crossed within clusters, weighted": ("y ~ x + z + offset(o) + (x | klass) + (1 | teacher)", {"weights": "w"}),
    "nested, weighted": ("y ~ x * z + (1 | klass) + (x | school)", {"weights": "w"}),
    "a column far from zero": ("y ~ I(x + 2000) + (1 + I(x + 2000) | school)", {}),
    "no intercept, years": ("y ~ 0 + x + z + (0 + x | klass)", {"REML": False}),
    "cs": ("y ~ x + cs(x | school)", {}),
    "one school has its own mean and slope": ("y ~ x * I(school == 3) + (x | school)", {"weights": "w"}),
}


@pytest.mark.parametrize("case", DEFINED)
def test_every_type_is_its_definition(case):
    formula, how = DEFINED[case]
    d = crossed_within()
    fit = lmer(formula, d, **how)
    tolerance = 1e-6 if "far from zero" in case else AGAINST_DEFINITION          # the definition does not centre
    for type in TYPES:
        if type == "CR3" and "its own" in case:
            continue                                                              # it has no inverse there
        V, df = dense_sandwich(fit, d["school"].to_numpy(), type)
        assert relative(vcov_robust(fit, "school", type).to_numpy(), V) < tolerance, type
        np.testing.assert_allclose(coef_test(fit, type, "school")["df_Satt"], df, rtol=tolerance, err_msg=type)


def test_quadrature_gives_the_inverse_square_root():
    for low, high in [(1.0, 1.0), (1.0, 30.0), (0.2, 1e5), (1e-6, 1e9)]:
        x = np.geomspace(low, high, 101)
        t, w = nodes(low, high)
        assert np.abs((w / (t**2 + x[:, None])).sum(axis=1) * np.sqrt(x) - 1.0).max() < 1e-10
        assert len(t) < 80


# --- invariances -------------------------------------------------------------------------------


@pytest.mark.parametrize("type", TYPES)
def test_the_order_of_rows_does_not_matter(type):
    d = crossed_within()
    turned = d.sample(frac=1.0, random_state=1)
    a, b = (lmer("y ~ x + z + (1 | klass) + (1 | school)", data, weights="w") for data in (d, turned))
    assert relative(vcov_robust(b, type=type).to_numpy(), vcov_robust(a, type=type).to_numpy()) < 1e-7    # two optima
    np.testing.assert_allclose(coef_test(b, type)["df_Satt"], coef_test(a, type)["df_Satt"], rtol=1e-7)


def test_units_of_a_predictor_scale_its_row_and_column():
    d = crossed_within()
    d["x2"] = 1000.0 * d["x"]
    a, b = lmer("y ~ x + z + (1 | school)", d), lmer("y ~ x2 + z + (1 | school)", d)
    scale = np.diag([1.0, 1e-3, 1.0])
    assert relative(vcov_robust(b).to_numpy(), scale @ vcov_robust(a).to_numpy() @ scale) < 1e-7
    np.testing.assert_allclose(coef_test(b)["df_Satt"], coef_test(a)["df_Satt"], rtol=1e-7)


def test_clusters_may_be_named_or_given():
    d = crossed_within()
    d["text"] = pd.Categorical("s" + d["school"].astype(str))
    fit = lmer("y ~ x + (1 | klass)", d)
    wanted = vcov_robust(fit, "school").to_numpy()
    for cluster in ("text", d["school"], d["school"].to_numpy(), list(d["text"]), d["school"].sample(frac=1.0, random_state=2)):
        assert relative(vcov_robust(fit, cluster).to_numpy(), wanted) < ROUNDING
    half = lmer("y ~ x + (1 | klass)", d, subset="school > 3")
    for cluster in ("school", d["school"].to_numpy(), d["school"][d["school"] > 3].to_numpy()):
        assert vcov_robust(half, cluster).attrs == {"type": "CR2", "cluster": "school" if isinstance(cluster, str) else "cluster",
                                                    "clusters": 5}


def test_the_outermost_factor_is_the_default_cluster():
    d = crossed_within()
    nested = lmer("y ~ x + (1 | klass) + (1 | school)", d)
    assert vcov_robust(nested).attrs["cluster"] == "school"
    np.testing.assert_array_equal(vcov_robust(nested), vcov_robust(nested, "school"))


def test_methods_and_functions_are_the_same():
    fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    pd.testing.assert_frame_equal(fit.vcov_robust(type="CR1"), vcov_robust(fit, type="CR1"))
    pd.testing.assert_frame_equal(pd.DataFrame(fit.coef_test()), pd.DataFrame(coef_test(fit)))
    assert "<table" in coef_test(fit)._repr_html_()


def test_huge_clusters_cost_no_matrix_of_their_size():
    rng = np.random.default_rng(5)
    n = 120_000                                        # 20,000 rows per cluster: H_g alone would take 3.2 GB
    d = pd.DataFrame({"g": rng.integers(6, size=n), "x": rng.normal(size=n)})
    d["k"] = d["g"] * 500 + rng.integers(500, size=n)
    d["y"] = d["x"] + rng.normal(size=6)[d["g"]] + rng.normal(size=3000)[d["k"]] + rng.normal(size=n)
    fit = lmer("y ~ x + (x | k) + (1 | g)", d)
    began = time.perf_counter()
    table = coef_test(fit)
    assert time.perf_counter() - began < 20.0          # a tenth of a second when the machine is free
    assert 4.0 < table["df_Satt"].iloc[0] < 5.1


# --- what is refused ----------------------------------------------------------------------------------


def test_crossed_factors_need_a_cluster():
    fit = lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", datasets.load("Penicillin"))
    with pytest.raises(ArgumentError, match="'plate' and 'sample' are not nested"):
        vcov_robust(fit)
    with pytest.raises(ArgumentError, match="'sample' is not nested in the clusters 'plate'"):
        coef_test(fit, cluster="plate")


def test_bad_clusters_are_refused_by_name():
    d = crossed_within()
    d["gap"] = np.where(d["school"] == 2, np.nan, d["school"])
    d["one"] = 1
    fit = lmer("y ~ x + (1 | klass)", d)
    with pytest.raises(UnknownNameError, match="'scool' is neither a grouping factor .klass. nor a column"):
        vcov_robust(fit, "scool")
    with pytest.raises(ArgumentError, match="missing values"):
        vcov_robust(fit, "gap")
    with pytest.raises(ArgumentError, match="1 cluster"):
        vcov_robust(fit, "one")
    with pytest.raises(ArgumentError, match=r"shape \(3,\)"):
        vcov_robust(fit, [1, 2, 3])
    with pytest.raises(ArgumentError, match="'klass' is not nested"):
        vcov_robust(fit, "teacher")


def test_unknown_types_and_tests_are_refused():
    fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    with pytest.raises(ArgumentError, match="CR9"):
        vcov_robust(fit, type="CR9")
    with pytest.raises(ArgumentError, match="'t'"):
        coef_test(fit, test="t")
    with pytest.raises(RowsNotKeptError, match="vcov_robust"):
        vcov_robust(pickle.loads(pickle.dumps(fit)))
    few = lmer("Reaction ~ poly(Days, 3) + (1 | Subject)", datasets.load("sleepstudy"))
    with pytest.raises(ArgumentError, match="3 - 4"):
        vcov_robust(few, few._rows.design.factors[0].codes % 3, "CR1p")


def test_a_model_without_fixed_effects_has_no_such_covariance():
    fit = lmer("Reaction ~ 0 + (1 | Subject)", datasets.load("sleepstudy"))
    with pytest.raises(ArgumentError, match="no fixed effects"):
        vcov_robust(fit)


def test_the_stored_answers_cover_weights_slopes_nesting_and_imbalance():
    assert (FOLDER / "make_robust_reference.R").exists() and len(ROBUST) >= 14
    assert sum(bool(CASES[name].get("weights")) for name in ROBUST) == 3
    assert all(len(data_of(CASES[name])) > 10 for name in ROBUST)
