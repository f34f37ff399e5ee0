"""The first pass: what must be known of all rows before cross-products can be summed."""

from collections import Counter

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.checks import check_finite, numeric_response
from fastlmm_hlm.formula.codes import present_levels
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.syntax import Name, column_names
from fastlmm_hlm.formula.values import Factor
from fastlmm_hlm.ingest.blockrows import BlockColumns, BlockRows, check_kind, numbered, values_at
from fastlmm_hlm.ingest.distinct import CategoryOrder, Distinct, Integers
from fastlmm_hlm.ingest.moments import Moments
from fastlmm_hlm.ingest.request import Reading
from fastlmm_hlm.ingest.sample import Sample


class Scan:
    """What is known of the rows seen so far.

    A source is cut into parts: a file, a partition of a cluster, a site; one part, number 0,
    where that does not matter.  The blocks of one part are given in order to one `Scan`; parts
    may be read in any order, by any process, and are put together with `merge`.  The result is
    the same to the last bit whatever the order of the parts and of the merging.

    Parameters
    ----------
    request : Request
    part : int
        Number of the part, from 0.

    Examples
    --------
    >>> scan = Scan(Request("score ~ x + (1 | school)"))            # doctest: +SKIP
    >>> for block in blocks:                                        # doctest: +SKIP
    ...     scan.update(block)
    >>> plan = scan.finish()                                        # doctest: +SKIP
    """

    def __init__(self, request, part=0):
        self.request, self.part = request, int(part)
        self.reading = None
        self.kinds, self.texts, self.categories = {}, {}, {}
        self.n = self.n_input = self.considered = 0
        self.dropped, self.missing, self.made = Counter(), Counter(), set()
        self.groups, self.tables, self.used_tables, self.used_levels = {}, {}, {}, {}
        self.sample = Sample()
        self._moments = {self.part: {}}
        self._seen, self._blocks = {self.part: 0}, 0

    # --- adding rows ---------------------------------------------------------------

    def update(self, block):
        """Add the next rows of this part.

        Parameters
        ----------
        block : data frame, Arrow table or record batch, or dict of columns

        Returns
        -------
        Scan
            This one.

        Raises
        ------
        UnknownColumnError, DataError, FormulaError
        """
        if self.reading is None:
            self.reading = Reading(self.request, BlockColumns(block).names)
        rows = BlockRows(self.reading, block, self._seen[self.part])
        first = self._seen[self.part]
        if self.look_at(rows).count:
            self._note_groups(rows)
            self.sample.add(rows.source, self.reading.columns, self.part, first, rows.used)
        self._note_whole(rows)
        self._blocks += 1
        return self

    def look_at(self, rows):
        """Note everything of a block but grouping factors, the sample, and what transforms learn.

        Parameters
        ----------
        rows : BlockRows

        Returns
        -------
        BlockRows
            The same.
        """
        for name in self.reading.columns:
            self._note_column(name, rows.source.column(name))
        self.n_input += rows.n
        self.n += rows.count
        self.considered += rows.considered
        self.dropped.update(rows.dropped)
        self.missing.update(rows.missing)
        self.made |= rows.made
        if rows.count:
            self._note_response(rows)
            self._note_factors(rows)
        self._seen[self.part] += rows.n
        return rows

    def _note_column(self, name, column):
        self.kinds[name] = check_kind(self.kinds.get(name), column)
        if column.kind == "category":
            self.categories.setdefault(name, CategoryOrder()).add(column, self.part, self._blocks)
        elif column.kind == "text" and name in self.reading.level_columns:
            codes, levels = numbered(column)
            self.texts.setdefault(name, set()).update(levels)

    def _note_response(self, rows):
        name = self.request.formula.response
        if rows.known(name):
            y = numeric_response(rows.chosen(rows.value(self.request.formula.response_node)), name, "numeric")
            index = rows.index if rows.used is None else rows.index[rows.used]
            check_finite([y], [name], index, "the response", rows.scans)
            self._moment("", 2).add_quickly(y)
        weights = rows.numbers("weights")
        if weights is not None:
            self._moment("#weights", 2).add_quickly(rows.chosen(weights))

    def _note_factors(self, rows):
        """Levels that occur in the rows used, of variables that are factors."""
        for text, node in self.reading.plan.nodes.items():
            if rows.known(text):
                value = rows.value(node)
                if isinstance(value, Factor):
                    codes = rows.chosen_codes(value.codes)
                    present = np.flatnonzero(present_levels(codes, len(value.levels)))
                    self.used_levels.setdefault(text, set()).update(value.levels[i] for i in present)

    def _note_groups(self, rows):
        """Levels of grouping factors, and combinations of them, that occur in the rows used."""
        for names in self.reading.plan.bar_groups:
            if names in self.groups and self.groups[names].last is rows:
                continue
            kept = self.groups.setdefault(names, _Group())
            kept.last = rows
            if not kept.note_integers(rows, self.reading, names):
                kept.distinct.add(_combinations(rows, self.reading, names))
        for kept in self.groups.values():
            kept.last = None

    def _note_whole(self, rows):
        """Moments and distinct values for calls that depend on all rows, missing or not in the subset."""
        for text, calls in self.reading.whole.items():
            for call in calls:
                if call.kind == "levels":
                    self._note_levels(text, call, rows)
                    continue
                for node in call.inner:
                    value = rows.value(node)
                    if not isinstance(value, np.ndarray):
                        value = getattr(value, "values", None)
                    if value is None or value.ndim != 1:
                        raise DataError(f"{call.text} is given {deparse(node)}, which is no column of numbers; make the column first.")
                    key = f"{deparse(node)}#{call.order}"
                    self._moment(key, call.order, rows).add(np.asarray(value, dtype=float))

    def _moment(self, key, order, rows=None):
        own = self._moments[self.part]
        if key not in own:
            own[key] = Moments(order)
        if rows is not None:                # a call that occurs twice is counted once per block
            if getattr(own[key], "block", None) == self._blocks:
                return _NOWHERE
            own[key].block = self._blocks
        return own[key]

    def _note_levels(self, text, call, rows):
        names = [name for name in column_names(call.node) if name in rows.source]
        key = text, call.text
        every = np.arange(rows.n)
        self.tables.setdefault(key, Distinct()).add(_distinct_rows(rows.source, names, every))
        used = every if rows.used is None else rows.used
        self.used_tables.setdefault(key, Distinct()).add(_distinct_rows(rows.source, names, used))

    # --- putting parts together -----------------------------------------------------

    def merge(self, other):
        """Add what another `Scan` knows of other parts.

        Parameters
        ----------
        other : Scan
            Of the same request.

        Returns
        -------
        Scan
            This one.

        Raises
        ------
        ArgumentError
            For another request, or a part that is in both.
        DataError
            If a column has another type there.
        """
        if other.request != self.request:
            raise ArgumentError("merge: the two scans were made for different formulas or arguments; make all of one Request.")
        twice = self._seen.keys() & other._seen.keys()
        if twice:
            raise ArgumentError(f"merge: part {min(twice)} is in both scans; number the parts of a source 0, 1, 2, ...")
        if other.reading is None:
            self._seen |= other._seen
            self._moments |= other._moments
            return self
        if self.reading is None:
            self.reading = other.reading
        elif set(other.reading.columns) != set(self.reading.columns):
            raise DataError("the parts of the source have different columns; give all of them the same.")
        for name, kind in other.kinds.items():
            self.kinds[name] = _common_kind(name, self.kinds.get(name), kind)
        for name, texts in other.texts.items():
            self.texts.setdefault(name, set()).update(texts)
        for name, order in other.categories.items():
            self.categories.setdefault(name, CategoryOrder()).merge(order)
        for text, levels in other.used_levels.items():
            self.used_levels.setdefault(text, set()).update(levels)
        for names, group in other.groups.items():
            self.groups.setdefault(names, _Group()).merge(group)
        for own, theirs in ((self.tables, other.tables), (self.used_tables, other.used_tables)):
            for key, table in theirs.items():
                own.setdefault(key, Distinct()).merge(table)
        self.n += other.n
        self.n_input += other.n_input
        self.considered += other.considered
        self.dropped.update(other.dropped)
        self.missing.update(other.missing)
        self.made |= other.made
        self.sample.merge(other.sample)
        self._moments |= other._moments
        self._seen |= other._seen
        return self

    def moments(self, key):
        """The moments of an expression over all parts, added in the order of the parts, or None."""
        own = [self._moments[part][key] for part in sorted(self._moments) if key in self._moments[part]]
        if not own:
            return None
        total = Moments(len(own[0].sums) - 1)
        for part in own:
            total.merge(part)
        return total

    def finish(self):
        """The plan for the second pass.

        Returns
        -------
        Plan

        Raises
        ------
        DataError, FormulaError, ArgumentError
            Whatever `lmer` refuses in data in memory.
        """
        from fastlmm_hlm.ingest.plan import make_plan

        return make_plan(self)


