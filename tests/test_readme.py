"""The Python examples of the documents run, and print what the documents show."""

import importlib
import pathlib
import re
from functools import lru_cache

import pytest

import fastlmm_hlm
from docs.ext.examples import Example, examples, run
from fastlmm_hlm.inference.deletionmeasures import Influence
from fastlmm_hlm.inference.emmeans import EmmGrid
from fastlmm_hlm.model.mixedmodel import LinearMixedModel

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/inference.md", "docs/large_data.md")}
README = DOCUMENTS["README.md"]
EXAMPLES = [(name, k) for name, text in DOCUMENTS.items() for k in range(len(examples(text)))]


@lru_cache
def outputs(name):
    """What each example of a document prints, all run one after the other in one process."""
    return run(examples(DOCUMENTS[name]), ROOT)


def test_the_examples_are_found():
    assert len(examples(README)) >= 5 and len(examples(DOCUMENTS["docs/inference.md"])) >= 10
    assert examples("```python\na\n```\n\n```text\nb\n```\n```python\nc\n```\n") == [Example("a\n", "b\n"), Example("c\n")]


@pytest.mark.parametrize("name, number", EXAMPLES)
def test_an_example_prints_what_the_document_shows(name, number):
    expected = examples(DOCUMENTS[name])[number].shown or ""
    assert outputs(name)[number].rstrip() == expected.rstrip()


def test_r_prints_the_table_of_the_first_example_but_for_the_numbers_that_the_text_names():
    ours = next(e.shown for e in examples(README) if e.shown and e.shown.startswith("Linear mixed model"))
    stored = (ROOT / "docs" / "r_output" / "fit.txt").read_text(encoding="utf-8")
    theirs = stored.split("> summary(fit)\n")[1]
    theirs = [line for line in theirs.splitlines() if line != "   Data: sleepstudy"]
    different = [(a, b) for a, b in zip(ours.splitlines(), theirs, strict=True) if a != b]
    assert different == [(" Subject  (Intercept) 612.09   24.740       ", " Subject  (Intercept) 612.10   24.741       ")]


def test_the_commands_come_first_and_exist():
    first = re.findall(r"^    make (\w+)", README, flags=re.MULTILINE)[:2]
    assert first == ["demo", "test"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"`make ([\w-]+)`", README)) | set(first) <= set(targets)


def test_links_of_the_documents_lead_somewhere():
    for name in ("ARCHITECTURE.md", "CHANGELOG.md", "docs/for_lme4_users.md", *DOCUMENTS):
        path = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{name}: {target}"


def calls_for_python(text):
    """First words of the Python calls in the tables for lme4 users."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) >= 2 and "---" not in cells[0] and cells[0] not in ("R", "Python"):
            for code in re.findall(r"`([^`]+)`", cells[1]):
                yield from re.findall(r"^([A-Za-z_][\w.]*)\(", code)


def test_functions_in_the_table_for_lme4_users_exist():
    table = (ROOT / "docs" / "for_lme4_users.md").read_text(encoding="utf-8").split("## From Python to R")[0].split("## Formulas")
    table = table[0] + table[1][table[1].index("## Results"):]
    names = set(calls_for_python(table))
    assert len(names) > 25
    for name in names - {"print", "pickle.dump", "offset"}:
        module, _, function = name.rpartition(".")
        if module.startswith("fit"):
            assert callable(getattr(LinearMixedModel, function)), name
        elif module == "emm":
            assert callable(getattr(EmmGrid, function)), name
        elif module == "inf":
            assert callable(getattr(Influence, function)), name
        else:
            owner = fastlmm_hlm if module in ("", "datasets") else importlib.import_module(module)
            assert hasattr(getattr(owner, module) if module == "datasets" else owner, function), name
