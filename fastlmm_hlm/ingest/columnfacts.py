"""What is known of one column after all its rows have come by: kind, counts, moments, levels."""

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.ingest.blockrows import check_kind, missing_of, numbered
from fastlmm_hlm.ingest.distinct import CategoryOrder, Integers
from fastlmm_hlm.ingest.moments import Moments


class ColumnFacts:
    """Facts of one column, block by block.

    Attributes
    ----------
    kind : str
        "number", "integer", "logical", "text", "category" or "date".
    n, missing : int
    ordered : bool
    zone : str or None
        Of dates.
    """

    def __init__(self, name):
        self.name, self.kind = name, None
        self.n = self.missing = 0
        self.zone = self._given = None
        self._moments, self._order = Moments(2), CategoryOrder()
        self._texts, self._integers, self._occurring = {}, Integers(), set()

    def add(self, column, block):
        """Add a block's column, a `formula.kinds.Column`; block is its number."""
        self.kind = check_kind(self.kind, column)
        gaps = missing_of(column)
        n = len(np.asarray(column.values))
        self.n += n
        self.missing += 0 if gaps is None else int(gaps.sum())
        if column.kind in ("number", "integer", "logical"):
            values = np.asarray(column.values)
            if column.kind == "integer" and self._integers is not None:
                if not self._integers.add(values if gaps is None else values[~gaps]):
                    self._integers = None
            values = values.astype(float)
            if gaps is not None and column.kind != "number":
                values = values[~gaps]
            try:
                self._moments.add(values)
            except DataError:
                raise DataError(f"prepare: column '{self.name}' holds an infinite value; a model needs finite ones.") from None
        elif column.kind == "date":
            zone = getattr(getattr(column.own, "dtype", None), "tz", None)
            self.zone = None if zone is None else str(zone)
        elif column.kind == "category":
            self._order.add(column, 0, block)
            codes = np.asarray(column.values)
            self._occurring.update(column.levels[np.unique(codes[codes >= 0])])
        elif column.kind == "text":
            self._texts.update(dict.fromkeys(numbered(column)[1]))

    @property
    def ordered(self):
        return self._order.ordered

    def levels(self):
        """Levels in order, pandas.Index: of text, categories, integers and logical values; None for other columns."""
        if self.kind == "category":
            return self._order.levels()
        if self.kind == "text":
            return pd.Index(sorted(self._texts), dtype=object)
        if self.kind == "logical":
            return pd.Index([False, True])
        if self.kind == "integer" and self._integers is not None:
            return pd.Index(self._integers.values())
        return self._given

    def give_levels(self, levels):
        """Levels that were found elsewhere, for integers of a wide range."""
        self._given = levels

    def occurring(self):
        """The levels that some row has, pandas.Index; None where `levels` is."""
        levels = self.levels()
        return levels[[level in self._occurring for level in levels]] if self.kind == "category" else levels

    def numbers(self):
        """Minimum, mean, standard deviation (divisor n - 1) and maximum, dict; empty for other columns."""
        m = self._moments
        if not m.count:
            return {}
        sd = float(np.sqrt(m.sums[2] / max(m.count - 1, 1)))
        return {"min": m.low, "mean": float(m.mean), "sd": sd, "max": m.high}
