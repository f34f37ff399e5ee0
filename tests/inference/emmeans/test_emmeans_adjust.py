"""Adjustments for several tests against definitions, closed forms and special cases."""

import itertools

import numpy as np
import pytest
from scipy import stats

from fastlmm_hlm.inference.emmeans.adjust import adjusted_pvalues, critical_values, plain_pvalues, tukey_inside
from fastlmm_hlm.inference.emmeans.contrasts import coefficients

EXACT = 1e-10
# Quadrature of a distribution function.
QUADRATURE = 2e-8
# Quasi-random integration in three dimensions or more.
QUASI_RANDOM = 3e-4
T = np.array([2.9, -1.1, 2.2, 0.3, -2.5])
DF = np.array([12.0, 30.5, 8.2, np.inf, 21.0])


def adjusted(t, df, method, **options):
    k = len(t)
    given = {"side": 0, "family": k, "rank": k, "correlation": np.eye(k), **options}
    return adjusted_pvalues(np.asarray(t, dtype=float), np.asarray(df, dtype=float), method, **given)


def simes_closed(p):
    """Every set that holds the hypothesis is tested by Simes; the worst one counts."""
    n = len(p)
    out = np.zeros(n)
    for size in range(1, n + 1):
        for members in itertools.combinations(range(n), size):
            ranked = np.sort(p[list(members)])
            value = (size * ranked / np.arange(1, size + 1)).min()
            for i in members:
                out[i] = max(out[i], value)
    return out


def bonferroni_closed(p):
    n = len(p)
    out = np.zeros(n)
    for size in range(1, n + 1):
        for members in itertools.combinations(range(n), size):
            value = min(1.0, size * p[list(members)].min())
            for i in members:
                out[i] = max(out[i], value)
    return out


