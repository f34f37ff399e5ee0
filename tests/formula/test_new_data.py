"""DesignSpec: the matrices of new data, from a fit that kept no rows."""
import pickle

import numpy as np
import pytest
from school import school_data, with_value

from fastlmm_hlm.errors import DataError, UnknownColumnError
from fastlmm_hlm.formula import build_frame


def test_new_data_give_the_rows_of_the_fit_back():
    data = school_data()
    frame = build_frame("y ~ poly(x, 2) * f + ns(w, df = 3) + factor(room) + flag + (scale(x) + f | school) + (1 | s:school)", data, skip_checks=("nobs.vs.nRE",))
    spec = pickle.loads(pickle.dumps(frame.spec))
    part = data.iloc[[3, 50, 20]]
    np.testing.assert_allclose(spec.fixed(part), frame.X[[3, 50, 20]])
    for (codes, Z), term in zip(spec.random(part), frame.random, strict=True):
        np.testing.assert_array_equal(codes, term.codes[[3, 50, 20]])
        np.testing.assert_allclose(Z, term.Z[[3, 50, 20]])
    assert set(spec.variables) == {"y", "x", "f", "w", "room", "flag", "school", "s"}
    assert len(pickle.dumps(spec)) < 20_000


def test_new_data_of_one_row_without_response():
    frame = build_frame("y ~ log(w) * relevel(f, 'c') + flag + (x | school)", school_data())
    row = school_data().iloc[[11]].drop(columns="y")
    np.testing.assert_allclose(frame.spec.fixed(row), frame.X[[11]])
    assert frame.spec.offset(row).tolist() == [0.0]


def test_an_unseen_level_of_a_predictor_is_an_error_and_of_a_group_is_minus_one():
    data = school_data()
    frame = build_frame("y ~ f + (1 | school) + (1 | s:school)", data)
    new = data.iloc[:3].assign(f=["a", "q", "b"])
    with pytest.raises(DataError, match="'f' has the level 'q' in the new data.*'a', 'b', 'c'"):
        frame.spec.fixed(new)
    new = data.iloc[:4].assign(school=[10, 99, np.nan, 20])
    codes = {term.group: codes for term, (codes, _) in zip(frame.random, frame.spec.random(new), strict=True)}
    assert codes["school"].tolist() == [0, -1, -1, 1]
    assert codes["s:school"][1:3].tolist() == [-1, -1]
    position = [i for i, term in enumerate(frame.random) if term.group == "school"]
    assert len(frame.spec.random(new, terms=position)) == 1


def test_groups_match_by_text_when_their_type_changed():
    data = school_data()
    frame = build_frame("y ~ x + (1 | school)", data)
    new = data.iloc[[0, 59]].assign(school=["30", "20"])
    assert frame.spec.random(new)[0][0].tolist() == [2, 1]


def test_missing_values_in_new_data_become_nan_rows():
    data = school_data()
    frame = build_frame("y ~ x + f + poly(w, 2) + (x | school)", data)
    new = with_value(with_value(data, "x", 0, np.nan), "f", 1, None).iloc[:3]
    X = frame.spec.fixed(new)
    assert np.isnan(X[:2]).all()
    np.testing.assert_allclose(X[2], frame.X[2])
    assert np.isnan(frame.spec.random(new)[0][1][0]).all()


@pytest.mark.parametrize("change, error, words", [
    (lambda d: d.drop(columns="x"), UnknownColumnError, "the model uses the column 'x'"), (lambda d: d.assign(x="text"), DataError, "was numeric in the data of the fit"),
    (lambda d: d.assign(f=1.5), DataError, "was a factor in the data of the fit"),
])
def test_new_data_of_another_kind_are_refused(change, error, words):
    frame = build_frame("y ~ x + f + (1 | school)", school_data())
    with pytest.raises(error, match=words):
        frame.spec.fixed(change(school_data()))


def test_an_offset_given_as_an_array_is_unknown_for_new_data():
    data = school_data()
    frame = build_frame("y ~ x + (1 | school)", data, offset=data["w"].to_numpy())
    with pytest.raises(DataError, match="as a vector"):
        frame.spec.offset(data)


def test_a_model_without_fixed_effects_has_a_matrix_without_columns():
    frame = build_frame("y ~ 0 + (1 | school)", school_data())
    assert frame.X.shape == (60, 0)
    assert frame.spec.fixed(school_data().iloc[:2]).shape == (2, 0)