class _Nowhere:
    def add(self, values):
        pass


_NOWHERE = _Nowhere()


class _Group:
    """Combinations of the parts of one grouping factor."""

    def __init__(self):
        self.distinct, self.integers, self.last = Distinct(), Integers(), None

    def note_integers(self, rows, reading, names):
        """Note the levels of a factor that is one column of integers; False for others."""
        node = reading.plan.groups[names[0]]
        if len(names) > 1 or not isinstance(node, Name):
            return False
        column = rows.source.column(node.text)
        if column.kind != "integer" or column.missing is not None:
            return False
        values = np.asarray(column.values)
        return self.integers.add(values if rows.used is None else values[rows.used])

    def merge(self, other):
        self.distinct.merge(other.distinct)
        self.distinct.add(other._frame_of_integers())

    def _frame_of_integers(self):
        return pd.DataFrame({"0": self.integers.values()}, copy=False)

    def frame(self):
        """All combinations, a data frame."""
        integers = self._frame_of_integers()
        if self.distinct.frame() is None and len(integers):
            return integers
        self.distinct.add(integers)
        self.integers = Integers()
        return self.distinct.frame()


def group_of(parts):
    """A grouping factor with these levels, distinct, in any order: the values of each of its parts, a list of Index."""
    group = _Group()
    plain = [values.to_numpy() if values.dtype.kind in "iu" else values for values in parts]      # an Index would be copied
    group.distinct = Distinct.of(pd.DataFrame({str(i): values for i, values in enumerate(plain)}, copy=False))
    return group


