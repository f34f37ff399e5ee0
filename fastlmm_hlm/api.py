"""lmer(): the door through which users come in."""

import numpy as np

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.model.fitting import Settings
from fastlmm_hlm.model.mixedmodel import fit_model
from fastlmm_hlm.optimize.control import Control, lmerControl


def lmer(
    formula,
    data,
    *,
    REML=True,  # noqa: N803 - lme4's name
    weights=None,
    offset=None,
    subset=None,
    contrasts=None,
    na_action="omit",
    start=None,
    control=None,
    verbose=0,
    keep_data=False,
    progress=False,
):
    """Fit a linear mixed model.

    Parameters
    ----------
    formula : str
        In R's syntax: ``"score ~ exam.prep.days + (1 + exam.prep.days | class)"``.
    data : data frame, or a source
        pandas, polars, pyarrow, or anything narwhals understands; or a dict of columns.  A path to
        Parquet, CSV or Feather files (a file, a folder, a pattern, or a list), a pyarrow dataset, a
        DuckDB relation, a polars LazyFrame, or a function that gives data frames one after the other
        is read block by block, once or, where the formula needs it, twice, and may be larger than memory;
        so may a `Store` that `prepare` wrote.  A Dask or Spark DataFrame is summed by the workers, where
        its partitions lie.
    REML : bool
        Maximize the restricted likelihood (default) or the likelihood.
    weights : str or array, optional
        Prior weights w, Var(error) = sigma^2 / w: a column, an expression in the
        columns, or one number per row.
    offset : str or array, optional
        Known part of the linear predictor; adds to offset() terms of the formula.
    subset : str or array, optional
        Rows to use: a condition such as "Days >= 2", or booleans.
    contrasts : dict, optional
        Factor -> "contr.treatment", "contr.sum", "contr.helmert", "contr.poly", "contr.SAS".
    na_action : {"omit", "exclude", "fail"}
        Rows with missing values are left out; "exclude" pads residuals and
        fitted values with NaN; "fail" refuses.
    start : array or dict, optional
        Starting values of theta.
    control : lmerControl(...), optional
    verbose : int
        Above 0, log the steps of the optimizer.
    keep_data : bool
        Keep the rows when the fit is pickled.
    progress : bool
        Show a bar for each pass over a source (needs tqdm).

    Returns
    -------
    LinearMixedModel

    Raises
    ------
    FormulaError
        The formula cannot be read or asks for something impossible.
    DataError
        The data cannot be used; UnknownColumnError for a column that is not there.
    ArgumentError
        An argument has a value that is not accepted.

    Warns
    -----
    SingularFitWarning, RankDeficientWarning, ConvergenceWarning

    Examples
    --------
    >>> from fastlmm_hlm import lmer, datasets
    >>> fit = lmer("Reaction ~ Days + (Days | Subject)", datasets.load("sleepstudy"))
    >>> round(fit.REMLcrit(), 3)
    1743.628
    """
    if control is None:
        control = Control()
    elif not isinstance(control, Control):
        raise ArgumentError(f"lmer: control = {control!r}; make it with lmerControl(...).")
    if not isinstance(REML, (bool, np.bool_, int)) or REML not in (0, 1):
        raise ArgumentError(f"lmer: REML = {REML!r}; expected True or False.")
    return fit_model(
        Settings(formula, data, bool(REML), weights, offset, subset, contrasts, na_action, start, control, verbose,
                 keep_data, progress)
    )


__all__ = ["lmer", "lmerControl"]
