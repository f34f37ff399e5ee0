"""Compact letters: two means share one exactly if they do not differ."""

import numpy as np
import pandas as pd
import pytest
from emm_cases import fitted_case

from fastlmm_hlm import cld, emmeans
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.letters import letter_columns

PATTERNS = 200


def share(groups, i, j):
    return any(i in group and j in group for group in groups)


def random_pattern(rng):
    k = int(rng.integers(1, 9))
    differ = np.triu(rng.random((k, k)) < rng.random(), 1)
    return differ | differ.T


@pytest.mark.parametrize("seed", range(4))
def test_means_share_a_letter_exactly_if_they_do_not_differ(seed):
    rng = np.random.default_rng(seed)
    for _ in range(PATTERNS):
        differ = random_pattern(rng)
        groups = letter_columns(differ)
        for i in range(len(differ)):
            assert any(i in group for group in groups)
            for j in range(i):
                assert share(groups, i, j) == (not differ[i, j])
        assert not any(a < b for a in groups for b in groups) and len(set(groups)) == len(groups)


def test_piephos_absorption_leaves_few_letters_for_ordered_means():
    x = np.array([0.0, 0.4, 0.9, 1.3, 2.5, 2.6, 9.0])
    differ = np.abs(x[:, None] - x) > 1.0
    assert [sorted(group) for group in letter_columns(differ)] == [[0, 1, 2], [1, 2, 3], [4, 5], [6]]


def test_no_difference_is_one_letter_and_all_different_one_each():
    assert letter_columns(np.zeros((4, 4), bool)) == [frozenset(range(4))]
    assert letter_columns(~np.eye(4, dtype=bool)) == [frozenset([i]) for i in range(4)]


@pytest.mark.parametrize("adjust", [None, "none", "bonferroni"])
@pytest.mark.parametrize("specs", ["~ temperature", "~ temperature | recipe", "~ recipe * temperature"])
def test_the_letters_of_a_table_are_the_tests_of_its_pairs(specs, adjust):
    means = emmeans(fitted_case("cake"), specs)
    table = cld(means, level=0.9, adjust=adjust)
    for key, part in table.groupby(means.by) if means.by else [((), pd.DataFrame(table))]:
        assert part["emmean"].is_monotonic_increasing
        p = means.pairs(adjust=adjust).summary()
        p = p[(p[means.by].to_numpy() == np.array(key, dtype=object)).all(axis=1)] if means.by else p
        estimates = part["emmean"].to_numpy()
        for pair in p.itertuples(index=False):
            gap = np.abs(np.abs(np.subtract.outer(estimates, estimates)) - abs(pair.estimate))
            together = [bool(set(part[".group"].iloc[i].replace(" ", "")) & set(part[".group"].iloc[j].replace(" ", "")))
                        for i, j in np.argwhere(np.triu(gap < 1e-8, 1))]
            assert (pair[-1] >= 0.1) in together
    assert "alpha = 0.1 " in str(table) and "share the same grouping letter" in str(table)


def test_order_and_letters_may_be_chosen():
    means = emmeans(fitted_case("cake"), "temperature")
    down, own = cld(means, reverse=True), means.cld(sort=False, letters="123")
    assert down["emmean"].is_monotonic_decreasing and down[".group"].iloc[0].startswith("a")
    assert own["temperature"].tolist() == means.to_frame()["temperature"].tolist()
    assert set("".join(own[".group"])) == {"1", "2", "3", " "}
    with pytest.raises(ArgumentError, match="3 letters are needed and there are 2"):
        cld(means, letters="ab")
    with pytest.raises(ArgumentError, match="twice"):
        cld(means, letters="aba")
    with pytest.raises(ArgumentError, match="level = 5"):
        cld(means, level=5)
    with pytest.raises(ArgumentError, match="cld: expected the result of emmeans"):
        cld(pd.DataFrame())


def test_a_list_of_tables_gives_the_letters_of_its_means():
    both = emmeans(fitted_case("cake"), "pairwise ~ recipe")
    assert cld(both).equals(cld(both.emmeans)) and set(cld(both)[".group"]) == {"a"}


def test_a_mean_that_cannot_be_estimated_has_no_letter():
    table = cld(emmeans(fitted_case("deficient"), "~ a * b"))
    missing = table["emmean"].isna()
    assert missing.any() and (table.loc[missing, ".group"].str.strip() == "").all()
    assert (table.loc[~missing, ".group"].str.strip() != "").all()
