"""Regressions of groups, printed as lme4 prints an lmList."""

from fastlmm_hlm.report.frames import matrix_text
from fastlmm_hlm.report.rformat import cat_number

# Groups that are printed; R prints all.
MOST = 1000


def _shown(table):
    """The table as text, and a line about the groups that are left out."""
    text = matrix_text(table.iloc[:MOST])
    return text + (f"... and {len(table) - MOST} more groups\n" if len(table) > MOST else "")


def lmlist_text(formula, data, coef, total, df, sigma):
    """What ``print(lmList(...))`` shows.

    Parameters
    ----------
    formula : str
    data : str or None
        Name of the data.
    coef : DataFrame (groups, p)
    total, df : int
    sigma : float

    Returns
    -------
    str
    """
    call = f"lmList(formula = {formula}" + (f", data = {data}" if data else "") + ")"
    return (f"Call: {call} \nCoefficients:\n{_shown(coef)}\nDegrees of freedom: {total} total; {df} residual\n"
            f"Residual standard error: {cat_number(sigma)}\n")


def summary_text(formula, data, tables, sigma, df):
    """What ``print(summary(lmList(...)))`` shows.

    Parameters
    ----------
    formula : str
    data : str or None
    tables : dict of DataFrame
        By coefficient.
    sigma : float or None
        None without pooling.
    df : int

    Returns
    -------
    str
    """
    model, _, group = formula.rpartition("|")
    lines = f"Call:\n  Model: {model.strip()} | {group.strip()} \n" + (f"   Data: {data} \n" if data else "")
    lines += "\nCoefficients:\n"
    lines += "".join(f"   {name} \n{_shown(table)}" for name, table in tables.items())
    if sigma is not None:
        lines += f"\nResidual standard error: {cat_number(sigma)} on {df} degrees of freedom\n"
    return lines


def intervals_text(tables):
    """What ``print(confint(lmList(...)))`` shows: a matrix per coefficient, as R prints an array."""
    return "\n".join(f", , {name}\n\n{_shown(table)}" for name, table in tables.items())