def test_plain_pvalues_are_those_of_t_and_of_the_normal():
    expected = [2 * stats.t.sf(abs(t), d) if np.isfinite(d) else 2 * stats.norm.sf(abs(t)) for t, d in zip(T, DF)]
    np.testing.assert_allclose(plain_pvalues(T, DF, 0), expected, rtol=EXACT)
    np.testing.assert_allclose(plain_pvalues(T, DF, 1) + plain_pvalues(T, DF, -1), 1.0, rtol=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_hommel_and_holm_are_closed_tests(seed):
    t = np.random.default_rng(seed).normal(0, 2, 6)
    df = np.full(6, 15.0)
    p = plain_pvalues(t, df, 0)
    np.testing.assert_allclose(adjusted(t, df, "hommel"), simes_closed(p), rtol=EXACT)
    np.testing.assert_allclose(adjusted(t, df, "holm"), bonferroni_closed(p), rtol=EXACT)


def test_false_discovery_rates_are_scipys():
    p = plain_pvalues(T, DF, 0)
    np.testing.assert_allclose(adjusted(T, DF, "fdr"), stats.false_discovery_control(p), rtol=EXACT)
    np.testing.assert_allclose(adjusted(T, DF, "BY"), stats.false_discovery_control(p, method="by"), rtol=EXACT)


def test_hochberg_lies_between_hommel_and_holm():
    hommel, hochberg, holm = (adjusted(T, DF, method) for method in ("hommel", "hochberg", "holm"))
    assert (hommel <= hochberg + EXACT).all() and (hochberg <= holm + EXACT).all()


def test_tukey_of_two_means_is_the_plain_test():
    np.testing.assert_allclose(adjusted(T[:1], DF[:1], "tukey", family=2), plain_pvalues(T[:1], DF[:1], 0), rtol=1e-6)


def test_tukey_is_scipys_tukey_hsd_for_equal_groups():
    rng = np.random.default_rng(3)
    groups = [rng.normal(m, 1, 12) for m in (0, 0.6, 1.5)]
    found = stats.tukey_hsd(*groups)
    s2 = np.mean([g.var(ddof=1) for g in groups])
    t = [(groups[i].mean() - groups[j].mean()) / np.sqrt(2 * s2 / 12) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = [found.pvalue[i, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(adjusted(t, [33.0] * 3, "tukey"), expected, rtol=1e-6)


@pytest.mark.parametrize("means", [2, 3, 8, 40])
@pytest.mark.parametrize("df", [2.0, 7.3, 60.0, 5000.0, np.inf])
def test_the_studentized_range_is_scipys(means, df):
    for t in (0.4, 1.5, 2.8, 4.5):
        expected = stats.studentized_range.cdf(t * np.sqrt(2), means, df)
        assert tukey_inside(t, means, df) == pytest.approx(expected, abs=QUADRATURE)


def test_scheffe_of_rank_one_is_the_plain_test():
    np.testing.assert_allclose(adjusted(T, DF, "scheffe", rank=1), plain_pvalues(T, DF, 0), rtol=EXACT)


def test_mvt_of_independent_normals_is_sidak():
    t, df = np.array([2.0, 1.0, 0.5]), np.full(3, np.inf)
    np.testing.assert_allclose(adjusted(t, df, "mvt"), adjusted(t, df, "sidak"), atol=QUASI_RANDOM)


def test_mvt_of_two_statistics_is_the_bivariate_normal():
    R = np.array([[1.0, 0.3], [0.3, 1.0]])
    inside = stats.multivariate_normal(cov=R).cdf([1.7, 1.7], lower_limit=[-1.7, -1.7])
    assert adjusted([1.7, 0.4], [np.inf] * 2, "mvt", correlation=R)[0] == pytest.approx(1 - inside, abs=1e-6)
    one_sided = stats.multivariate_normal(cov=R).cdf([1.7, 1.7])
    assert adjusted([1.7, 0.4], [np.inf] * 2, "mvt", correlation=R, side=1)[0] == pytest.approx(1 - one_sided, abs=1e-6)
    below = stats.multivariate_normal(cov=R).cdf([-0.4, -0.4])
    assert adjusted([-0.4, 0.4], [np.inf] * 2, "mvt", correlation=R, side=1)[0] == pytest.approx(1 - below, abs=1e-6)


def test_mvt_of_all_differences_is_tukey_although_the_correlation_is_singular():
    _, C = coefficients("pairwise", list("abcd"), "test")
    V = C @ C.T
    R = V / np.sqrt(np.outer(np.diag(V), np.diag(V)))
    t, df = np.array([3.1, 2.0, 1.0, 0.2, 2.6, 0.0]), np.full(6, 14.0)
    np.testing.assert_allclose(adjusted(t, df, "mvt", correlation=R), adjusted(t, df, "tukey", family=4), atol=QUASI_RANDOM)


@pytest.mark.parametrize("tests", [2, 3, 6])
@pytest.mark.parametrize("df", [5.0, 42.3, np.inf])
def test_dunnettx_is_the_mvt_with_correlations_of_one_half(tests, df):
    R = np.full((tests, tests), 0.5) + 0.5 * np.eye(tests)
    t = np.linspace(0.5, 3.0, tests)
    found = adjusted(t, [df] * tests, "dunnettx", correlation=R)
    np.testing.assert_allclose(found, adjusted(t, [df] * tests, "mvt", correlation=R), atol=QUASI_RANDOM)
    assert adjusted([2.0], [df], "dunnettx")[0] == pytest.approx(plain_pvalues(np.array([2.0]), np.array([df]), 0)[0], abs=QUADRATURE)


@pytest.mark.parametrize("method", ["none", "tukey", "sidak", "bonferroni", "scheffe", "dunnettx", "mvt"])
@pytest.mark.parametrize("df", [9.5, np.inf])
def test_limits_stand_where_the_adjusted_pvalue_is_one_minus_the_level(method, df):
    k, R = 3, np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    reach = critical_values(0.9, np.full(k, df), method, 0, k, 2, R)
    p = adjusted_pvalues(reach, np.full(k, df), method, 0, k, 2, R)
    np.testing.assert_allclose(p, 0.1, atol=1e-6)


def test_the_same_call_gives_the_same_bits():
    R = np.full((5, 5), 0.3) + 0.7 * np.eye(5)
    one, other = (adjusted(T, DF, "mvt", correlation=R) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_missing_statistics_stay_missing_and_do_not_count_as_tests():
    t = np.array([2.0, np.nan, 1.0])
    found = adjusted(t, [10.0] * 3, "holm")
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], adjusted(t[[0, 2]], [10.0] * 2, "holm"), rtol=EXACT)
