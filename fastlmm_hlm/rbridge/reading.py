"""read_rds(), read_rdata(), from_r(): models that lme4 or lmerTest fitted, with their estimates."""

import os
import pathlib

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.rbridge.recreate import recreate
from fastlmm_hlm.rbridge.session import session
from fastlmm_hlm.rbridge.values import plain

READABLE = ("lmerMod", "lmerModLmerTest", "merModLmerTest")
ANOTHER = {
    "glmerMod": "a generalized linear mixed model (glmer)", "nlmerMod": "a nonlinear mixed model (nlmer)", "lme": "a model of nlme",
    "rlmerMod": "a robust model of robustlmm", "blmerMod": "a penalized model of blme", "lm": "a model without random effects",
}


def read_rds(path, data=None):
    """Read models of lme4 or lmerTest that R saved with saveRDS(), with R's estimates.

    Nothing is fitted: theta, beta and sigma are R's, also where R's optimum is not quite the best one; how far it is
    from that stands in ``fit.optinfo["predicted_decrease"]``, and ``refit(fit)`` fits here.

    Parameters
    ----------
    path : str or Path
    data : data frame, optional
        The data of the fit.  The file holds the variables as the formula evaluated them; columns that occur only inside of
        calls are recovered where the call can be undone (``scale(x)``, ``poly(x, 2)``, ``ns(x, 3)``, ``log(x)``), or found
        in the file, and are otherwise missing.  ``data`` is needed for them, and for calls such as ``I(x - mean(x))``.

    Returns
    -------
    LinearMixedModel, or dict of str to LinearMixedModel
        A dict for a list of models, however deep; names are joined by dots, elements without a name counted from 1.

    Raises
    ------
    RMissingError
        If R, rpy2 or lme4 is missing.
    DataError
        If the file cannot be read, holds no model or one of another kind, or if R's matrices cannot be made again here
        from its model frame; `data` other than the model's.
    FileNotFoundError
    """
    caller, path = "read_rds", _existing(path)
    return _models(caller, session().call(caller, "read_rds", os.fspath(path)), data, f"{path}")


def read_rdata(path, data=None):
    """Read the models in a file that R wrote with save(), such as .RData.

    Parameters
    ----------
    path : str or Path
    data : data frame, optional
        As for `read_rds`, for all of them.

    Returns
    -------
    dict of str to LinearMixedModel
        By the names of the objects; other objects are left out.

    Raises
    ------
    RMissingError, DataError, FileNotFoundError
        As `read_rds`.
    """
    caller, path = "read_rdata", _existing(path)
    return _models(caller, session().call(caller, "read_rdata", os.fspath(path)), data, f"{path}")


def from_r(model, data=None):
    """A model of lme4 or lmerTest in a running R, with R's estimates.

    Parameters
    ----------
    model : rpy2 object, or str
        A merMod or a list of them; or the name of one in R's global environment.
    data : data frame, optional
        As for `read_rds`.

    Returns
    -------
    LinearMixedModel, or dict of str to LinearMixedModel

    Raises
    ------
    RMissingError, DataError
        As `read_rds`.
    """
    caller, r = "from_r", session()
    what = "the object"
    if isinstance(model, str):
        what = f"R's {model}"
        try:
            model = r.robjects.globalenv[model]
        except KeyError:
            raise DataError(f"{caller}: R's global environment has no {model!r}; it has {', '.join(r.robjects.globalenv.keys()) or 'nothing'}.") from None
    if not hasattr(model, "rid"):
        raise DataError(f"{caller}: expected an object of R (rpy2), got {type(model).__name__}.")
    return _models(caller, r.call(caller, "given_object", model), data, what)


def _existing(path):
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    return path


def _models(caller, answer, data, what):
    """The models of one answer of R."""
    answer = plain(answer)
    found = answer["found"] or []
    if not found:
        raise DataError(f"{caller}: {what} is of R's class {answer['class'][0]} and holds no model of lme4; save one with saveRDS(fit, file).")
    for one in found:
        kind = one["class"][0]
        if kind not in READABLE:
            which = f"{what}, element {one['path'][0]!r}," if one["path"][0] else what
            raise DataError(f"{caller}: {which} is {ANOTHER.get(kind, 'no linear mixed model')} of class {kind}; expected a linear mixed "
                            "model of lme4 or lmerTest (lmer).")
    writer = None if answer["writer"] is None else answer["writer"][0]
    fits = {}
    for one in found:
        parts = plain(session().call(caller, "stored_model", one["model"]))
        who = caller if not one["path"][0] else f"{caller}: {one['path'][0]}"
        fits[one["path"][0]] = recreate(parts, data, who, writer)
    return fits[""] if bool(answer["single"][0]) else fits
