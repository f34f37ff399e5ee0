"""The outputs on the page about R are what its examples print."""

import pathlib
import re
from dataclasses import replace

import pytest

from docs.ext.examples import examples, run

pytestmark = pytest.mark.parity

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Fenced as py, not python: the site is built without R and does not run these.
PAGE = (ROOT / "docs" / "r_bridge.md").read_text(encoding="utf-8").replace("```py\n", "```python\n")


def test_the_page_shows_what_r_and_python_print(lme4, tmp_path):
    """R's first block writes the model that the first example reads; R's second block runs on what an example wrote."""
    def placed(code):
        return re.sub(r'"(\w+\.rds)"', lambda name: f'"{tmp_path / name[1]}"', code)

    blocks = re.findall(r"^```r\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    lme4.run(placed(blocks[0]))
    found = examples(PAGE)
    assert len(found) >= 5
    for example, printed in zip(found, run([replace(example, source=placed(example.source)) for example in found], ROOT)):
        assert example.shown is None or printed.rstrip() == example.shown.rstrip(), f"{example.source}\n{printed}"
    pictures = lme4.value('(requireNamespace("ggeffects", quietly = TRUE) && requireNamespace("sjPlot", quietly = TRUE))')[0]
    for line in placed(blocks[1]).splitlines():
        if pictures or "ggeffects" not in line:
            lme4.text(line.replace("library(lmerTest); library(emmeans)", "library(emmeans)"))
