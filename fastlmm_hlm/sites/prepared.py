"""The rows of a site with the study's levels, and the site's name before the levels that are its own."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.ingest.blockrows import BlockColumns, numbered
from fastlmm_hlm.ingest.source import Source, is_source, open_source


def prepared_frame(study, data, site, columns=None):
    """See `Study.prepare`; with `columns` only these."""
    block = BlockColumns(data)
    frame = _as_pandas(data)
    names = list(frame.columns) if columns is None else list(columns)
    made = {}
    for name in names:
        if name in study.factors:
            made[name] = _declared(study, block.column(name), site)
        elif name in study.own:
            made[name] = _texts(block.column(name), f"{site}:")
        elif name in study.shared:
            made[name] = _plain(block.column(name), frame[name])
        else:
            made[name] = frame[name].astype(object) if name in block.texts else frame[name]
    index = frame.index if isinstance(data, pd.DataFrame) else None
    return pd.DataFrame({name: np.asarray(values) if isinstance(values, list) else getattr(values, "array", values) for name, values in made.items()}, index=index)


def _as_pandas(data):
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    if isinstance(data, dict):
        return pd.DataFrame(data)
    import narwhals as nw

    return nw.from_native(data).to_pandas()


def _texts(column, before=""):
    """A column as text, None where it is missing."""
    codes, levels = numbered(column)
    texts = np.append(np.array([before + level_text(level) for level in levels], dtype=object), None)
    return texts[codes]


def _plain(column, series):
    """A shared grouping column: numbers as they are, all else as text."""
    return series if column.kind in ("integer", "number") else _texts(column)


def _declared(study, column, site):
    """A column with the levels of the study.

    Raises
    ------
    DataError
    """
    known = {text: i for i, text in enumerate(study.factors[column.name])}
    codes, levels = numbered(column)
    places = [known.get(level_text(level), -2) for level in levels]
    lookup = np.array([*places, -1], dtype=np.int64)[codes]
    unknown = [level_text(level) for level, place in zip(levels, places) if place == -2]
    if (lookup == -2).any():
        shown = ", ".join(f"'{text}'" for text in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        raise DataError(
            f"column '{column.name}' of site '{site}' has the level{'s' if len(unknown) > 1 else ''} {shown}, which the study does not have; it has "
            f"{', '.join(repr(text) for text in known)}. Correct the data, or ask for a study with all levels."
        )
    return pd.Categorical.from_codes(lookup, categories=list(known), ordered=column.name in study.ordered)


class PreparedSource(Source):
    """A source whose blocks are prepared, without rows of cells that are too small.

    Parameters
    ----------
    study : Study
    data : data frame, or any source of `lmer`
    site : str

    Attributes
    ----------
    left_out : dict of tuple of str to set of str
        Columns, and combinations of their values (see `keys_of`) whose rows are left out.
    removed : int
        Rows left out in the last reading.
    """

    def __init__(self, study, data, site):
        self._study, self._site, self.left_out, self.removed = study, site, {}, 0
        if is_source(data):
            self._source = open_source(data)
            self.names, self.n_rows, self.blocks_stay = self._source.names, self._source.n_rows, self._source.blocks_stay
            self.description = self._source.description
        else:
            self._source, self._data = None, data
            columns = BlockColumns(data)
            self.names, self.n_rows, self.description = columns.names, columns.n, f"the data of site '{site}'"

    def blocks(self, columns, block_rows):
        self.removed = 0
        blocks = [self._data] if self._source is None else self._source.blocks(columns, block_rows)
        for block in blocks:
            frame = prepared_frame(self._study, block, self._site, columns)
            keep = np.ones(len(frame), dtype=bool)
            for names, values in self.left_out.items():
                keep &= ~np.isin(keys_of(frame, names), list(values))
            self.removed += int((~keep).sum())
            if keep.any():
                yield frame if keep.all() else frame[keep].reset_index(drop=True)

    def fingerprint(self):
        return None if self._source is None else self._source.fingerprint()


def keys_of(frame, names):
    """Combinations of the values of some columns as text, one for each row, ndarray of str."""
    parts = []
    for name in names:
        codes, levels = numbered(BlockColumns(frame[[name]]).column(name))
        parts.append(np.append(np.array([level_text(level) for level in levels], dtype=object), None)[codes].astype(str))
    return np.array(["\x1f".join(row) for row in zip(*parts)], dtype=object).astype(str)
