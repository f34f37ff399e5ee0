"""Predictions of a fit for its own rows or for new data, with standard errors and intervals."""

import numpy as np
import pandas as pd
from scipy import stats

from fastlmm_hlm._core.threads import allowed_threads, run_all
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.inference.contest import check_level
from fastlmm_hlm.inference.ddf import canonical_name, method_of
from fastlmm_hlm.inference.newparams import with_parameters
from fastlmm_hlm.inference.predictionrows import rows_for, slices
from fastlmm_hlm.inference.priorweights import weights_for
from fastlmm_hlm.inference.progress import ProgressBar
from fastlmm_hlm.inference.reform import chosen_columns
from fastlmm_hlm.inference.rowvariance import RowVariance

# Half as many or a quarter cost 15 to 40% more per row (10,000,000 rows).
ROWS = 131_072
# Fewer rows than this are not worth a thread.
ROWS_PER_THREAD = 4 * ROWS
INTERVALS = (None, "none", "confidence", "prediction")
NA_ACTIONS = ("pass", "exclude", "omit", "fail", "raise")


def predict(
    fit, newdata=None, *, re_form=None, random_only=False, allow_new_levels=False, na_action="pass", se_fit=False,
    interval=None, level=0.95, type="response", newparams=None, weights=None, ddf="asymptotic", progress=False,
):
    """Predicted values, offset + X beta + Z b.

    Parameters
    ----------
    fit : LinearMixedModel
        Its rows are needed only without `newdata`.
    newdata : data frame or dict of columns, optional
        With the columns that the formula uses; the response is not one of them.  By
        default the rows of the fit.
    re_form : None, "NA" or str
        Random effects to include: all; none (also nan or "~0"); or those of a formula,
        "~ (1 | g)", whose terms are terms of the fit or parts of them.
    random_only : bool
        Z b alone.
    allow_new_levels : bool
        Take the effects of levels that the fit did not see, and of missing ones, as
        zero; their variance then counts in standard errors.  By default an error.
    na_action : {"pass", "exclude", "omit", "fail"}
        Rows with a missing predictor: predicted as NaN ("pass", "exclude"), left out,
        or refused.
    se_fit : bool
        Also give standard errors.
    interval : {None, "confidence", "prediction"}
        Limits for the predicted mean, or for a new observation in the row.
    level : float
        Of the interval.
    type : {"response", "link"}
        The same for a linear model.
    newparams : dict, optional
        Other "beta", "theta" or "sigma"; the spherical random effects stay as they are.
    weights : str, array or float, optional
        Prior weights of the rows, for ``interval="prediction"``; by default those of the
        fit, evaluated in newdata.
    ddf : {"asymptotic", "Satterthwaite", "Kenward-Roger"}
        Quantiles of the interval: normal, or t with these degrees of freedom, which are
        defined for the fixed part alone (``re_form="NA"``).
    progress : bool
        Show a progress bar; needs tqdm.

    Returns
    -------
    Series (n,), or DataFrame with the columns fit, se_fit, lwr and upr as far as asked for
        Index: that of newdata, or of the data as in `fitted`.

    Raises
    ------
    UnknownColumnError
        If newdata lack a column.
    DataError
        For a level that the fit did not see, values of another kind, missing groups.
    ArgumentError
        For arguments out of range, or a random term that the fit lacks.
    RowsNotKeptError
        Without newdata, if the fit was pickled without its rows.

    Notes
    -----
    Standard errors are those of the joint distribution of beta-hat and b given theta,
    sigma^2 [x z] C^-1 [x z]' with the coefficient matrix C of Henderson's equations [1]_; a new level adds
    its prior variance, a prediction interval sigma^2 / weight.  That theta is estimated is left out of account, as in
    lme4.

    References
    ----------
    .. [1] Henderson (1975), Biometrics 31, 423-447.
    """
    _check(interval, type, na_action, weights, level)
    na_action = na_action.replace("na.", "", 1)
    chosen = chosen_columns(fit, re_form)
    own = with_parameters(fit, newparams)
    rows = rows_for(own, newdata, chosen, not random_only, "predict")
    interval = None if interval == "none" else interval
    method = _method(fit, ddf, interval, chosen, newparams, random_only)
    weight = weights_for(own, newdata, rows, weights) if interval == "prediction" else None
    variance = RowVariance(own, rows.wanted) if se_fit or interval else None
    out = _Predictions(own, rows, bool(allow_new_levels), variance, method)
    out.run(progress)
    columns = {"fit": out.fit}
    if se_fit:
        columns["se_fit"] = out.se
    if interval:
        error = own._estimates.sigma**2 / (1.0 if weight is None else weight) if interval == "prediction" else 0.0
        half = _quantile(level, out.df) * np.sqrt(out.se**2 + error)
        columns |= {"lwr": out.fit - half, "upr": out.fit + half}
    return _labelled(columns, rows, na_action)