def _common_kind(name, ours, theirs):
    if ours is None or ours == theirs:
        return theirs
    if {ours, theirs} == {"number", "integer"}:
        return "number"
    raise DataError(f"column '{name}' is {ours} in one part of the source and {theirs} in another; give it one type throughout.")


def _combinations(rows, reading, names):
    """Combinations of the parts of a grouping factor in the rows used, data frame.

    A part that is a column or an expression of one row has one column, its values; one that
    depends on all rows has the columns it is made of.
    """
    used = np.arange(rows.n) if rows.used is None else rows.used
    codes, columns = [], {}
    for i, name in enumerate(names):
        node = reading.plan.groups[name]
        if not isinstance(node, Name) and name in reading.whole:
            frame = _distinct_rows(rows.source, [c for c in column_names(node) if c in rows.source], used, with_codes=True)
            own, table = frame
            columns[i] = [(f"{i}.{c}", table[c].to_numpy()) for c in table]
        else:
            own, levels = level_codes(rows, node)
            own = rows.chosen_codes(own)
            columns[i] = [(str(i), levels)]
        codes.append(own)
    if len(codes) == 1:
        present = np.flatnonzero(present_levels(codes[0], _length(columns[0])))
        return pd.DataFrame({key: values[present] for key, values in columns[0]})
    key = codes[0].astype(np.int64)
    widths = [_length(columns[i]) for i in range(len(codes))]
    for own, width in zip(codes[1:], widths[1:]):
        key = pd.factorize(key)[0].astype(np.int64) * width + own if width and key.max(initial=0) > 2**31 else key * width + own
    first = np.flatnonzero(~pd.Series(key).duplicated().to_numpy())
    made = {}
    for i, own in enumerate(codes):
        for label, values in columns[i]:
            made[label] = values[own[first]]
    return pd.DataFrame(made)


def _length(columns):
    return max((len(values) for _, values in columns), default=0)


def level_codes(rows, node):
    """Codes and levels of one part of a grouping factor in a block, levels in any order."""
    if isinstance(node, Name):
        return numbered(rows.source.column(node.text))
    from fastlmm_hlm.formula.grouping import component_levels

    component = component_levels(node, rows.evaluator)
    return component.codes, component.levels


def _distinct_rows(source, names, rows, with_codes=False):
    """Distinct rows of some columns, missing values among them."""
    key, sizes = np.zeros(len(rows), dtype=np.int64), []
    for name in names:
        codes, levels = numbered(source.column(name))
        sizes.append(len(levels) + 1)
        key = pd.factorize(key)[0].astype(np.int64) * sizes[-1] + (codes[rows] + 1)
    codes, uniques = pd.factorize(key)
    first = np.zeros(len(uniques), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(rows))[::-1]
    frame = pd.DataFrame({name: values_at(source.column(name), rows[first]) for name in names}, index=range(len(first)))
    return (codes.astype(np.int32), frame) if with_codes else frame
