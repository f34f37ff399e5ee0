"""A bootstrap, printed as R's package boot prints it."""

import numpy as np
import pandas as pd

from fastlmm_hlm.report.frames import matrix_text

TITLES = {
    "parametric": "PARAMETRIC BOOTSTRAP",
    "semiparametric": "SEMIPARAMETRIC BOOTSTRAP",
}


def boot_text(call, t0, t, type, messages, warnings, errors):
    """What ``print(bootMer(...))`` shows.

    Parameters
    ----------
    call : str
    t0 : ndarray (k,)
    t : ndarray (nsim, k)
    type : "parametric" or "semiparametric"
    messages, warnings, errors : dict str -> int
        What was said, and in how many replicates.

    Returns
    -------
    str
        Lines ending in a newline.
    """
    known = np.isfinite(t)
    count = known.sum(axis=0)
    mean = np.where(known, t, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    squares = np.where(known, (t - mean) ** 2, 0.0).sum(axis=0)
    table = pd.DataFrame(
        {"original": t0, "  bias  ": mean - t0, " std. error": np.sqrt(squares / np.where(count > 1, count - 1, np.nan))},
        index=[f"t{i + 1}*" for i in range(len(t0))],
    )
    said = "".join(
        f"{number} {kind}(s): {text}\n"
        for kind, texts in (("message", messages), ("warning", warnings), ("error", errors))
        for text, number in texts.items()
    )
    return (
        f"\n{TITLES[type]}\n\n\nCall:\n{call}\n\n\nBootstrap Statistics :\n{matrix_text(table)}"
        + (f"\n{said}" if said else "")
    )
