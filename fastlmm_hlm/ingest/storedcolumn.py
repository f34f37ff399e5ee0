"""How a column of a source is written into a store."""

import numpy as np
import pandas as pd

from fastlmm_hlm.formula.codes import look_up
from fastlmm_hlm.ingest.blockrows import TEXT, numbered
from fastlmm_hlm.ingest.grouplevels import Places


class StoredColumn:
    """One column: text and categories as int32 codes, integers as int32 where they fit, other kinds as they are.

    Parameters
    ----------
    name : str
    facts : ColumnFacts
        Of all rows.
    """

    def __init__(self, name, facts):
        import pyarrow as pa

        self.kind, metadata = facts.kind, None
        if self.kind in ("text", "category"):
            levels = facts.levels()
            self.places = Places(levels)
            self.levels = pa.array(levels, pa.string()) if self.kind == "text" else pa.array(levels)
            kind = pa.dictionary(pa.int32(), self.levels.type, ordered=facts.ordered)
            metadata = TEXT if self.kind == "text" else None
        elif self.kind == "integer":
            extremes = facts.numbers()
            small = not extremes or (-(2**31) <= extremes["min"] and extremes["max"] < 2**31)
            kind = pa.int32() if small else pa.int64()
        else:
            kind = {"number": pa.float64(), "logical": pa.bool_(), "date": None}[self.kind]
        self.name, self.type, self.metadata, self.ordered = name, kind, metadata, facts.ordered
        self.zone = facts.zone
        if self.kind == "date":
            self.type = pa.timestamp("ns", tz=self.zone)
        self.width = max(1, (4 if hasattr(self.type, "index_type") else self.type.bit_width / 8))
        self.field = pa.field(name, self.type, metadata=metadata)

    def array(self, column):
        """A block's column as it is stored."""
        import pyarrow as pa

        if self.kind in ("text", "category"):
            own, levels = numbered(column)
            codes = look_up(self.places.of_levels(levels), own, np.empty(len(own), dtype=np.int32))
            gaps = codes < 0
            codes = pa.array(codes, pa.int32(), mask=gaps if gaps.any() else None)
            return pa.DictionaryArray.from_arrays(codes, self.levels, ordered=self.ordered)
        if self.kind == "date":
            own = column.values if column.own is None else column.own
            return pa.array(pd.Series(own), self.type)
        values = np.asarray(column.values)
        if self.kind == "number":
            return pa.array(np.where(column.missing, np.nan, values.astype(float)) if column.missing is not None else values.astype(float, copy=False), self.type)
        return pa.array(values, mask=column.missing).cast(self.type)
