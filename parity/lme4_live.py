"""lme4 in an R session inside this process, through rpy2."""

import functools
import json
import os

from fastlmm_hlm.rbridge.session import library_path_kept
from parity.cases import FOLDER

NEEDED = "R with the packages lme4, numDeriv and jsonlite, and rpy2 (pip install 'fastlmm_hlm[r]')"


class NoLme4Error(RuntimeError):
    """R, lme4 or rpy2 is missing or broken."""


@functools.cache
def session():
    """Start R once and source the reference functions.

    Returns
    -------
    callable
        From the JSON of a case and an effort to the JSON of the answers.

    Raises
    ------
    NoLme4Error
        If rpy2 cannot be imported, R cannot be started, or lme4 is missing.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with library_path_kept():
            import rpy2.rinterface_lib.callbacks
            import rpy2.robjects as robjects
    except Exception as problem:
        raise NoLme4Error(f"parity: rpy2 or R cannot be loaded ({problem}). The live comparison needs {NEEDED}.") from problem
    rpy2.rinterface_lib.callbacks.consolewrite_warnerror = lambda text: None
    try:
        for name in ("lme4_search.R", "lme4_reference.R"):
            robjects.r["source"](str(FOLDER / name))
        return robjects.r(
            """function(case, effort) {
                reference_json(lme4_reference(jsonlite::fromJSON(case, simplifyVector = FALSE), effort))
            }"""
        )
    except Exception as problem:
        raise NoLme4Error(f"parity: R started but lme4 did not load ({problem}). The live comparison needs {NEEDED}.") from problem


def reference(case, effort="live"):
    """Fit one case with lme4, now.

    Parameters
    ----------
    case : Case
    effort : {"live", "full"}
        "full" does what make_reference.R does; "live" tries fewer optimizers.

    Returns
    -------
    dict
        The same as the stored reference.

    Raises
    ------
    NoLme4Error
        If R or lme4 is missing.
    """
    answer = session()(json.dumps(case.for_r()), effort)
    return json.loads(str(answer[0]))
