"""Responses simulated from a formula, data and parameters, without a fit: lme4's simulate.formula()."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.design.design import build_design
from fastlmm_hlm.errors import ArgumentError, FormulaError
from fastlmm_hlm.formula import Formula, build_frame, parse_formula
from fastlmm_hlm.formula.columns import DataColumns
from fastlmm_hlm.formula.foreign import narwhals_frame
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.inference.givenparameters import parameters
from fastlmm_hlm.inference.simulation import ResponseSimulator, generator_of, seed_sequence

# A name for the response of a formula that has none.
NO_NAME = "simulated_response"
# Nothing is estimated, so one row per level, or one level, will do.
CHECKS_OF_A_FIT = ("nlev.gtr.1", "nobs.vs.nlev", "nobs.vs.nRE", "response.not.const")


def simulate_formula(formula, newdata, newparams, nsim=1, seed=None, *, weights=None, offset=None, contrasts=None):
    """Simulate responses of a model that was not fitted: lme4's ``simulate(~ x + (1 | g), newdata=, newparams=)``.

    y = offset + X beta + Z b + e, with b drawn anew for every replicate.

    Parameters
    ----------
    formula : str
        The response may be left out; one that is there is not used.
    newdata : data frame
        pandas, polars, pyarrow, or a dict of columns; rows with missing values give NaN.
    newparams : dict
        ``beta`` : one number per fixed effect, or a mapping coefficient -> number.
        ``theta`` : relative covariance parameters in lme4's order (``getME(fit, "theta")``),
        or ``VarCorr`` : by grouping factor a vector of standard deviations or a
        covariance matrix, such as ``fit.VarCorr()``.
        ``sigma`` : residual standard deviation.
    nsim : int
    seed : None, int, SeedSequence or Generator
    weights, offset : str or array, optional
        As for `lmer`: Var(e) = sigma^2 / weight.
    contrasts : dict, optional
        As for `lmer`.

    Returns
    -------
    DataFrame (n, nsim)
        Columns sim_1, sim_2, ...; the index of newdata.

    Raises
    ------
    ArgumentError
        If a parameter is missing or has the wrong number of values.
    UnknownColumnError
        If the formula names a column that newdata do not have.

    Examples
    --------
    >>> import pandas as pd
    >>> plan = pd.DataFrame({"x": [0, 1] * 10, "g": list("abcde") * 4})
    >>> y = simulate_formula("~ x + (1 | g)", plan, {"beta": [2.0, 0.5], "VarCorr": {"g": 1.0}, "sigma": 0.3}, nsim=2, seed=1)
    >>> y.shape
    (20, 2)
    """
    caller = "simulate"
    if isinstance(nsim, bool) or not isinstance(nsim, Integral) or nsim < 1:
        raise ArgumentError(f"{caller}: nsim = {nsim!r}; expected a whole number, at least 1.")
    frame = frame_without_response(formula, newdata, caller, weights=weights, offset=offset, contrasts=contrasts)
    design = build_design(frame)
    simulator = ResponseSimulator(design, *ordered(parameters(newparams, design, caller)))
    sequence = seed_sequence(seed)
    out = np.full((frame.n_input, nsim), np.nan, order="F")
    rows = slice(None) if frame.rows is None else frame.rows
    for i in range(nsim):
        out[rows, i] = simulator.draw(generator_of(sequence, i))
    return pd.DataFrame(out, index=DataColumns(newdata).index, columns=[f"sim_{i + 1}" for i in range(nsim)])


def ordered(beta_templates_sigma):
    """The order in which `ResponseSimulator` takes them."""
    beta, templates, sigma = beta_templates_sigma
    return beta, sigma, templates


def frame_without_response(formula, data, caller, **arguments):
    """The model frame of a formula whose response need not be in the data: it is zero.

    Parameters
    ----------
    formula : str or Formula
    data : data frame or mapping
    caller : str
    **arguments
        Of `build_frame`.

    Returns
    -------
    ModelFrame

    Raises
    ------
    FormulaError, UnknownColumnError, DataError
    """
    formula = parse_formula(formula)
    source = DataColumns(data)
    node = formula.response_node
    if node is None or not (isinstance(node, Name) or all(name in source for name in column_names(node))):
        name = NO_NAME
        while name in source:
            name += "_"
        formula = Formula(f"{name} ~ {formula.text.partition('~')[2]}")
        node = formula.response_node
    if not formula.bars:
        raise FormulaError(f"{caller}: '{formula.text.partition('~')[2].strip()}' has no random term; add one such as (1 | group).")
    if isinstance(node, Name):
        data = with_column(data, node.text, np.zeros(source.n))
    return build_frame(formula, data, skip_checks=CHECKS_OF_A_FIT, **arguments)


def with_column(data, name, values):
    """The data with one column added or replaced; the user's own are left alone.

    Parameters
    ----------
    data : data frame or mapping
    name : str
    values : ndarray (n,)
    """
    if isinstance(data, pd.DataFrame):
        return data.assign(**{name: values})
    if isinstance(data, Mapping):
        return {**data, name: values}
    import narwhals.stable.v1 as nw

    frame = narwhals_frame(data)
    return frame.with_columns(nw.new_series(name, values, backend=nw.get_native_namespace(frame))).to_native()
