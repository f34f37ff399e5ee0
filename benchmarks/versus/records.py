"""Results of the comparison, kept between runs as results/versus.json.

A run replaces what it measured and leaves the rest, so that one peer, or one case,
can be measured again.  Results from another machine or another number of threads
are dropped.  Delete the file to start afresh.
"""

import json

from benchmarks.tables import RESULTS


def key(case, peer, setting, REML):
    """Name of one result."""
    return "/".join([case, peer, setting, "REML" if REML else "ML"])


def load(name, machine):
    """The results kept, or an empty dict.

    Parameters
    ----------
    name : str
        File name without its ending.
    machine : str
        Hardware and threads; results of others are ignored.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["results"] if content["machine"] == machine else {}


def save(name, machine, results):
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "results": results}, indent=1, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
