"""Sums of some parts of a source, as short as the levels that occur in them, and cut by ranges of levels.

`Products` is as long as all levels.  What travels between the processes of a cluster is this: of each
node of the tree of parts the levels that have rows, their sums, and once the sums without levels.  A
reducer that owns a range of levels adds only those; ranges are then put one after the other.  Every
number is added to the same numbers in the same order as by `Products.merge`, so the bits are the same.
"""

import io
import json

import numpy as np

from fastlmm_hlm.ingest.products import Products


class Partial:
    """Sums of parts; not changed once it is made.

    Attributes
    ----------
    header : dict
        As in `Products.to_bytes`; counts of rows only in the first range.
    nodes : dict of (height, number) to dict of str to ndarray
    """

    def __init__(self, header, nodes):
        self.header, self.nodes = header, nodes

    @classmethod
    def from_bytes(cls, data):
        """From what `to_bytes`, or that of `Products`, returned."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays.pop("header").tobytes())
        nodes = {tuple(node): {} for node in header.pop("nodes")}
        places = list(nodes)
        for name, values in arrays.items():
            number, own = name.split("/", 1)
            nodes[places[int(number)]][own] = values
        return cls(header, nodes)

    def to_bytes(self):
        """The format of `Products.to_bytes`."""
        header = {**self.header, "nodes": [list(node) for node in self.nodes]}
        arrays = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
        for i, own in enumerate(self.nodes.values()):
            arrays |= {f"{i}/{name}": values for name, values in own.items()}
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(values.nbytes for own in self.nodes.values() for values in own.values())

    def __sizeof__(self):
        return object.__sizeof__(self) + self.nbytes        # by which Dask judges the memory of a worker

    def split(self, levels, count):
        """Cut by ranges of level numbers.

        Parameters
        ----------
        levels : list of int
            Levels of every grouping factor.
        count : int
            Number of ranges.

        Returns
        -------
        list of Partial
        """
        if count == 1:
            return [self]
        first = [{node: _range(own, levels, i, count) for node, own in self.nodes.items()} for i in range(count)]
        none = {**self.header, "n_input": 0, "dropped": {}, "missing": {}}
        return [Partial(self.header if i == 0 else none, nodes) for i, nodes in enumerate(first)]

    def products(self, plan):
        """The sums as `Products` again, as long as all levels."""
        return Products.from_bytes(self.to_bytes(), plan)


def add_partials(partials):
    """The sums of several runs of parts, along the tree of `Products`.

    Parameters
    ----------
    partials : list of Partial
        Of the same range, no part in two of them.

    Returns
    -------
    Partial
    """
    header = {**partials[0].header, "n_input": sum(p.header["n_input"] for p in partials)}
    for name in ("dropped", "missing"):
        header[name] = {reason: sum(p.header[name].get(reason, 0) for p in partials) for p in partials for reason in p.header[name]}
    nodes = {node: own for partial in partials for node, own in partial.nodes.items()}
    ready = sorted(nodes)
    while ready:
        height, number = ready.pop(0)
        left, right = (height, number & ~1), (height, number | 1)
        if left in nodes and right in nodes:
            nodes[height + 1, number >> 1] = _added(nodes.pop(left), nodes.pop(right))
            ready = sorted(nodes)
    return Partial(header, nodes)


def join_ranges(partials):
    """Sums that `Partial.split` had cut, one range after the other."""
    nodes = {}
    for node, own in partials[0].nodes.items():
        others = [own, *(partial.nodes[node] for partial in partials[1:])]
        nodes[node] = {name: np.concatenate([part[name] for part in others]) if _of_levels(name) else own[name] for name in own}
    return Partial(partials[0].header, nodes)


def _of_levels(name):
    return name.startswith(("levels", "ZtWZ", "ZtWXy", "keys", "pairs"))


def _tables(arrays):
    """Name of the numbers of levels, or of pairs of levels, and the names of what is summed for each."""
    for name in arrays:
        if name.startswith("levels"):
            yield name, [sums for sums in (f"ZtWZ{name[6:]}", f"ZtWXy{name[6:]}") if sums in arrays]
        elif name.startswith("keys"):
            yield name, [f"pairs{name[4:]}"]


def _range(own, levels, i, count):
    """Range i of the arrays of one node; those without levels go with the first."""
    made = {} if i else {name: values for name, values in own.items() if not _of_levels(name)}
    for index, values in _tables(own):
        if index.startswith("keys"):
            f, g = (int(number) for number in index[4:].split("_"))
            size, width = levels[f], levels[g]
        else:
            size, width = levels[int(index[6:])], 1
        low, high = np.searchsorted(own[index], [i * size // count * width, (i + 1) * size // count * width])
        made |= {name: own[name][low:high] for name in (index, *values)}
    return made


def _added(left, right):
    """The sums of two nodes."""
    made = {}
    for name in left:
        if name == "triangle":
            made[name] = np.linalg.qr(np.vstack([left[name], right[name]]), mode="r")
        elif not _of_levels(name):
            made[name] = np.asarray(left[name] + right[name])
    for index, values in _tables(left):
        ours, theirs = left[index], right[index]
        if np.array_equal(ours, theirs):
            made |= {index: ours} | {name: left[name] + right[name] for name in values}
            continue
        both = np.sort(np.concatenate([ours, theirs]), kind="stable")      # two sorted runs: linear
        made[index] = both = both[np.append(True, both[1:] != both[:-1])[: len(both)]]
        a, b = np.searchsorted(both, ours), np.searchsorted(both, theirs)
        for name in values:
            out = np.zeros((len(both), *left[name].shape[1:]))
            out[a] = left[name]
            out[b] += right[name]
            made[name] = out
    return made
