"""What a printed fit is made of, free of the model that produced it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

REML_TITLE = "Linear mixed model fit by REML"
ML_TITLE = "Linear mixed model fit by maximum likelihood "
GIVEN_TITLE = "Linear mixed model with given parameters, not fitted"
SINGULAR_MESSAGE = "boundary (singular) fit: see help('isSingular')"
MOST_CORRELATIONS = 12
"""Tables of correlations wider than this are printed only when asked for."""


def lmm_title(reml, given=False, origin=None):
    """First line of a printed linear mixed model, without the class.

    Parameters
    ----------
    reml : bool
    given : bool
        The parameters were given, not estimated.
    origin : str, optional
        The program that estimated them, if it was another one.

    Returns
    -------
    str
    """
    title = GIVEN_TITLE if given else REML_TITLE if reml else ML_TITLE
    return title if origin is None else f"{title.rstrip()} in {origin}, not refitted"


class VarCorrTerm(NamedTuple):
    """One random-effects term: its grouping factor and its covariance.

    name : str
        Label under "Groups", e.g. "Subject" or "Subject.1".
    columns : sequence of str, length c
    covariance : array_like, shape (c, c)
    show_corr : bool
        False for a diagonal covariance, which has no correlations to show.
    """

    name: str
    columns: Sequence[str]
    covariance: np.ndarray
    show_corr: bool = True


@dataclass(frozen=True)
class SummaryParts:
    """Everything that ``print(fit)`` and ``print(summary(fit))`` show.

    Attributes
    ----------
    formula : str
        R's syntax; it is respaced and broken over lines as R would.
    varcorr : sequence of VarCorrTerm
        Tuples (name, columns, covariance (c, c), show_corr) will do.
    sigma : float or None
        Residual standard deviation; None when the family has no scale.
    nobs : int
        Rows used.
    ngroups : mapping of str to int
        Number of levels by grouping factor, in the order to print.
    coefficients : DataFrame, shape (p, 2 to 5)
        Index: coefficient names.  Columns as they are to be headed, e.g.
        Estimate, Std. Error, df, t value, Pr(>|t|).
    criterion : mapping of str to float
        ``{"REML": value}``, or AIC, BIC, logLik, deviance, df.resid.
    title : str
        See `lmm_title`.
    ddf : str or None
        Method for the degrees of freedom of the t-tests, "Satterthwaite" or
        "Kenward-Roger"; the title of the summary names it.
    class_name : str
        Shown in brackets after the title.
    family, link : str or None
        Printed for a generalized model.
    data, weights, offset, control, subset : str or None
        Text of these arguments; None leaves the line out.  `control` is
        shown by the summary only.
    residual_quantiles : array_like, shape (5,), or None
        Minimum, quartiles and maximum of the scaled residuals.
    correlation : array_like, shape (p, p), or None
        Correlation of the fixed-effects estimates.
    show_correlation : bool or None
        None: shown up to 12 coefficients, above that a hint is printed.
    correlation_hint : tuple of two str
        What to type for the correlations, and for the covariances.
    left_out : str or None
        What to say about rows that were left out, without the brackets.
    fit_warnings : sequence of str
        Messages from before the fit, such as dropped columns.
    optimizer : str
    convergence_code : int
        0 when the optimizer stopped as it should.
    convergence_message : str
        The optimizer's own words for another code.
    messages : sequence of str
        What the check of the optimum found.
    optimizer_warnings : sequence of str
    singular : bool
        Adds the message about a singular fit if `messages` lacks it.
    signif_stars : bool
    given : bool
        The parameters were given, not estimated.
    """

    formula: str
    varcorr: Sequence[VarCorrTerm]
    sigma: float | None
    nobs: int
    ngroups: Mapping[str, int]
    coefficients: pd.DataFrame
    criterion: Mapping[str, float]
    title: str = REML_TITLE
    ddf: str | None = None
    class_name: str = "lmerMod"
    family: str | None = None
    link: str | None = None
    data: str | None = None
    weights: str | None = None
    offset: str | None = None
    control: str | None = None
    subset: str | None = None
    residual_quantiles: Sequence[float] | None = None
    correlation: np.ndarray | None = None
    show_correlation: bool | None = None
    correlation_hint: tuple[str, str] = ("summary(fit, correlation=True)", "vcov(fit)")
    left_out: str | None = None
    fit_warnings: Sequence[str] = ()
    optimizer: str = "newton"
    convergence_code: int = 0
    convergence_message: str = ""
    messages: Sequence[str] = ()
    optimizer_warnings: Sequence[str] = field(default=())
    singular: bool = False
    signif_stars: bool = True
    given: bool = False

    def summary_title(self):
        """The title with the method of the t-tests."""
        return self.title if self.ddf is None else f"{self.title}. t-tests use {self.ddf}'s method"

    def all_messages(self):
        """Messages about the optimum, the singular fit among them."""
        messages = list(self.messages)
        if self.singular and SINGULAR_MESSAGE not in messages:
            messages.append(SINGULAR_MESSAGE)
        return messages
