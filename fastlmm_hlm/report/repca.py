"""Principal components of random effects, printed as R prints them."""

import pandas as pd

from fastlmm_hlm.report.frames import matrix_text
from fastlmm_hlm.report.rformat import format_numbers

# Digits of R's print(summary(prcomp)), and decimals to which it rounds proportions.
DIGITS, DECIMALS = 4, 5


def components_text(parts):
    """What ``print(rePCA(fit))`` shows.

    Parameters
    ----------
    parts : dict of (sdev (c,), rotation (c, c)) by grouping factor

    Returns
    -------
    str
    """
    out = []
    for name, (sdev, rotation) in parts.items():
        c = len(sdev)
        numbers = [f"[{i + 1},]" for i in range(c)]
        table = pd.DataFrame(rotation, index=numbers, columns=[f"[,{i + 1}]" for i in range(c)])
        out.append(f"${name}\nStandard deviations (1, .., p={c}):\n[1] {' '.join(format_numbers(sdev))}\n\n"
                   f"Rotation (n x k) = ({c} x {c}):\n{matrix_text(table)}")
    return "\n".join(out)


def importance_text(tables):
    """What ``print(summary(rePCA(fit)))`` shows.

    Parameters
    ----------
    tables : dict of DataFrame (3, c) by grouping factor

    Returns
    -------
    str
    """
    out = []
    for name, table in tables.items():
        rounded = table.copy()
        rounded.iloc[1:] = rounded.iloc[1:].round(DECIMALS)
        out.append(f"${name}\nImportance of components:\n{matrix_text(rounded, DIGITS)}")
    return "\n".join(out)
