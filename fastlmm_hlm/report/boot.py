"""A bootstrap, printed as R's package boot prints it."""

import numpy as np
import pandas as pd

from fastlmm_hlm.report.frames import column_words, matrix_text
from fastlmm_hlm.report.html import table_html

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
    table = boot_frame(t0, t)
    said = "".join(f"{line}\n" for line in _said(messages, warnings, errors))
    return (
        f"\n{TITLES[type]}\n\n\nCall:\n{call}\n\n\nBootstrap Statistics :\n{matrix_text(table)}"
        + (f"\n{said}" if said else "")
    )


def boot_html(call, t0, t, type, messages, warnings, errors):
    """The same as HTML, rows under the names of the statistics; t0 is a Series here."""
    table = boot_frame(t0.to_numpy(), t)
    columns = [column_words(table.iloc[:, j]) for j in range(table.shape[1])]
    heads = [name.strip() for name in table.columns]
    caption = f"{TITLES[type].capitalize()}: {call}"
    return table_html(heads, list(zip(*columns)), caption, [str(name) for name in t0.index], _said(messages, warnings, errors))


def _said(messages, warnings, errors):
    return [
        f"{number} {kind}(s): {text}"
        for kind, texts in (("message", messages), ("warning", warnings), ("error", errors))
        for text, number in texts.items()
    ]


def boot_frame(t0, t):
    """Statistics, bias and standard errors under boot's names, DataFrame (k, 3)."""
    known = np.isfinite(t)
    count = known.sum(axis=0)
    mean = np.where(known, t, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    squares = np.where(known, (t - mean) ** 2, 0.0).sum(axis=0)
    return pd.DataFrame(
        {"original": t0, "  bias  ": mean - t0, " std. error": np.sqrt(squares / np.where(count > 1, count - 1, np.nan))},
        index=[f"t{i + 1}*" for i in range(len(t0))],
    )
