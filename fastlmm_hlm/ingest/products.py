"""The second pass: cross-products under a plan."""

import io
import json
from collections import Counter
from functools import partial

import numpy as np

from fastlmm_hlm.design.crossprod import CrossProducts
from fastlmm_hlm.design.design import check_magnitude
from fastlmm_hlm.errors import ArgumentError, DataError
from fastlmm_hlm.formula.checks import check_finite, numeric_response
from fastlmm_hlm.formula.direct import DirectColumns
from fastlmm_hlm.formula.rows import as_numbers
from fastlmm_hlm.formula.values import Factor, Logical, Matrix
from fastlmm_hlm.ingest.behind import Behind
from fastlmm_hlm.ingest.grouplevels import NotSeenError
from fastlmm_hlm.ingest.sums import CHUNK, Piece, Sums

FORMAT, VERSION = "fastlmm_hlm cross-products", 2


class Products:
    """Cross-products of the rows seen so far.

    The blocks of one part of the source are given in order to one `Products`; parts are read in
    any order, by any process, and put together with `merge`.  The sums are the same to the last
    bit whatever the size of the blocks and the order of the parts and of the merging: the rows in
    use of a part are cut into chunks of 65,536 by position and added in order, and parts are added
    in pairs along one binary tree over their numbers (0 + 1, 2 + 3, then those, and so on).

    Parameters
    ----------
    plan : Plan
    part : int
        Number of the part, as in `Scan`.
    threads : int
        With more than one, sums are added by a thread of their own while the next block is looked at, and a block
        must stay as it is until `close`.  The sums do not depend on it.

    Examples
    --------
    >>> products = Products(plan)                                   # doctest: +SKIP
    >>> for block in blocks:                                        # doctest: +SKIP
    ...     products.update(block)
    >>> cross_products = products.finish()                          # doctest: +SKIP
    """

    def __init__(self, plan, part=0, threads=1):
        self.plan, self.part, self.threads = plan, int(part), threads
        self.n_input, self.dropped, self.missing = 0, Counter(), Counter()
        self._open, self._waiting, self._waiting_rows = None, [], 0
        self._started, self._behind = False, Behind() if threads > 1 else None
        self._nodes = {}              # (height, number) -> Sums over parts number 2^height, ...

    # --- adding rows ----------------------------------------------------------------

    def update(self, block):
        """Add the next rows of this part.

        Parameters
        ----------
        block : data frame, Arrow table or record batch, or dict of columns

        Returns
        -------
        Products
            This one.

        Raises
        ------
        DataError
            For values that are not finite, and for rows that the first pass did not see.
        """
        if self._started and self._open is None:
            raise ArgumentError("update: this part was closed by merge() or to_bytes(); give its rows before.")
        return self.add_rows(self.plan.rows_of(block, self.n_input))

    def add_rows(self, rows):
        """Add a block that `plan.rows_of` has looked at; see `update`."""
        if not self._started:
            self._open, self._started = Sums(self.plan), True
        self.n_input += rows.n
        self.dropped.update(rows.dropped)
        self.missing.update(rows.missing)
        if rows.count:
            piece = piece_of(self.plan, rows)
            chunks = self._cut(piece)
            if chunks:
                self._run(partial(self._sum, self._open, chunks, self._room(), rows, piece))
        return self

    def _run(self, task):
        """Do it now, or after what was given before."""
        if self._behind is None:
            task()
        else:
            self._behind.run(task)

    def _room(self):
        """What `Sums.grow` is given before rows are added, or None."""
        return None

    def _sum(self, sums, chunks, room, rows=None, piece=None):
        if room is not None:
            sums.grow(*room)
        sums.add(chunks, self.plan, max(1, self.threads - 1))
        if rows is not None and not np.isfinite(sums.XyWXy).all():
            _refuse_sizes(self.plan, rows, piece)

    def _cut(self, piece):
        """Cut the rows that wait, and these, into chunks; what is no whole chunk waits."""
        chunks = []
        if self._waiting_rows:
            need = CHUNK - self._waiting_rows
            self._waiting.append(piece.part(slice(0, need)))
            self._waiting_rows += min(need, len(piece))
            if self._waiting_rows < CHUNK:
                self._waiting[-1] = _copied(self._waiting[-1])
                return []
            chunks.append(Piece.join(self._waiting))
            self._waiting, self._waiting_rows = [], 0
            piece = piece.part(slice(need, len(piece)))
        whole = len(piece) // CHUNK * CHUNK
        chunks += [piece.part(slice(first, first + CHUNK)) for first in range(0, whole, CHUNK)]
        if len(piece) > whole:
            self._waiting, self._waiting_rows = [_copied(piece.part(slice(whole, len(piece))))], len(piece) - whole
        return chunks

    def close(self):
        """End this part: add the rows that wait for a whole chunk."""
        if self._open is not None:
            if self._waiting_rows:
                self._run(partial(self._sum, self._open, [Piece.join(self._waiting)], self._room()))
                self._waiting, self._waiting_rows = [], 0
            if self._behind is not None:
                self._behind.finish()
            self._nodes[0, self.part] = self._open
            self._open = None
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Let the thread of the sums go, whatever happened."""
        if self._behind is not None:
            self._behind.let_go()

    # --- putting parts together ---------------------------------------------------------

    def merge(self, other):
        """Add the sums of other parts; `other` is used up.

        Parameters
        ----------
        other : Products
            Under the same plan.

        Returns
        -------
        Products
            This one.

        Raises
        ------
        ArgumentError
            For another plan, or a part that is in both.
        """
        if other.plan is not self.plan and other.plan.digest != self.plan.digest:
            raise ArgumentError("merge: the cross-products were summed under different plans; use the one Plan that Scan.finish() gave for all parts.")
        self.close()
        other.close()
        for height, number in other._nodes:
            for high, place in self._nodes:
                if number << height >> max(high, height) == place << high >> max(high, height):
                    raise ArgumentError(f"merge: part {number << height} is in both; number the parts of a source 0, 1, 2, ...")
        self._nodes |= other._nodes
        self._started = True
        self.n_input += other.n_input
        self.dropped.update(other.dropped)
        self.missing.update(other.missing)
        self._combine()
        return self

    def _combine(self):
        """Add neighbours of the tree that are both there."""
        ready = sorted(self._nodes)
        while ready:
            height, number = ready.pop(0)
            left, right = number & ~1, number | 1
            if (height, left) in self._nodes and (height, right) in self._nodes:
                sums = self._nodes.pop((height, left))
                sums.merge(self._nodes.pop((height, right)))
                self._nodes[height + 1, number >> 1] = sums
                ready = sorted(self._nodes)

    def total(self):
        """The sums of all parts, added from the first to the last."""
        self.close()
        self._combine()
        order = sorted(self._nodes, key=lambda node: node[1] << node[0])
        if not order:
            return Sums(self.plan)
        sums = self._nodes[order[0]]
        for node in order[1:]:
            sums.merge(self._nodes[node])
        self._nodes = {order[0]: sums}
        return sums

    def finish(self):
        """The cross-products, as a fit in memory makes them.

        Returns
        -------
        CrossProducts

        Raises
        ------
        DataError
            If these are not the rows of the plan.
        """
        sums, plan = self.total(), self.plan
        if (sums.n, self.n_input) != (plan.n, plan.n_input):
            raise DataError(
                f"the second pass found {self.n_input} rows, {sums.n} of them in use, and the first {plan.n_input} and {plan.n}: either "
                "the source has changed between the two, or a transform that depends on all rows makes values missing. Fit from a "
                "source that stays as it is, and make such columns first."
            )
        self.triangle = sums.triangle
        ZtWZ = [sums.ZtWZ(f) for f in range(len(sums.ZtWXy))]
        return CrossProducts(
            n=sums.n, sum_log_weights=sums.sum_log_weights, beta0=plan.beta0, ZtWZ=ZtWZ, ZtWXy=sums.ZtWXy, XyWXy=sums.XyWXy,
            pairs=sums.pairs(),
        )

    # --- writing -------------------------------------------------------------------------

    def to_bytes(self):
        """The sums in a format of their own, without pickled objects.

        A NumPy archive (.npz) with one entry "header", JSON: format, version, digest of the plan, the
        nodes of the tree, counts of rows; and the arrays of each node.  Levels without rows are left out.

        Returns
        -------
        bytes
        """
        self.close()
        header = {
            "format": FORMAT, "version": VERSION, "plan": self.plan.digest, "nodes": [list(node) for node in self._nodes],
            "n_input": self.n_input, "dropped": dict(self.dropped), "missing": dict(self.missing),
        }
        arrays = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
        for i, sums in enumerate(self._nodes.values()):
            arrays |= {f"{i}/{name}": values for name, values in sums.arrays().items()}
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data, plan):
        """The sums that `to_bytes` wrote.

        Parameters
        ----------
        data : bytes
        plan : Plan
            Under which they were made.

        Returns
        -------
        Products

        Raises
        ------
        DataError
            If these are no cross-products, of another version, or of another plan.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays["header"].tobytes())
            assert header["format"] == FORMAT
        except Exception as error:
            raise DataError(f"these {len(data)} bytes are no cross-products of fastlmm_hlm, or are damaged ({type(error).__name__}); give what Products.to_bytes() returned.") from error
        if header["version"] != VERSION:
            raise DataError(f"the cross-products have version {header['version']} of their format and this fastlmm_hlm reads version {VERSION}; use the same release everywhere.")
        if header["plan"] != plan.digest:
            raise DataError("the cross-products were summed under another plan (other levels, columns or formula); make them again with this plan.")
        new = cls(plan)
        new._started = True
        new.n_input, new.dropped, new.missing = header["n_input"], Counter(header["dropped"]), Counter(header["missing"])
        for i, node in enumerate(header["nodes"]):
            own = {name.split("/", 1)[1]: values for name, values in arrays.items() if name.startswith(f"{i}/")}
            new._nodes[tuple(node)] = Sums.of(plan, own)
        return new

    def __getstate__(self):
        self.close()
        return {**self.__dict__, "threads": 1, "_behind": None}


