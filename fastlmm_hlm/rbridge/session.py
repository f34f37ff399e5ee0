"""R in this process, through rpy2, with lme4 and the package's own R functions."""

import contextlib
import functools
import os
import pathlib

from fastlmm_hlm.errors import DataError, RMissingError

FOLDER = pathlib.Path(__file__).parent
FILES = ("read.R", "hand.R")
HOW = "It needs R, R's package lme4 and Python's rpy2: pip install 'fastlmm_hlm[r]'"


@contextlib.contextmanager
def library_path_kept():
    """Leave LD_LIBRARY_PATH as it is: rpy2 sets it to R's when R starts, and child processes (another Python) then load wrong libraries."""
    before = os.environ.get("LD_LIBRARY_PATH")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LD_LIBRARY_PATH", None)
        else:
            os.environ["LD_LIBRARY_PATH"] = before


class Session:
    """The functions of the package's R files, in an environment of their own behind lme4's."""

    def __init__(self, robjects):
        self.robjects = robjects
        self.interface = robjects.rinterface
        self.place = robjects.r("new.env(parent = new.env(parent = globalenv()))")
        self._attach_lme4()
        for name in FILES:
            robjects.r["sys.source"](str(FOLDER / name), envir=self.place)

    def _attach_lme4(self):
        """lme4's exports in front of the global environment, without attaching it for the user."""
        self.robjects.r("""function(place) for (name in getNamespaceExports("lme4")) {
            assign(name, getExportedValue("lme4", name), parent.env(place))
        }""")(self.place)

    def call(self, caller, name, *arguments):
        """Call one of the functions.

        Parameters
        ----------
        caller : str
            Who asks, for messages.
        name : str
        *arguments
            R objects, or what rpy2 turns into them.

        Returns
        -------
        R object

        Raises
        ------
        DataError
            With R's message.
        """
        from rpy2.rinterface_lib.embedded import RRuntimeError

        try:
            with _silent():
                return self.robjects.r["do.call"](self.place[name], self.robjects.rinterface.ListSexpVector(
                    [_as_r(self.interface, value) for value in arguments]), quote=True)
        except RRuntimeError as problem:
            raise DataError(f"{caller}: {_plain(problem)}") from problem


def _as_r(interface, value):
    if isinstance(value, str):
        return interface.StrSexpVector([value])
    if isinstance(value, bool):
        return interface.BoolSexpVector([value])
    return interface.NULL if value is None else value


def _plain(problem):
    """R's message without "Error in f(x) :"."""
    text = str(problem).strip()
    head, colon, rest = text.partition(" : ")
    text = rest if text.startswith("Error in ") and colon else text.removeprefix("Error: ")
    return " ".join(text.split())


class _silent:
    """R's messages and warnings kept from the console."""

    def __enter__(self):
        import rpy2.rinterface_lib.callbacks as callbacks

        self._callbacks, self._before = callbacks, callbacks.consolewrite_warnerror
        callbacks.consolewrite_warnerror = lambda text: None

    def __exit__(self, *problem):
        self._callbacks.consolewrite_warnerror = self._before


@functools.cache
def session():
    """Start R once.

    Returns
    -------
    Session

    Raises
    ------
    RMissingError
        Saying which of rpy2, R and lme4 is missing, and how to get it.
    """
    try:
        import rpy2
    except ImportError as problem:
        raise RMissingError(f"rpy2 is not installed, so R cannot be asked. {HOW}") from problem
    try:
        with library_path_kept():
            import rpy2.robjects as robjects
    except Exception as problem:         # whatever rpy2 raises: it depends on its version and on R's
        raise RMissingError(f"rpy2 {getattr(rpy2, '__version__', '')} is installed but cannot start R ({problem}). Is R installed and on the "
                       f"PATH? In Debian and Ubuntu: apt install r-base-core r-cran-lme4. {HOW}") from problem
    if not robjects.r('(requireNamespace("lme4", quietly = TRUE))')[0]:
        raise RMissingError("R started, but its package lme4 is not installed; in R: install.packages(\"lme4\"), or in Debian and Ubuntu: "
                       f"apt install r-cran-lme4. {HOW}")
    robjects.r('requireNamespace("lmerTest", quietly = TRUE)')        # for its class of models, where it is installed
    return Session(robjects)
