"""The models of comparison_cases.toml; run from the top of the repository it prints them for R."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
if str(HERE.parents[1]) not in sys.path:
    sys.path.insert(0, str(HERE.parents[1]))

from parity.cases import all_cases  # noqa: E402

CASES = {case.id: case for case in all_cases(HERE / "comparison_cases.toml")}

if __name__ == "__main__":
    print(json.dumps([case.for_r() for case in CASES.values()]))
