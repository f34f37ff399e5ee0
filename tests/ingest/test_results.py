"""A fit from a file answers as one from memory, and writes what has one number per row."""

import pickle

import numpy as np
import pandas as pd
import pytest
from blocks_of_school import school_data

from fastlmm_hlm import lmer
from fastlmm_hlm.model import streaming

pytestmark = pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.SingularFitWarning")

DATA, GAPS = school_data()
FORMULA = "y ~ x + poly(z, 2) + track + offset(0.1 * year) + (x | school) + (1 | room)"
# The same sums but for the order of the rows' blocks; results at an optimum known to 1e-6 of its errors.
SAME = 1e-5


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "scores.parquet"
    GAPS.to_parquet(path, index=False, row_group_size=100)
    return path


@pytest.fixture(scope="module")
def pair(path):
    return lmer(FORMULA, path, weights="w"), lmer(FORMULA, GAPS, weights="w")


def same_frames(ours, theirs):
    pd.testing.assert_frame_equal(pd.DataFrame(ours), pd.DataFrame(theirs), rtol=SAME, atol=SAME)


def test_tables_of_tests_agree(pair):
    ours, theirs = pair
    same_frames(ours.anova(), theirs.anova())
    same_frames(ours.drop1(), theirs.drop1())
    same_frames(ours.ranova(), theirs.ranova())
    same_frames(ours.confint(method="Wald"), theirs.confint(method="Wald"))
    same_frames(ours.tidy(), theirs.tidy())
    same_frames(ours.refitML().summary().coefficients, theirs.refitML().summary().coefficients)


def test_profiles_agree(path):
    ours, theirs = lmer("y ~ x + (1 | school)", path), lmer("y ~ x + (1 | school)", GAPS)
    same_frames(ours.confint(), theirs.confint())


def test_the_summary_prints_the_same_text(pair):
    ours, theirs = pair
    text = [line for line in str(ours.summary()).splitlines() if not line.lstrip().startswith("Data:")]
    assert text == [line for line in str(theirs.summary()).splitlines() if not line.lstrip().startswith("Data:")]
    assert any(line.lstrip().startswith('Data: "') for line in str(ours.summary()).splitlines())


def test_update_reads_the_source_again(pair, path):
    ours, theirs = pair
    assert ours.update(". ~ . - track").REMLcrit() == pytest.approx(theirs.update(". ~ . - track").REMLcrit(), abs=1e-8)
    assert ours.update(REML=False).deviance() == pytest.approx(theirs.update(REML=False).deviance(), abs=1e-8)


@pytest.mark.parametrize("what, options, expected", [
    ("fitted", {}, lambda fit: fit.fitted()),
    ("residuals", {}, lambda fit: fit.residuals()),
    ("residuals", {"type": "pearson", "scaled": True}, lambda fit: fit.residuals("pearson", True)),
    ("predict", {}, lambda fit: fit.fitted()),
])
def test_streams_hold_the_results_of_memory(pair, tmp_path, what, options, expected):
    ours, theirs = pair
    out = ours.stream(what, out=tmp_path / "out.parquet", columns=["school", "x"], **options)
    written = pd.read_parquet(out)
    assert list(written) == ["school", "x", what] and len(written) == len(GAPS)
    pd.testing.assert_series_equal(written["x"], GAPS["x"])
    values = expected(theirs)
    np.testing.assert_allclose(written[what][values.index], values, rtol=SAME, atol=SAME)
    assert written[what].isna().sum() == len(GAPS) - len(values)


def test_predictions_without_random_effects(pair, tmp_path):
    ours, theirs = pair
    written = pd.read_parquet(ours.stream("predict", re_form="NA", out=tmp_path / "out.parquet"))
    values = theirs._linear_predictor(with_random=False)
    np.testing.assert_allclose(written["predict"].dropna(), values, rtol=SAME)


def test_a_submodel_streams_its_own_residuals(pair, tmp_path):
    ours, theirs = pair
    formula = "y ~ x + poly(z, 2) + offset(0.1 * year) + (1 | school)"
    ours, theirs = ours._submodel(formula), theirs._submodel(formula)
    written = pd.read_parquet(ours.stream("residuals", out=tmp_path / "out.parquet"))
    np.testing.assert_allclose(written["residuals"].dropna(), theirs.residuals(), rtol=SAME, atol=SAME)


@pytest.mark.parametrize("keep", [0, 10**9])
def test_quantiles_of_residuals_are_exact(pair, monkeypatch, keep):
    ours, _ = pair
    monkeypatch.setattr(streaming, "KEPT", keep)
    r = np.concatenate(list(streaming.scaled_residuals(ours, streaming._pieces(ours, "summary"))))
    np.testing.assert_array_equal(streaming.residual_quantiles(ours), np.quantile(r, [0, 0.25, 0.5, 0.75, 1]))


