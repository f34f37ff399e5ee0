"""Study files and files of sums: what they hold, what they refuse, what they reveal."""

import io
import json
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import SiteCrossProducts, Study, lmer, lmer_from_crossproducts, site_crossproducts
from fastlmm_hlm.cli import main
from fastlmm_hlm.errors import ArgumentError, DataError, DisclosureWarning, FormulaError, UnknownColumnError


@pytest.fixture
def files(parts, tmp_path):
    return [part.save(tmp_path / f"{part.site}.flmm", min_cell=0) for part in parts]


def rewritten(path, out, **changes):
    """A copy of a file with another header, and the checksum that belongs to it."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = json.loads(arrays.pop("header").tobytes()) | changes
    np.savez(out.open("wb"), header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays)
    return out


# --- the study --------------------------------------------------------------------------------


def test_a_study_goes_through_its_file(study, tmp_path):
    again = Study.load(study.save(tmp_path / "study.json"))
    assert again == study and again.digest == study.digest and repr(again) == repr(study)
    with pytest.raises(DataError, match="cannot be read"):
        Study.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Study.load(tmp_path / "bad.json")
    (tmp_path / "new.json").write_text(json.dumps(study.as_dict() | {"version": 9}))
    with pytest.raises(DataError, match="version 9"):
        Study.load(tmp_path / "new.json")


@pytest.mark.parametrize("formula, words", [
    ("score ~ scale(days) + (1 | school)", "scale.days. depends on the rows of all sites.*center = 50"),
    ("score ~ poly(days, 2) + (1 | school)", "raw = TRUE"),
    ("score ~ factor(year) + (1 | school)", "factors=.*year"),
    ("score ~ I(days - mean(days)) + (1 | school)", "Agree on its value"),
    ("score ~ . + (1 | school)", "write the columns out"),
    ("score ~ days + (1 | factor(school))", "make the column at every site"),
    ("score ~ year + (1 | year)", r"shared=\['year'\]"),
])
def test_what_one_site_cannot_know_is_refused_with_what_to_write(formula, words):
    with pytest.raises(ArgumentError, match=words):
        Study(formula)


def test_other_wrong_studies_are_refused():
    for error, options, words in (
        (UnknownColumnError, {"shared": ["day"]}, "no grouping column"), (ArgumentError, {"shared": "school"}, "give a list"),
        (UnknownColumnError, {"factors": {"sx": ["a", "b"]}}, "no predictor"), (ArgumentError, {"factors": {"days": ["a"]}}, "two or more"),
        (ArgumentError, {"ordered": ["days"]}, "are not given"), (ArgumentError, {"REML": "yes"}, "True or False"),
    ):
        with pytest.raises(error, match=words):
            Study("score ~ days + (1 | school)", **options)
    with pytest.raises(FormulaError):
        Study("score ~ ns(days, 3) + (1 | school)")


def test_text_among_the_predictors_needs_declared_levels(rows, study):
    with pytest.raises(DataError, match=r"'sex' of site 'north' is text \(here: 'F', 'M'\).*factors=\{'sex': \['F', 'M'\]\}"):
        site_crossproducts("score ~ sex + (1 | school)", rows["north"], site="north")
    with pytest.raises(DataError, match="has the level 'X', which the study does not have"):
        site_crossproducts(study, rows["north"].replace({"sex": {"M": "X"}}), site="north")
    with pytest.raises(DataError, match="makes a factor"):
        site_crossproducts("score ~ cut(days, c(0, 20, 99)) + (1 | school)", rows["north"], site="north")


# --- files of sums --------------------------------------------------------------------------------


def test_a_file_goes_through_and_holds_no_row(parts, rows, files):
    assert SiteCrossProducts.load(files[0]).to_bytes() == parts[0].to_bytes()
    values = {float(v) for column in ("score", "days") for v in rows["north"][column]}
    with np.load(files[0], allow_pickle=False) as stored:
        numbers = {float(v) for name in stored.files for v in np.ravel(stored[name])}
        longest = max(stored[name].shape[0] for name in stored.files if stored[name].ndim and name != "header")
        text = stored["header"].tobytes().decode()
    assert not values & numbers and longest < len(rows["north"])
    assert not any(repr(v) in text for v in values)


def test_damaged_files_say_so(files, tmp_path):
    data = files[0].read_bytes()
    for broken in (data[: len(data) // 2], data[:-30], b"", b"text", data[:2000] + b"\xff" * 60 + data[2060:]):
        files[0].write_bytes(broken)
        with pytest.raises(DataError, match="north.flmm.*(damaged|no sums)"):
            lmer_from_crossproducts(files)
    with pytest.raises(DataError, match="missing.flmm' cannot be read"):
        lmer_from_crossproducts([*files[1:], tmp_path / "missing.flmm"])
    with pytest.raises(DataError, match="no file matches"):
        lmer_from_crossproducts(str(tmp_path / "*.none"))


def test_changed_numbers_do_not_give_the_checksum(files, tmp_path):
    changed = tmp_path / "changed.flmm"
    with zipfile.ZipFile(files[0]) as old, zipfile.ZipFile(changed, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item == "beta0.npy":
                stream = io.BytesIO()
                np.save(stream, np.load(io.BytesIO(content)) + 1)
                content = stream.getvalue()
            new.writestr(item, content)
    with pytest.raises(DataError, match="do not give the checksum"):
        SiteCrossProducts.load(changed)


def test_files_that_do_not_belong_together_say_what_differs(parts, rows, study, files, tmp_path):
    with pytest.raises(DataError, match="has version 9 of its format"):
        lmer_from_crossproducts([rewritten(files[0], tmp_path / "new.flmm", version=9)])
    with pytest.raises(DataError, match="both of site 'north'.*each site once"):
        lmer_from_crossproducts([*files, files[0]])
    with pytest.raises(DataError, match="hold the same sums.*count twice"):
        lmer_from_crossproducts([*files, rewritten(files[0], tmp_path / "copy.flmm", site="copy")])
    for other, words in (
        (Study("score ~ days + (1 | school)"), "different studies: formula is"),
        (Study(study.formula.text, factors={"sex": ["M", "F"]}, shared=["teacher"]), r"factors is \{'sex': \['F', 'M'\]\} in the first"),
        (Study(study.formula.text, factors={"sex": ["F", "M"]}), "shared is"),
    ):
        with pytest.raises(DataError, match=words):
            lmer_from_crossproducts([parts[0], site_crossproducts(other, rows["south"], site="south")])
    with pytest.raises(DataError, match="'girl' is logical at site 'north' and numeric at site 'south'"):
        kinds = Study("score ~ girl + (1 | school)")
        lmer_from_crossproducts([site_crossproducts(kinds, rows["north"], site="north"), site_crossproducts(kinds, rows["south"].astype({"girl": int}), site="south")])
    with pytest.raises(DataError, match="'teacher' is numeric at site 'north' and text at site 'south'"):
        lmer_from_crossproducts([parts[0], site_crossproducts(study, rows["south"].astype({"teacher": str}), site="south")])
    with pytest.raises(DataError, match="no row of any site has the level 'D' of 'sex'"):
        more = Study("score ~ sex + (1 | school)", factors={"sex": ["F", "M", "D"]})
        lmer_from_crossproducts([site_crossproducts(more, rows["north"], site="north")])
    with pytest.raises(DataError, match="random effect 'sexD' of 'school' is zero in every row"):
        more = Study("score ~ days + (0 + sex | school)", factors={"sex": ["F", "M", "D"]})
        lmer_from_crossproducts([site_crossproducts(more, rows["north"], site="north")])


def test_wrong_calls_are_refused(parts, rows, study):
    for call, words in (
        (lambda: lmer_from_crossproducts([]), "empty"), (lambda: lmer_from_crossproducts(3), "give a list"), (lambda: lmer_from_crossproducts([3]), "int is in the list"),
        (lambda: lmer_from_crossproducts(parts, REML="no"), "REML"), (lambda: lmer_from_crossproducts(parts, control=1), "lmerControl"),
        (lambda: site_crossproducts(study, rows["north"], site=""), "name of the site"), (lambda: site_crossproducts(4, rows["north"], site="n"), "give a Study"),
        (lambda: parts[0].save("x", small="hide"), "small = 'hide'"),
    ):
        with pytest.raises(ArgumentError, match=words):
            call()


# --- small groups ---------------------------------------------------------------------------------


def test_small_groups_are_warned_of_refused_or_left_out(rows, tmp_path):
    data = pd.concat([rows["north"], rows["north"][:1].assign(school=77, days=41.25), rows["north"][1:4].assign(school=88)], ignore_index=True)
    study = Study("score ~ days + sex + (1 | school)", factors={"sex": ["F", "M"]})
    sums = site_crossproducts(study, data, site="north")
    path = tmp_path / "north.flmm"
    with pytest.raises(DataError, match="2 of the 14 levels of 'school' have fewer than 5 rows, 1 of them a single one"):
        sums.save(path, small="refuse")
    assert not path.exists()
    with pytest.warns(DisclosureWarning, match="2 of the 14 levels of 'school'"):
        sums.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sums.save(path, small="drop")
    kept = SiteCrossProducts.load(path)
    assert kept.n == 400 and kept.levels == {"school": 12} and kept.header["n_input"] == 404
    assert lmer_from_crossproducts([path]).REMLcrit() == pytest.approx(lmer(study.formula.text, study.prepare(rows["north"], "north")).REMLcrit(), abs=1e-9)
    with pytest.raises(ArgumentError, match="read from a file"):
        SiteCrossProducts.from_bytes(sums.to_bytes()).save(path, small="drop")
    with pytest.raises(DataError, match="coarser grouping"):
        sums.save(path, small="drop", min_cell=1000)
    assert sums.n == 404


def test_small_combinations_of_levels_are_left_out_too(rows, tmp_path):
    data = rows["south"].copy()
    data.loc[:2, ["sex", "grade"]] = ["M", "only"]
    study = Study("score ~ sex + grade + (1 | school)", factors={"sex": ["F", "M"], "grade": ["low", "mid", "high", "only"]})
    sums = site_crossproducts(study, data, site="south")
    with pytest.warns(DisclosureWarning, match="1 of the 7 combinations of sex and grade have fewer than 5 rows"):
        sums.save(tmp_path / "south.flmm")
    sums.save(tmp_path / "south.flmm", small="drop")
    assert SiteCrossProducts.load(tmp_path / "south.flmm").n == 297


def test_a_single_row_can_be_read_off_its_sums_and_the_words_say_so(rows):
    """What the page on disclosure claims."""
    data = pd.concat([rows["north"], rows["north"][:1].assign(school=77, days=41.25, score=33.5)], ignore_index=True)
    sums = site_crossproducts("score ~ days + (1 | school)", data, site="north")
    place = sums.header["factors"][0]["parts"][0]["levels"].index("north:77")
    one, x, r = sums.arrays["0/ZtWXy"][sums.arrays["0/codes0"].tolist().index(place), 0]
    days = x + sums.arrays["centre"][1]
    assert (one, days) == (1.0, pytest.approx(41.25))
    assert r + sums.arrays["beta0"] @ [1.0, days] == pytest.approx(33.5)
    assert "1 of them have no more rows" in sums.disclosure() and "(1 a single row)" in sums.disclosure()


def test_a_file_that_cannot_be_written_leaves_nothing(parts, tmp_path):
    with pytest.raises(DataError, match="cannot be written.*Nothing was left"):
        parts[0].save(tmp_path / "nowhere" / "north.flmm", min_cell=0)
    assert list(tmp_path.iterdir()) == []


# --- the command line -----------------------------------------------------------------------------


def test_the_commands_sum_and_pool(rows, study, tmp_path, capsys):
    study.save(tmp_path / "study.json")
    files = []
    for site, data in rows.items():
        data.to_csv(tmp_path / f"{site}.csv", index=False)
        files.append(str(tmp_path / f"{site}.flmm"))
        assert main(["site", str(tmp_path / "study.json"), str(tmp_path / f"{site}.csv"), "-o", files[-1], "--min-cell", "0"]) == 0
    assert "They hold no row" in capsys.readouterr().out
    assert main(["pool", *files, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert main(["pool", *files]) == 0
    assert "sums of 3 sites" in capsys.readouterr().out
    every = pd.concat([study.prepare(data, site) for site, data in rows.items()], ignore_index=True)
    assert record["criterion"] == pytest.approx(lmer(study.formula.text, every).REMLcrit(), abs=1e-9)
    assert main(["pool", files[0], files[0]]) == 2 and "each site once" in capsys.readouterr().err
