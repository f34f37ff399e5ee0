"""verify(): one model here and in lme4, and every number of both side by side."""

import platform
import time
import warnings

import numpy as np
import pandas as pd
import scipy

from fastlmm_hlm.api import lmer
from fastlmm_hlm.errors import ArgumentError, FastlmmError, UnknownColumnError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.rows import check_na_action
from fastlmm_hlm.inference.ddf import canonical_name
from fastlmm_hlm.model.pickling import refuse_lost_vectors
from fastlmm_hlm.verification import answers, rsession, verdicts
from fastlmm_hlm.verification.columns import environment
from fastlmm_hlm.verification.differences import checked_tolerances, criterion_tolerance, differences
from fastlmm_hlm.verification.record import SCHEMA, agreement, side
from fastlmm_hlm.verification.verification import Verification

# A fit that takes less is timed twice, and the shorter time counts, on both sides.
SHORT = 1.0
STRUCTURED = ("diag", "cs", "ar1")


def verify(
    formula,
    data=None,
    *,
    REML=True,  # noqa: N803 - lme4's name
    weights=None,
    offset=None,
    subset=None,
    contrasts=None,
    na_action="omit",
    control=None,
    ddf="Satterthwaite",
    tolerances=None,
):
    """Fit a model here and in lme4, and compare every number.

    lme4 answers at three points: its fit as it is; its optimizer run on from there with tight tolerances; and its
    own functions at the estimates found here, without an optimizer.  So a difference that comes from where lme4's
    optimizer stops is told from one of the models.

    Parameters
    ----------
    formula : str or LinearMixedModel
        A fit of `lmer` is compared as it is, with its own data and arguments.
    data : data frame
        Whatever `lmer` takes; R gets the columns of the model with their types.
    REML, weights, offset, subset, contrasts, na_action, control
        As in `lmer`; control concerns the fit made here only.
    ddf : {"Satterthwaite", "Kenward-Roger", "lme4"}
        Degrees of freedom and p-values of lmerTest, those of pbkrtest, or none.
    tolerances : mapping of str to float, optional
        Quantity -> largest difference that counts as equal; see ``.table``.

    Returns
    -------
    Verification
        ``.verdict`` is "equal", "equal_after_refit", "ours_lower" (these are ``.ok``), "different", or
        "refused_here", "refused_by_r", "refused_by_both".

    Raises
    ------
    RMissingError
        R, rpy2, lme4, or lmerTest or pbkrtest if `ddf` needs them, is not installed; the message has the command.
    RowsNotKeptError
        For a fit that holds no data.
    ArgumentError, DataError, FormulaError
        For arguments and columns that do not exist or cannot be used, and a formula that cannot be read.
    """
    method, limits = canonical_name(ddf, "verify"), checked_tolerances(tolerances)
    fit = None
    if hasattr(formula, "isLMM"):
        fit, settings = formula, _settings_of(formula, data)
    else:
        parse_formula(formula)                          # a formula that cannot be read is an error before R is started
        settings = {"formula": formula, "data": data, "REML": REML, "weights": weights, "offset": offset, "subset": subset,
                    "contrasts": contrasts, "na_action": check_na_action(na_action), "control": control}
    versions = rsession.start(method)
    return _compared(settings, fit, method, limits, versions)


def _settings_of(fit, data):
    """The arguments of a fit.

    Raises
    ------
    ArgumentError
        If it was not fitted to its data, or data are given beside it.
    """
    if data is not None:
        raise ArgumentError("verify: a fit brings its own data; give verify(fit), or verify(formula, data).")
    if fit._given:
        raise ArgumentError("verify: the parameters of this model were given and not estimated; lme4 would estimate them.")
    if fit._response_replaced:
        raise ArgumentError("verify: the response of this fit was replaced (refit, simulate); fit the model to data that hold it.")
    fit._rows_or_raise("verify")
    settings = fit._settings
    refuse_lost_vectors("verify", settings)
    if settings.data is None:
        fit._rows_or_raise("verify")
        raise ArgumentError("verify: this fit no longer refers to its data; give verify(formula, data).")
    names = ("data", "REML", "weights", "offset", "subset", "contrasts", "na_action", "control")
    return {"formula": fit._formula_text} | {name: getattr(settings, name) for name in names}