@pytest.mark.parametrize("n", [3, 4, 5, 100, 1001])
def test_quantiles_by_counting_are_those_of_sorting(monkeypatch, n):
    rng = np.random.default_rng(n)
    values = np.concatenate([rng.normal(size=n - 2), [0.0, -0.0]])
    values[rng.integers(0, n, n // 3)] = 0.125             # ties
    monkeypatch.setattr(streaming, "KEPT", 0)
    monkeypatch.setattr(streaming, "over_residuals", lambda fit, function: [function(iter(np.array_split(values, 3)))])

    class Fit:
        class _estimates:
            pass

    Fit._estimates.n = n
    np.testing.assert_allclose(streaming.residual_quantiles(Fit), np.quantile(values, [0, 0.25, 0.5, 0.75, 1]), rtol=1e-15, atol=0)


def test_leading_bits_sort_as_the_numbers_do():
    values = np.array([-np.inf, -1e300, -2.0, -1.5, -1e-300, -0.0, 0.0, 1e-300, 1.0, 1.5, 2.0, 1e300, np.inf])
    assert (np.diff(streaming._leading(values)) >= 0).all()


def test_a_pickle_of_a_fit_from_a_path_reads_it_again(pair, tmp_path):
    ours, _ = pair
    back = pickle.loads(pickle.dumps(ours))
    assert str(back.summary()) == str(ours.summary())
    assert back.stream("fitted", out=tmp_path / "out.parquet").exists()
    assert back.update(REML=False).deviance() == pytest.approx(ours.update(REML=False).deviance(), abs=1e-8)


def test_a_pickle_of_a_fit_from_a_function_holds_no_function():
    fit = lmer("y ~ x + (1 | school)", lambda: DATA)
    back = pickle.loads(pickle.dumps(fit))
    assert back._source is None and back.REMLcrit() == fit.REMLcrit()
    assert "Scaled residuals" in str(fit.summary()) and "Scaled residuals" not in str(back.summary())
    assert "Scaled residuals" in str(pickle.loads(pickle.dumps(fit)).summary())     # known by now
    np.testing.assert_allclose(back.attach_data(DATA).fitted(), lmer("y ~ x + (1 | school)", DATA).fitted(), rtol=SAME)


def test_rows_can_be_attached_to_a_fit_whose_columns_were_centred_by_a_few_rows(tmp_path):
    data = school_data(n=5000)[0]
    fit = pickle.loads(pickle.dumps(lmer("y ~ year + x + (year | school)", lambda: data)))
    np.testing.assert_allclose(fit.attach_data(data).fitted(), lmer("y ~ year + x + (year | school)", data).fitted(), rtol=SAME)


def test_dropped_columns_are_those_of_memory(path):
    formula = "y ~ x + I(2 * x - 3) + track + z + (1 | school)"
    with pytest.warns(match="rank deficient"):
        ours, theirs = lmer(formula, path), lmer(formula, GAPS)
    assert ours._dropped_columns == theirs._dropped_columns == ["I(2 * x - 3)"]
    assert ours.REMLcrit() == pytest.approx(theirs.REMLcrit(), abs=1e-9)
    same_frames(ours.anova(), theirs.anova())
    np.testing.assert_allclose(ours._dependence, theirs._dependence, rtol=1e-8)


def test_dependence_that_the_few_rows_do_not_show_takes_a_second_look(path, monkeypatch):
    from fastlmm_hlm.ingest import plan

    monkeypatch.setattr(plan, "_doubtful", lambda design: False)
    with pytest.warns(match="rank deficient"):
        ours = lmer("y ~ x + I(2 * x - 3) + (1 | school)", path)
    assert ours._dropped_columns == ["I(2 * x - 3)"]


@pytest.mark.filterwarnings("ignore::fastlmm_hlm.errors.FastlmmWarning")
@pytest.mark.parametrize("formula, specs", [
    ("y ~ x + track * grade + girl + factor(k) + (1 | school)", "track"),
    ("y ~ track + I(2 * x) + x + girl:track + offset(z) + (1 | school)", "girl"),
])
def test_marginal_means_read_the_source_for_what_they_need(path, formula, specs):
    ours, theirs = (lmer(formula, data, subset="year > 2010") for data in (path, GAPS))
    same_frames(ours.emmeans(specs).to_frame(), theirs.emmeans(specs).to_frame())
    a, b = ours._grid_facts, theirs._grid_facts
    assert a.counted == b.counted
    np.testing.assert_array_equal(a.cells, b.cells)
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_allclose(a.null_basis @ a.null_basis.T, b.null_basis @ b.null_basis.T, atol=1e-8)
    for name, variable in a.variables.items():
        assert (variable.levels, variable.is_factor, variable.ordered) == (b.variables[name].levels, b.variables[name].is_factor, b.variables[name].ordered)
        assert variable.mean is None or variable.mean == pytest.approx(b.variables[name].mean)
