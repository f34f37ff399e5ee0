"""The hypotheses behind an analysis of variance."""

from fractions import Fraction

from fastlmm_hlm.errors import ArgumentError

# Denominators tried for a weight as a fraction; other weights are written as decimals.
MOST_PARTS = 1000


def show_tests(table, fractions=False, names=True):
    """The hypotheses behind an analysis of variance.

    Parameters
    ----------
    table : result of ``fit.anova()``
    fractions : bool
        Give the weights as texts such as "1/3".
    names : bool
        Label rows and columns.

    Returns
    -------
    dict term -> DataFrame (rows, p)
        Row L of a term: its hypothesis says that L beta = 0.

    Raises
    ------
    ArgumentError
        If the table holds no hypotheses.
    """
    hypotheses = getattr(table, "hypotheses", None)
    if hypotheses is None:
        raise ArgumentError("show_tests: expected the table of fit.anova() with ddf='Satterthwaite' or 'Kenward-Roger'.")
    out = {}
    for term, L in hypotheses.items():
        shown = L.map(_fraction) if fractions else L.copy()
        out[term] = shown if names else shown.set_axis(range(len(L)), axis=0).set_axis(range(L.shape[1]), axis=1)
    return out


def _fraction(value):
    close = Fraction(value).limit_denominator(MOST_PARTS)
    return str(close) if abs(float(close) - value) <= 1e-9 * max(abs(value), 1e-3) else f"{value:.6g}"
