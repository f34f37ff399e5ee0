"""Fits by several optimizers, printed as lme4 prints an allFit."""

import numpy as np

from fastlmm_hlm.report.frames import matrix_text
from fastlmm_hlm.report.layout import named_vector_text
from fastlmm_hlm.report.rformat import cat_number, format_numbers


def allfit_text(formula, data, names, llik):
    """What ``print(allFit(fit))`` shows.

    Parameters
    ----------
    formula : str
    data : str or None
    names : list of str
    llik : ndarray
        Log-likelihoods of the fits that worked.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    lines = f"original model:\n{formula} \n" + (f"data:  {data} \n" if data else "")
    lines += f"optimizers ({len(names)}): {', '.join(names)}\n"
    failed = len(names) - len(llik)
    if failed:
        lines += f"{failed} optimizer(s) failed\n"
    if len(llik):
        spread = np.std(llik, ddof=1) if len(llik) > 1 else np.nan
        lines += (f"differences in negative log-likelihoods:\nmax= {cat_number(np.ptp(llik), 3)} ; "
                  f"std dev= {cat_number(spread, 3)} \n")
    return lines


def summary_text(parts):
    """What ``print(summary(allFit(fit)))`` shows.

    Parameters
    ----------
    parts : dict
        The attributes of an AllFitSummary, in its order.

    Returns
    -------
    str
    """
    out = []
    for name, part in parts.items():
        if name == "msgs":
            text = "".join(f"$msgs${label}\n{'NULL' if said is None else said}\n\n" for label, said in part.items())
        elif hasattr(part, "columns"):
            text = matrix_text(part) + "\n"
        elif part.dtype == bool:
            text = named_vector_text(list(part.index), ["TRUE" if value else "FALSE" for value in part]) + "\n"
        else:
            text = named_vector_text(list(part.index), format_numbers(part.to_numpy())) + "\n"
        out.append(f"${name}\n{text}")
    return "".join(out)
