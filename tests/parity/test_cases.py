"""The table of cases and the stored references belong together."""

import json

import pytest

from parity.cases import FOLDER, all_cases

CASES = all_cases()
WANTED_TAGS = {
    "single", "nested", "crossed", "three_levels", "double_bar", "factor_slope", "interaction", "poly", "contrasts",
    "weights", "offset", "subset", "missing", "unused_levels", "rank_deficient", "singular",
    "several_terms_one_factor", "dummy", "uncentred", "no_intercept", "intercept_only", "large_response",
    "small_response", "singletons", "large", "ml", "ordered",
}
REFERENCE_BYTES = 4_000_000
DATA_BYTES = 1_500_000


def test_there_are_at_least_sixty_cases_and_every_kind_of_model():
    assert len(CASES) >= 60
    assert set().union(*(case.tags for case in CASES)) >= WANTED_TAGS


def test_every_case_has_a_reference_and_every_reference_a_case():
    stored = {path.stem for path in (FOLDER / "reference").glob("*.json")}
    assert stored == {case.id for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_reference_was_made_for_this_very_case(case):
    reference = case.reference()
    assert (reference["id"], reference["formula"], reference["REML"]) == (case.id, case.formula, case.REML)
    assert set(reference["versions"]) == {"R", "lme4"}
    assert reference["lme4_criterion"] >= reference["criterion"] - 1e-7
    assert reference["default"]["criterion"] >= reference["lme4_criterion"] - 1e-7


@pytest.mark.parametrize("name", sorted({case.data for case in CASES}))
def test_the_data_of_a_case_can_be_read(name):
    frame = next(case for case in CASES if case.data == name).frame()
    assert len(frame) > 0


def test_data_and_references_stay_small():
    for folder, limit in (("reference", REFERENCE_BYTES), ("data", DATA_BYTES)):
        assert sum(path.stat().st_size for path in (FOLDER / folder).iterdir()) < limit


def test_a_case_with_an_unknown_column_is_refused(tmp_path):
    table = tmp_path / "cases.toml"
    table.write_text('[[case]]\nid = "a"\ndata = "cake"\nformula = "angle ~ 1"\nweight = "x"\n')
    with pytest.raises(ValueError, match="case 'a' has unknown columns"):
        all_cases(table)


def test_an_id_used_twice_is_refused(tmp_path):
    table = tmp_path / "cases.toml"
    table.write_text('[[case]]\nid = "a"\ndata = "cake"\nformula = "angle ~ 1"\n' * 2)
    with pytest.raises(ValueError, match="the id 'a' is used twice"):
        all_cases(table)


def test_what_r_gets_can_be_written_as_json():
    case = next(case for case in CASES if case.id == "ragged_everything")
    told = json.loads(json.dumps(case.for_r()))
    assert told["contrasts"] == {"f": "contr.sum"}
    assert told["weights"] == "w"
    assert told["types"]["f"]["levels"][-1] == "never"