class _Predictions:
    """Fills predictions, standard errors and degrees of freedom block by block."""

    def __init__(self, fit, rows, allow_new_levels, variance, method):
        self.rows, self.allowed, self.variance, self.method = rows, allow_new_levels, variance, method
        e = fit._estimates
        self.beta, self.threads = np.ascontiguousarray(e.beta), allowed_threads(fit._settings.control.threads)
        self.b = [np.ascontiguousarray(e.b[f][:, which]) for f, which in rows.wanted.items()]
        self.fit = np.empty(rows.n)
        self.se = None if variance is None else np.empty(rows.n)
        self.df = None if method is None else np.empty(rows.n)

    def run(self, progress):
        """Go over the rows; plain predictions on threads."""
        n, size = self.rows.n, ROWS if self.variance is None else min(ROWS, self.variance.at_a_time)
        threads = min(self.threads, n // ROWS_PER_THREAD) if self.variance is None else 1
        with ProgressBar(progress, n, "predict", "row") as bar:
            def one(part):
                self.block(part)
                if bar is not None:
                    bar.update(part.stop - part.start)

            run_all([lambda part=part: one(part) for part in slices(n, size)], threads)

    def block(self, part):
        """The rows of one slice."""
        block = self.rows.block(part)
        if not self.allowed and any(factor.codes.min() < 0 for factor in block.factors):
            self.rows.refuse_unknown()
        block.add_up(self.beta, self.b, self.fit[part])
        if self.variance is None:
            return
        if self.method is None:
            self.se[part] = np.sqrt(self.variance(block))
        else:
            x = block.x(len(self.beta))
            self.se[part] = np.sqrt(np.einsum("np,pq,nq->n", x, self.method.vcov, x, optimize=True))
            seen = ~np.isnan(self.se[part])
            self.df[part] = np.nan
            self.df[part][seen] = self.method.df(x[seen])


def _check(interval, type, na_action, weights, level):
    if interval not in INTERVALS:
        raise ArgumentError(f"predict: interval = {interval!r} is not known; use None, 'confidence' or 'prediction'.")
    if type not in ("response", "link"):
        raise ArgumentError(f"predict: type = {type!r} is not known; use 'response' or 'link', the same for a linear model.")
    if not isinstance(na_action, str) or na_action.replace("na.", "", 1) not in NA_ACTIONS:
        raise ArgumentError(f"predict: na_action = {na_action!r} is not known; use 'pass', 'exclude', 'omit' or 'fail'.")
    if weights is not None and interval != "prediction":
        raise ArgumentError("predict: weights are for interval='prediction' alone; predictions do not depend on them.")
    check_level(level, "predict")


def _method(fit, ddf, interval, chosen, newparams, random_only):
    """The method for degrees of freedom, None for normal quantiles."""
    if canonical_name(ddf, "predict") == "lme4":
        return None
    if any(columns.any() for columns in chosen) or newparams is not None or random_only:
        raise ArgumentError(
            f"predict: ddf = {ddf!r} is defined for linear combinations of the fixed effects; use it with re_form='NA' and "
            "without newparams, or leave it out for normal quantiles."
        )
    if interval is None:
        raise ArgumentError(f"predict: ddf = {ddf!r} is for intervals; give interval='confidence' or 'prediction' too.")
    return method_of(fit, ddf)


def _quantile(level, df):
    p = 0.5 + 0.5 * level
    return stats.norm.ppf(p) if df is None else stats.t.ppf(p, df)


def _labelled(columns, rows, na_action):
    """Series or DataFrame in the order of the data, rows with missing values as asked."""
    of_fit = hasattr(rows, "rows")
    if of_fit:
        series = {name: rows.rows.series(values, name) for name, values in columns.items()}
    else:
        series = {name: pd.Series(values, index=rows.index, name=name, copy=False) for name, values in columns.items()}
    if na_action in ("omit", "fail", "raise"):
        missing = series["fit"].isna().to_numpy()
        if missing.any() and na_action != "omit" and not of_fit:
            _refuse_missing(rows, missing)
        if missing.any() and na_action == "omit":
            series = {name: values[~missing] for name, values in series.items()}
    return series["fit"] if len(series) == 1 else pd.DataFrame(series)


def _refuse_missing(rows, missing):
    first, names = rows.index[int(np.argmax(missing))], rows.new.missing_columns()
    raise DataError(
        f"predict: {(count := int(missing.sum()))} row{'s have' if count > 1 else ' has'} no prediction because of missing values"
        f"{' in ' + ', '.join(names) if names else ''}, the first is row {first!r}, and na_action = 'fail' allows none."
    )
