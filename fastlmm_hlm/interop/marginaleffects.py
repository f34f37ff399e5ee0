"""A fit as the package marginaleffects expects a model.

marginaleffects (GPL-3) is no dependency: it is imported when `wrap` is called.
"""

from functools import lru_cache

import numpy as np

from fastlmm_hlm.errors import FastlmmError
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.syntax import column_names
from fastlmm_hlm.inference.ddf import method_of
from fastlmm_hlm.inference.emmeans.facts import facts_of, rows_at


def wrap(fit, ddf="asymptotic"):
    """A model for marginaleffects: predictions, comparisons and slopes of the fixed part.

    Predictions leave the random effects out, as ``re.form = NA`` does in R.

    Parameters
    ----------
    fit : LinearMixedModel
        With its rows; without missing values in the columns that it uses.
    ddf : str
        "Kenward-Roger" takes its adjusted covariance matrix; tests stay normal.

    Returns
    -------
    marginaleffects.classes.ModelAbstract

    Raises
    ------
    FastlmmError
        If marginaleffects or polars is not installed.
    RowsNotKeptError
        If the fit was pickled without its rows.

    Examples
    --------
    >>> from marginaleffects import avg_slopes                                 # doctest: +SKIP
    >>> avg_slopes(wrap(fit), variables="Days")                                # doctest: +SKIP
    """
    try:
        from marginaleffects.classes import ModelVault
    except ImportError as error:
        raise FastlmmError(
            "wrap: this needs the packages marginaleffects and polars; run: pip install marginaleffects"
        ) from error
    facts = facts_of(fit, "wrap")
    data = _model_data(fit, facts)
    method = method_of(fit, ddf)
    vault = ModelVault(
        coef=fit.fixef().to_numpy(),
        coefnames=np.array(fit.fixef().index, dtype=object),
        formula=_plain_formula(data.columns, facts),
        modeldata=data,
        package="fastlmm_hlm",
        vcov=np.asarray(method.vcov),
        variable_names=list(data.columns),
    )
    return _model_class()(fit, vault)


@lru_cache(maxsize=1)
def _model_class():
    """The class of wrapped models; it needs marginaleffects to be defined."""
    import polars as pl
    from marginaleffects.classes import ModelAbstract

    class FixedPart(ModelAbstract):
        """The fixed part of a linear mixed model."""

        def get_exog(self, newdata):
            """X of new data, (n, p)."""
            return _matrix(self.model, newdata)

        def get_predict(self, params, newdata):
            """X beta and the offset, with the number of each row."""
            frame = newdata if hasattr(newdata, "columns") and not isinstance(newdata, np.ndarray) else None
            X = np.asarray(newdata, dtype=float) if frame is None else _matrix(self.model, frame)
            eta = X @ np.asarray(params, dtype=float)
            if frame is not None:
                eta = eta + self.model._spec.offset(frame)
            return pl.DataFrame({"rowid": np.arange(len(eta), dtype=np.int32), "estimate": eta})

    return FixedPart


def _matrix(fit, newdata):
    """X of new data with the columns that were estimated."""
    return np.asarray(fit._spec.fixed(newdata))[:, fit._kept_columns]


def _plain_formula(columns, facts):
    """The columns by name alone: X is made by the fit, so their functions need not be understood."""
    quoted = {name: name if name.isidentifier() else f"`{name}`" for name in columns}
    response = next((quoted[name] for name in columns if name not in facts.variables), "")
    return f"{response} ~ {' + '.join(quoted[name] for name in facts.variables) or '1'}"


def _model_data(fit, facts):
    """The columns of the fixed part and the response at the rows of the fit, a polars data frame."""
    import polars as pl

    rows = fit._rows_or_raise("wrap")
    source = DataColumns(fit._settings.data)
    response = [name for name in column_names(fit._spec.formula.response_node) if name in source]
    positions = np.arange(source.n) if rows.positions is None else rows.positions
    frame = rows_at(source, [*response, *facts.variables], positions)
    columns = []
    for name in frame.columns:
        values = frame[name]
        variable = facts.variables.get(name)
        if variable is not None and variable.is_factor and isinstance(variable.levels[0], str):
            columns.append(pl.Series(name, [str(v) for v in values], dtype=pl.Enum([str(v) for v in variable.levels])))
        else:
            columns.append(pl.Series(name, values.to_numpy()))
    return pl.DataFrame(columns)
