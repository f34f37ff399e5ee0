"""The models of the parity suite, and their data.

    python -m parity.cases            the cases as JSON, for make_reference.R
"""

import dataclasses
import json
import pathlib
import sys
import tomllib

from fastlmm_hlm import datasets

FOLDER = pathlib.Path(__file__).parent
SLOW_TAGS = {"slow", "large"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One model: the columns of cases.toml."""

    id: str
    data: str
    formula: str
    REML: bool = True
    weights: str | None = None
    offset: str | None = None
    subset: str | None = None
    contrasts: dict | None = None
    tags: tuple = ()
    identified: bool = True

    @property
    def is_slow(self):
        return bool(SLOW_TAGS & set(self.tags))

    @property
    def folder(self):
        """The folder with the data and its types.json."""
        shipped = self.data in datasets.available()
        return datasets.FOLDER if shipped else FOLDER / "data"

    def frame(self):
        """The data as a data frame, with Categorical columns for R's factors."""
        return datasets.read(self.folder, self.data)

    def arguments(self):
        """Keywords of `lmer`, without the data."""
        given = {name: getattr(self, name) for name in ("weights", "offset", "subset", "contrasts")}
        return {"REML": self.REML} | {name: value for name, value in given.items() if value is not None}

    def for_r(self):
        """What lme4_reference.R needs to know of the case."""
        path = self.folder / f"{self.data}.csv"
        if not path.exists():
            path = path.with_suffix(".csv.gz")
        types = json.loads((self.folder / "types.json").read_text())[self.data]
        return {"id": self.id, "formula": self.formula, "path": str(path), "types": types} | self.arguments()

    def reference(self):
        """The stored answers of lme4."""
        return json.loads((FOLDER / "reference" / f"{self.id}.json").read_text())


def all_cases(path=FOLDER / "cases.toml"):
    """Every case of the table, in its order.

    Returns
    -------
    list of Case

    Raises
    ------
    ValueError
        If two cases have the same id, or a case has an unknown column.
    """
    with open(path, "rb") as table:
        rows = tomllib.load(table)["case"]
    known = {field.name for field in dataclasses.fields(Case)}
    for row in rows:
        if set(row) - known:
            raise ValueError(f"cases.toml: case '{row.get('id')}' has unknown columns {sorted(set(row) - known)}")
    ids = [row["id"] for row in rows]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ValueError(f"cases.toml: the id {twice[0]!r} is used twice; give each case its own")
    return [Case(**row | {"tags": tuple(row.get("tags", ()))}) for row in rows]


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    print(json.dumps([case.for_r() for case in all_cases() if not wanted or case.id in wanted]))
