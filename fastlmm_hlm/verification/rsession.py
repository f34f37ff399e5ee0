"""R inside this process, through rpy2: started when it is needed, with the packages that are needed."""

import contextlib
import os
import pathlib
import shutil

import numpy as np

from fastlmm_hlm.errors import FastlmmError, RMissingError
from fastlmm_hlm.rbridge.session import library_path_kept

SCRIPT = pathlib.Path(__file__).with_name("lme4_answers.R")
DEBIAN = {"lme4": "r-cran-lme4", "lmerTest": "r-cran-lmertest", "pbkrtest": "r-cran-pbkrtest"}
# What each method of degrees of freedom needs beside lme4.
PACKAGES = {"lme4": ("lme4",), "Satterthwaite": ("lme4", "lmerTest"), "Kenward-Roger": ("lme4", "lmerTest", "pbkrtest")}
_compiled = {}


class RRefusedError(FastlmmError, RuntimeError):
    """R gave an error; the message is R's own."""


def start(ddf):
    """Start R and load what the comparison needs.

    Parameters
    ----------
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}

    Returns
    -------
    dict of str to str
        Versions: "R" and each package.

    Raises
    ------
    RMissingError
        Naming what is missing, and the command that installs it.
    """
    if not (os.environ.get("R_HOME") or shutil.which("R")):
        raise RMissingError(
            "verify: R is not found (no program R on the PATH, and R_HOME is not set). Install R from https://cloud.r-project.org, "
            "or on Debian and Ubuntu with: sudo apt-get install r-base-core r-cran-lme4 r-cran-lmertest"
        )
    try:
        with library_path_kept():
            import rpy2.robjects
    except ImportError as problem:
        raise RMissingError(f'verify: rpy2 cannot be imported ({problem}). Install it with: pip install "fastlmm_hlm[r]"') from problem
    except Exception as problem:
        raise RMissingError(f'verify: R cannot be started through rpy2 ({problem}). Check that "R --version" works and that '
                            'rpy2 was built for that R: pip install --force-reinstall --no-binary :all: rpy2-rinterface') from problem
    needed = PACKAGES[ddf]
    with quiet():
        missing = [name for name in needed if not _asks(f'requireNamespace("{name}", quietly = TRUE)')]
        if missing:
            raise RMissingError(_how_to_install(missing, ddf))
        versions = {"R": _asks("as.character(getRversion())")}
        versions |= {name: _asks(f'as.character(packageVersion("{name}"))') for name in needed}
    return versions


def _how_to_install(missing, ddf):
    names = ", ".join(f'"{name}"' for name in missing)
    wanted = f"{'the package' if len(missing) == 1 else 'the packages'} {' and '.join(missing)} of R"
    text = (f"verify: {wanted} {'is' if len(missing) == 1 else 'are'} not installed. Install with: "
            f"Rscript -e 'install.packages(c({names}))', or on Debian and Ubuntu: "
            f"sudo apt-get install {' '.join(DEBIAN[name] for name in missing)}.")
    if "lme4" not in missing:
        text += f" Or verify without p-values: ddf='lme4' needs lme4 alone (now: {ddf})."
    return text


def _asks(code):
    import rpy2.robjects

    try:
        return rpy2.robjects.r(f"({code})")[0]
    except Exception as problem:
        raise RMissingError(f"verify: R is there, but {code} failed ({_message(problem)}).") from problem


@contextlib.contextmanager
def quiet():
    """Keep what R prints away from the user's screen, and leave the session's own handlers as they were."""
    from rpy2.rinterface_lib import callbacks

    kept = callbacks.consolewrite_print, callbacks.consolewrite_warnerror
    callbacks.consolewrite_print = callbacks.consolewrite_warnerror = lambda text: None
    try:
        yield
    finally:
        callbacks.consolewrite_print, callbacks.consolewrite_warnerror = kept


def call(env, settings, ours):
    """lme4's answers for one model.

    Parameters
    ----------
    env : rpy2 environment
        As `fastlmm_hlm.verification.columns.environment` makes it.
    settings : dict
        formula, REML, weights, offset, subset, contrasts, na_action, ddf.
    ours : dict or None
        theta, criterion and tolerance of the fit made here; None if there is none.

    Returns
    -------
    dict
        As lme4_answers.R gives, vectors as lists or arrays.

    Raises
    ------
    RRefusedError
        With R's message.
    """
    from rpy2.rinterface_lib.embedded import RRuntimeError

    with quiet():
        if "answers" not in _compiled:
            import rpy2.robjects

            _compiled["answers"] = rpy2.robjects.r(f"({SCRIPT.read_text(encoding='utf-8')})")
        try:
            answer = _compiled["answers"](env, to_r(settings), to_r(ours))
        except RRuntimeError as problem:
            raise RRefusedError(_message(problem)) from problem
    return from_r(answer)


def _message(problem):
    """R's words, without the call that it puts before them."""
    text = str(problem).strip()
    head, colon, rest = text.partition(": ")
    return (rest if colon and head.startswith("Error in ") else text.removeprefix("Error: ")).strip()


# --- values ---------------------------------------------------------------------


def to_r(value):
    """None, bool, int, float, str, an array of numbers, or a dict of these, as R has them.

    A two-dimensional array becomes a matrix.
    """
    from rpy2 import rinterface as ri

    if value is None:
        return ri.NULL
    if isinstance(value, dict):
        given = {name: item for name, item in value.items() if item is not None}
        made = ri.ListSexpVector([to_r(item) for item in given.values()])
        made.names = ri.StrSexpVector(list(given))
        return made
    if isinstance(value, bool):
        return ri.BoolSexpVector([value])
    if isinstance(value, str):
        return ri.StrSexpVector([value])
    array = np.asarray(value, dtype=float)
    made = ri.FloatSexpVector(np.atleast_1d(array).ravel(order="F"))
    if array.ndim == 2:
        made.do_slot_assign("dim", ri.IntSexpVector(list(array.shape)))
    return made


def from_r(value):
    """R's lists as dict or list, vectors of length 1 without names as one value, matrices as arrays.

    A matrix with names becomes a dict with "rows", "columns" and "values"; NA is NaN or None.
    """
    from rpy2 import rinterface as ri

    if value is ri.NULL:
        return None
    if isinstance(value, ri.ListSexpVector):
        items = [from_r(item) for item in value]
        return items if value.names is ri.NULL else dict(zip(map(str, value.names), items, strict=True))
    shape = _attribute(value, "dim")
    if isinstance(value, ri.StrSexpVector):
        items = [None if item is ri.NA_Character else str(item) for item in value]
        return items[0] if len(items) == 1 and shape is None else items
    if isinstance(value, ri.BoolSexpVector):
        items = [None if item is ri.NA_Logical else bool(item) for item in value]
        return items[0] if len(items) == 1 else items
    array = np.array(value, dtype=float) if isinstance(value, ri.FloatSexpVector) else np.array(value)
    if shape is not None:
        array = array.reshape(tuple(shape), order="F")
        names = _attribute(value, "dimnames")
        if names is not None and all(part is not ri.NULL for part in names):
            return {"rows": [str(name) for name in names[0]], "columns": [str(name) for name in names[1]], "values": array}
        return array
    return array.item() if len(array) == 1 else array


def _attribute(value, name):
    from rpy2 import rinterface as ri

    found = value.do_slot(name) if name in value.list_attrs() else ri.NULL
    return None if found is ri.NULL else found
