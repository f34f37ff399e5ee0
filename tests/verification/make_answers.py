"""Store what R answers for the models of models.py, for the tests that have no R.

    PYTHONPATH=. python tests/verification/make_answers.py
"""

import gzip
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from models import MODELS, model  # noqa: E402

from fastlmm_hlm import lmer  # noqa: E402
from fastlmm_hlm.formula.columns import DataColumns  # noqa: E402
from fastlmm_hlm.report.plainvalues import plain_values  # noqa: E402
from fastlmm_hlm.verification import rsession, verify  # noqa: E402
from fastlmm_hlm.verification.differences import checked_tolerances  # noqa: E402

FOLDER = pathlib.Path(__file__).parent / "reference"


def main():
    FOLDER.mkdir(exist_ok=True)
    versions, defaults = rsession.start("Satterthwaite"), dict.fromkeys(("weights", "offset", "subset", "contrasts"))
    for name in MODELS:
        formula, frame, arguments = model(name)
        settings = {"formula": formula, "data": frame, "REML": True, "na_action": "omit", "control": None} | defaults | arguments
        fit = lmer(formula, frame, **arguments)
        answer = verify._asked(settings, DataColumns(frame), fit, "Satterthwaite", checked_tolerances(None), versions)
        text = json.dumps({"versions": versions, "answer": plain_values(answer)}, allow_nan=False)
        with open(FOLDER / f"{name}.json.gz", "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
            packed.write(text.encode())


if __name__ == "__main__":
    main()