def _compared(settings, fit, method, limits, versions):
    source = DataColumns(settings["data"])
    seconds, refusal, said = None, None, []
    try:
        fit, seconds, said = _fitted(settings, fit)
    except UnknownColumnError:
        raise
    except FastlmmError as error:
        if isinstance(error, ArgumentError):
            raise
        refusal = f"{error}"
    base = {
        "schema": SCHEMA, "formula": str(settings["formula"]).strip(), "REML": bool(settings["REML"]), "ddf": method,
        "arguments": _shown_arguments(settings), "versions": _versions(versions), "messages": said,
    }
    try:
        answer = _asked(settings, source, fit, method, limits, versions)
    except rsession.RRefusedError as error:
        return _refused(base, refusal, f"{error}")
    if refusal is not None:
        return _refused(base, refusal, None)
    return Verification(base | _comparison(fit, answer, limits, method, seconds))


def _fitted(settings, fit):
    """The fit, its seconds and its warnings; an existing fit brings its time with it."""
    if fit is not None:
        return fit, fit.optinfo.get("seconds"), []
    arguments = {name: value for name, value in settings.items() if name not in ("formula", "data")}
    times = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while not times or (len(times) == 1 and times[0] < SHORT):
            began = time.perf_counter()
            fit = lmer(settings["formula"], settings["data"], **arguments)
            times.append(time.perf_counter() - began)
    return fit, min(times), list(dict.fromkeys(str(warning.message) for warning in caught))


def _asked(settings, source, fit, method, limits, versions):
    formula = parse_formula(settings["formula"])
    _refuse_structures(formula, versions["lme4"])
    env, expressions = environment(formula, source, {name: settings[name] for name in ("weights", "offset", "subset")})
    for_r = {"formula": formula.text, "REML": bool(settings["REML"]), "na_action": f"na.{settings['na_action']}", "ddf": method,
             "contrasts": settings["contrasts"] or None} | expressions
    if for_r["na_action"] == "na.exclude":
        for_r["na_action"] = "na.omit"                  # the same rows; results are compared without the padding
    ours = None
    if fit is not None:
        criterion = fit.deviance(REML=fit.isREML())
        ours = {"theta": np.asarray(fit.theta), "criterion": criterion, "tolerance": criterion_tolerance(limits, criterion)}
        scale = answers.theta_scale(answers.column_moments(fit))
        if scale is not None and len(scale) == len(fit.theta):
            ours["scale"] = scale
            if method == "Satterthwaite" and len(fit.fixef()) and not fit.isSingular():
                ours["df"] = fit.summary(ddf=method).coefficients["df"].to_numpy(dtype=float)
    return rsession.call(env, for_r, ours)


def _refuse_structures(formula, version):
    """lme4 before 2.0 reads cs(x | g) as (x | g), without a word."""
    found = [bar.text for bar in formula.bars if bar.covariance in STRUCTURED and bar.text.startswith(STRUCTURED)]
    if found and int(version.partition(".")[0]) < 2:
        raise rsession.RRefusedError(f"lme4 {version} does not know the covariance structure of {found[0]}; lme4 2.0 does.")


