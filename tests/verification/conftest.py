"""A live R for the tests that compare with it, and stored answers of R for the others."""

import gzip
import json
import os
import pathlib

import pytest

from fastlmm_hlm.verification import rsession

FOLDER = pathlib.Path(__file__).parent / "reference"


def stored(name):
    """The answers of R for one model, as make_answers.py stored them."""
    with gzip.open(FOLDER / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture
def with_stored_r(monkeypatch):
    """verify() with stored answers in the place of R: call with the name of the model, or with an error."""
    def use(answer):
        def asked(*arguments):
            if isinstance(answer, Exception):
                raise answer
            return stored(answer)["answer"] if isinstance(answer, str) else answer

        versions = stored(answer)["versions"] if isinstance(answer, str) else {"R": "4.2.2", "lme4": "1.1.31", "lmerTest": "3.1.3"}
        monkeypatch.setattr(rsession, "start", lambda ddf: dict(versions))
        monkeypatch.setattr("fastlmm_hlm.verification.verify._asked", asked)

    return use


@pytest.fixture(scope="session")
def live_r():
    try:
        return rsession.start("Kenward-Roger")
    except rsession.RMissingError as problem:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail(f"FASTLMM_REQUIRE_R=1, but: {problem}")
        pytest.skip(str(problem))