def piece_of(plan, rows, response=True):
    """The rows in use of a block as arrays.

    Parameters
    ----------
    plan : Plan
    rows : BlockRows
        From `plan.rows_of`.
    response : bool
        Whether the response is read.

    Returns
    -------
    Piece
    """
    formula, spec = plan.formula, plan.spec
    y = None
    if response:
        y = numeric_response(rows.chosen(rows.value(formula.response_node)), formula.response, "numeric")
    recipes = [spec.fixed_recipe, *(term.recipe for term in spec.random_terms)]
    names = dict.fromkeys(name for recipe in recipes for members in recipe.terms.terms for name in members)
    nodes = rows.reading.plan.nodes
    try:
        values = {name: _as_columns(rows.chosen(rows.value(nodes[name]))) for name in names}
        maker = DirectColumns(rows.count)
        x, *by_term = [recipe.columns(values, maker) for recipe in recipes]
    except DataError as error:
        raise NotSeenError(f"{error} The first pass over the source did not see it: has the source changed?") from error
    z = [[] for _ in plan.design.factors]
    for term, columns in zip(plan.design.terms, by_term):
        z[term.factor] += columns
    codes = [group.codes(rows) for group in plan.groups]
    weights = rows.numbers("weights")
    offsets = [rows.chosen(as_numbers(rows.value(node), "offset", "offset")) for node in rows.reading.all_offsets()]
    return Piece(y, x, z, codes, None if weights is None else np.ascontiguousarray(rows.chosen(weights)), sum(offsets) if offsets else None)


def _as_columns(value):
    """A variable as recipes take it; plain numbers are left as they are."""
    return value if isinstance(value, (Factor, Logical, Matrix)) else np.ascontiguousarray(value)


def _copied(piece):
    """A piece that refers to no block any more."""
    return piece.mapped(np.array)


def _refuse_sizes(plan, rows, piece):
    """Say which value cannot be squared and summed.

    Raises
    ------
    DataError
    """
    index = rows.index if rows.used is None else rows.index[rows.used]
    scans = rows.scans
    check_finite([piece.y], [plan.formula.response], index, "the response", scans)
    check_finite(piece.x, plan.x_names, index, "the fixed part", scans)
    for columns, factor in zip(piece.z, plan.design.factors):
        check_finite(columns, factor.names, index, f"the terms of {factor.name}", scans)
    check_finite([piece.offset], ["offset"], index, "the model", scans)
    check_magnitude(piece.y, f"the response '{plan.formula.response}'")
    check_magnitude(piece.weights, "weights")
    for column, name in zip(piece.x, plan.x_names):
        check_magnitude(column, f"'{name}'")
    raise DataError("the sums of squares are too large for double precision; choose other units for the columns.")