def _comparison(fit, answer, limits, method, seconds):
    """The parts of the record that compare."""
    ours = answers.ours(fit, method)
    sizes = [np.sqrt(np.diag(moments)) for moments in answers.column_moments(fit)]
    theirs = {point: answers.theirs(answer[point]) if answer.get(point) else None for point in verdicts.POINTS}
    found = {point: None if them is None else differences(ours, them, sizes) for point, them in theirs.items()}
    rows = verdicts.table_rows(found, limits, ours["criterion"], _excused(ours, theirs, method, answer.get("scaled_df"), limits))
    reached = [theirs[point]["criterion"] for point in ("default", "refit")]
    reached += [value for value in [*(answer["optimizers"] or {}).values(), answer.get("from_ours")] if value is not None]
    lowest_alone = min(reached[:2] + list((answer["optimizers"] or {}).values())) - ours["criterion"]
    tolerance = rows[0]["tolerance"]
    below = min(reached) - ours["criterion"]
    verdict, sentence = verdicts.judge(rows, below if below < -tolerance else lowest_alone)
    said = answer["warnings"] or []
    return {
        "verdict": verdict, "ok": verdict in verdicts.OK, "message": sentence,
        "table": verdicts.close_statuses(rows, verdict),
        "criterion": {
            "ours": ours["criterion"], "lme4": theirs["default"]["criterion"], "lme4_refit": theirs["refit"]["criterion"],
            "lme4_at_ours": None if theirs["at_ours"] is None else theirs["at_ours"]["criterion"],
            "lme4_started_from_ours": answer.get("from_ours"),
        },
        "optimizers": {"default": theirs["default"]["criterion"]} | {k if k.startswith("Newton") else f"{k}, tight": v for k, v in (answer["optimizers"] or {}).items()},
        "warnings": verdicts.judged_warnings(
            [said] if isinstance(said, str) else said, theirs["default"]["criterion"] - ours["criterion"], tolerance, ours["singular"],
            fit.optinfo["status"] in ("converged", "singular"), verdicts.is_flat(rows, lowest_alone)),
        "seconds": {"ours": seconds, "lme4": answer["seconds"]},
        "evaluations": {"ours": int(fit.optinfo["evaluations"]), "lme4": answer["default"]["evaluations"]},
        "ours": side(ours), "lme4": {point: None if them is None else side(them) for point, them in theirs.items()},
        "agreement": agreement(ours, theirs[verdicts.POINTS[verdicts.OK.index(verdict)] if verdict in verdicts.OK else "refit"]),
    }


def _excused(ours, theirs, method, scaled_df, limits):
    """Quantities that are not judged where they differ, with the reason: dict of quantity -> reason."""
    found = {}
    if theirs["at_ours"] is not None and theirs["at_ours"]["singular"] != ours["singular"]:
        found["isSingular"] = ("lme4 compares elements of theta with 1e-4, which depends on the units of the predictors; at the theta "
                               "found here it says otherwise than the standardized test used here")
    problem = next((them["problem"] for them in theirs.values() if them is not None and them["problem"]), None)
    if problem:
        return found | dict.fromkeys(("df", "t value", "p-value"), f"lmerTest gave no degrees of freedom: {problem}")
    if ours["singular"] and method == "Satterthwaite":
        return found | dict.fromkeys(("df", "p-value"), "singular fit: lmerTest differentiates across the boundary, so its degrees of "
                                                        "freedom are not those of a covariance of this rank")
    if scaled_df is not None:
        apart = np.abs(np.atleast_1d(scaled_df) / ours["coefficients"]["df"] - 1.0).max()
        if apart <= limits["df"]:
            theirs_df = ", ".join(f"{value:.5g}" for value in theirs["at_ours"]["coefficients"]["df"][:4])
            found |= dict.fromkeys(("df", "p-value"), (
                f"lmerTest's differences by theta lose their digits here (df {theirs_df}); the same derivatives of lme4's functions "
                f"in steps of equal scale give the degrees of freedom found here, to {apart:.1e}"))
    return found


def _refused(base, ours, theirs):
    """The record of a model that one side or both refuse."""
    if ours is None:
        verdict, sentence = verdicts.REFUSED_BY_R, f"R refuses this model, which is fitted here. R says: {theirs}"
    elif theirs is None:
        verdict, sentence = verdicts.REFUSED_HERE, f"lme4 fits this model, which is refused here: {ours}"
    else:
        verdict, sentence = verdicts.REFUSED_BY_BOTH, f"Both refuse this model. Here: {ours} R says: {theirs}"
    return Verification(base | {"verdict": verdict, "ok": False, "message": sentence, "refusals": {"ours": ours, "lme4": theirs}, "table": []})


def _shown_arguments(settings):
    shown = {}
    for name in ("weights", "offset", "subset", "contrasts"):
        value = settings[name]
        if value is not None:
            shown[name] = value if isinstance(value, str) else (
                {k: v if isinstance(v, str) else "(a matrix)" for k, v in value.items()} if isinstance(value, dict) else "(a vector)")
    if settings["na_action"] != "omit":
        shown["na_action"] = settings["na_action"]
    return shown


def _versions(versions):
    from fastlmm_hlm import __version__

    return {"fastlmm_hlm": __version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
            "pandas": pd.__version__} | versions
