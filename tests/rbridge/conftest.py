"""A running R with the models of the parity suite."""

import json
import os
import pathlib

import pytest

from fastlmm_hlm.errors import RMissingError
from fastlmm_hlm.rbridge.session import session
from fastlmm_hlm.rbridge.values import plain
from parity.cases import FOLDER, all_cases

HERE = pathlib.Path(__file__).parent


class Lme4:
    """lme4 as the tests ask it."""

    def __init__(self):
        self.run = session().robjects.r
        self.run("suppressMessages({library(lme4); library(lmerTest)})")
        self._models, self._reference = (self.run("new.env(parent = globalenv())") for _ in range(2))
        self.run["sys.source"](str(HERE / "r_models.R"), envir=self._models)
        for name in ("lme4_search.R", "lme4_reference.R"):
            self.run["sys.source"](str(FOLDER / name), envir=self._reference)

    def fit(self, case_id):
        """A case fitted by lme4, and rows to predict in: (merMod, R data frame, our data frame)."""
        case = next(case for case in all_cases() if case.id == case_id)
        text = json.dumps(case.for_r())
        model = self._models["fitted_case"](text, self._reference)
        rows = self._models["new_rows"](model, text, self._reference)
        places = [int(name) - 1 for name in plain(self.run["rownames"](rows))]
        return model, rows, case.frame().reset_index(drop=True).iloc[places]

    def alone(self, model):
        """The model as it is where its data are not at hand."""
        return self._models["frame_alone"](model)

    def answers(self, model, rows=None):
        return plain(self._models["answers"](model) if rows is None else self._models["answers"](model, rows))

    def text(self, code):
        """What R prints for an expression."""
        return "\n".join(self.run(f"capture.output(print(suppressWarnings(suppressMessages({{ {code} }}))))"))

    def value(self, code):
        return plain(self.run(f"suppressWarnings(suppressMessages({{ {code} }}))"))


@pytest.fixture(scope="session")
def lme4():
    try:
        session()
    except RMissingError as problem:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail(f"FASTLMM_REQUIRE_R=1, but: {problem}")
        pytest.skip(str(problem))
    return Lme4()
