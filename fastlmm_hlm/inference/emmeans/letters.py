"""Compact letter displays: means that share a letter are not significantly different."""

from dataclasses import replace

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.contrasts import ADJUSTMENTS
from fastlmm_hlm.report.emm import EmmTable

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
CAUTION = (
    "NOTE: If two or more means share the same grouping letter,",
    "      then we cannot show them to be different.",
    "      But we also did not show them to be the same. ",
)


def letter_columns(differ):
    """Sets of means, one for each letter, by insertion and absorption [1]_.

    Two means are together in some set exactly if they do not differ, and no set is part of
    another.  The number of sets can grow fast with strange patterns of differences, not with
    those of ordered means.

    Parameters
    ----------
    differ : ndarray of bool, shape (k, k)
        Which means differ significantly; symmetric.

    Returns
    -------
    list of frozenset of int
        In the order of their first means.

    References
    ----------
    .. [1] Piepho (2004), J. Comput. Graph. Statist. 13(2), 456-466.
    """
    k = len(differ)
    columns = {frozenset(range(k))} if k else set()
    for i in range(k):
        for j in range(i + 1, k):
            if not differ[i, j]:
                continue
            both = {column for column in columns if i in column and j in column}
            if both:
                columns = _absorbed((columns - both) | {column - {one} for column in both for one in (i, j)})
    return sorted(columns, key=sorted)


def _absorbed(columns):
    """The sets that are not part of another."""
    return {a for a in columns if not any(a < b for b in columns)}


def compact_letters(means, level=0.95, letters=None, adjust=None, sort=True, reverse=False):
    """Means with letters; see `fastlmm_hlm.inference.emmeans.cld`.

    Parameters
    ----------
    means : EmmGrid
    level, letters, adjust, sort, reverse
        As for `cld`.

    Returns
    -------
    EmmTable
    """
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise ArgumentError(f"cld: level = {level!r}; it must lie between 0 and 1, such as 0.95.")
    letters = list(LETTERS if letters is None else letters)
    if len(set(letters)) < len(letters) or not all(isinstance(one, str) and one for one in letters):
        raise ArgumentError("cld: letters has one of them twice, or something that is no text; give different ones.")
    table = means.summary(infer=(True, False))
    estimate = table[table.layout["estimate"]].to_numpy(dtype=float)
    order, shown = [], []
    for own in means.groups():
        rank = own[np.argsort(-estimate[own] if reverse else estimate[own], kind="stable")]
        groups = letter_columns(_differ(means, rank, 1.0 - level, adjust))
        words = dict(zip(rank, _words(groups, ~np.isnan(estimate[rank]), letters)))
        rows = rank if sort else own
        order += list(rows)
        shown += [words[i] for i in rows]
    frame = pd.DataFrame(table).iloc[order].reset_index(drop=True)
    frame[".group"] = shown
    layout = dict(table.layout)
    used = f"significance level used: alpha = {1.0 - level:.4g} "
    notes = [*layout["notes"], *_comparison_notes(means, adjust), used, *CAUTION]
    layout |= {"labels": [*layout["labels"], ".group"], "notes": notes}
    return EmmTable.of(frame, **layout)


def _differ(means, own, alpha, adjust):
    """Which of the means `own` of one group differ, (k, k) bool; a mean that cannot be estimated differs from none."""
    k = len(own)
    differ = np.zeros((k, k), dtype=bool)
    if k > 1:
        i, j = np.triu_indices(k, 1)
        tests = _rows(means, own).pairs(adjust=adjust).summary(infer=(False, True))
        differ[i, j] = tests["p.value"].to_numpy(dtype=float) < alpha
    return differ | differ.T


def _rows(means, own):
    """The means of one group alone, in this order."""
    return replace(means, labels=means.labels.iloc[own].reset_index(drop=True), linfct=means.linfct[own],
                   offset=means.offset[own])


def _words(groups, known, letters):
    """One word per mean, a place for each letter."""
    if len(groups) > len(letters):
        raise ArgumentError(f"cld: {len(groups)} letters are needed and there are {len(letters)}; give more in letters=.")
    return [
        "".join(letters[g] if i in column and known[i] else " " for g, column in enumerate(groups))
        for i in range(len(known))
    ]


def _comparison_notes(means, adjust):
    """The lines of the comparisons about their adjustment."""
    if len(means) < 2:
        return []
    made = means.pairs(adjust=adjust or ADJUSTMENTS["pairwise"]).summary(infer=(False, True))
    return [line for line in made.layout["notes"] if line.startswith("P value adjustment")]
