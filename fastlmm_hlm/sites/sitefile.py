"""The file that a site sends: sums, names of levels and counts; no row, and no pickled object."""

import hashlib
import io
import json
import pathlib

import numpy as np

from fastlmm_hlm.errors import ArgumentError, DataError, DisclosureWarning, warn_user
from fastlmm_hlm.ingest.newfile import complete_or_nothing, disk_errors
from fastlmm_hlm.sites.study import Study

FORMAT, VERSION = "fastlmm_hlm site", 1
SMALL = ("warn", "refuse", "drop")


class SiteCrossProducts:
    """The sums of one site, made by `site_crossproducts` or read from a file with ``SiteCrossProducts.load(path)``.

    Attributes
    ----------
    site : str
    study : Study
    n : int
        Rows used.
    levels : dict of str to int
        Number of levels of each grouping factor.
    header : dict
        Everything but arrays, as in the file.
    arrays : dict of str to ndarray
    """

    def __init__(self, header, arrays):
        self.header, self.arrays = header, arrays
        self.study = Study.of(header["study"])
        self._source = self._again = None

    site = property(lambda self: self.header["site"])
    n = property(lambda self: self.header["n"])

    @property
    def levels(self):
        return {factor["name"]: len(self.arrays[f"{i}/counts"]) for i, factor in enumerate(self.header["factors"])}

    @property
    def checksum(self):
        """SHA-256 of the arrays."""
        made = hashlib.sha256()
        for name in sorted(self.arrays):
            values = np.ascontiguousarray(self.arrays[name])
            made.update(f"{name} {values.dtype.str} {values.shape}".encode())
            made.update(values.tobytes())
        return made.hexdigest()

    def __repr__(self):
        levels = ", ".join(f"{count} {name}" for name, count in self.levels.items())
        return f"<sums of site '{self.site}': {self.n:,} rows, {levels}; {self.study.formula.text}>"

    @classmethod
    def of(cls, study, site, plan, summed, triangle, facts, known, kinds, removed):
        """The record of what `summing` found."""
        products, x, centrings = summed
        arrays = {
            "XyWXy": products.XyWXy, "beta0": products.beta0, "triangle": triangle, "centre": x.centre, "B": x.B,
            "cells": known.cells, "cell_counts": known.counts.astype(np.int64),
        }
        factors = []
        for f, (factor, group, basis) in enumerate(zip(plan.design.factors, plan.groups, centrings)):
            parts, codes = _parts(group)
            arrays |= {
                f"{f}/ZtWZ": products.ZtWZ[f], f"{f}/ZtWXy": products.ZtWXy[f], f"{f}/counts": facts.counts[f],
                f"{f}/centre": basis.centre, f"{f}/B": basis.B, **{f"{f}/codes{i}": own for i, own in enumerate(codes)},
            }
            terms = [term.text for term in plan.design.terms if term.factor == f for _ in term.names]
            factors.append({"name": factor.name, "columns": factor.names, "terms": terms, "parts": parts})
        for (f, g), table in products.pairs.items():
            arrays |= {f"{f}-{g}/{name}": values for name, values in zip(("indptr", "indices", "values"), table)}
        dropped = {**plan.dropped, **({"small cells": removed} if removed else {})}
        header = {
            "format": FORMAT, "version": VERSION, "site": site, "study": study.as_dict(), "n": products.n, "n_input": plan.n_input + removed,
            "dropped": dropped, "missing": plan.missing, "sum_log_weights": products.sum_log_weights,
            "response": {"mean": float(facts.y.mean), "m2": float(facts.y.sums[2])}, "weight": float(facts.weight.mean) if facts.weight.count else 1.0,
            "x_names": plan.x_names, "variables": kinds, "state": _plain(plan.spec.state), "factors": factors, "counted": known.counted,
            "predictors": {name: _variable(v) for name, v in known.variables.items()},
        }
        return cls(json.loads(json.dumps(header)), {name: np.ascontiguousarray(values) for name, values in arrays.items()})

    # --- the file ---------------------------------------------------------------------------

    def save(self, path, *, min_cell=5, small="warn"):
        """Write the sums to a file.

        Parameters
        ----------
        path : path
            It takes its name when it is complete; ``north.flmm`` is a good one.
        min_cell : int
            A group or a combination of factor levels with fewer rows is small.
        small : {"warn", "refuse", "drop"}
            What to do with small ones: warn and write, write nothing, or sum again without their rows.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        DataError
            For small groups with ``small="refuse"``, or a file that cannot be written.
        ArgumentError
            For "drop" of sums that were read from a file, which has no rows to sum again.

        Warns
        -----
        DisclosureWarning
            If some group or cell is small.
        """
        from fastlmm_hlm.sites.disclosure import without_small_cells, small_cells

        if small not in SMALL:
            raise ArgumentError(f"save: small = {small!r}; use one of {', '.join(map(repr, SMALL))}.")
        if not isinstance(min_cell, int) or min_cell < 0:
            raise ArgumentError(f"save: min_cell = {min_cell!r}; expected a number of rows, such as 5.")
        found = small_cells(self, min_cell)
        if found and small == "drop":
            return without_small_cells(self, min_cell)._write(path)
        if found:
            said = f"the sums of site '{self.site}' reveal single rows or nearly so: {'; '.join(found)}"
            if small == "refuse":
                raise DataError(f"save: {said}. Nothing was written; use small='drop' to leave such rows out, or a coarser grouping.")
            warn_user(f"{said}. See .disclosure(); save(..., small='drop') leaves such rows out.", DisclosureWarning)
        return self._write(path)

    def _write(self, path):
        with complete_or_nothing(path, "save") as begun, disk_errors(path, "save"):
            begun.write_bytes(self.to_bytes())
        return pathlib.Path(path)

    def to_bytes(self):
        """What a file holds: a NumPy archive of the arrays and of one entry "header", JSON."""
        header = {**self.header, "checksum": self.checksum}
        out = io.BytesIO()
        np.savez_compressed(out, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **self.arrays)
        return out.getvalue()

    @classmethod
    def load(cls, path):
        """The sums of a file.

        Raises
        ------
        DataError
            If it is missing, damaged, or of another version.
        """
        try:
            data = pathlib.Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"'{path}' cannot be read ({error.strerror}); ask the site for its file, or check the path.") from error
        return cls.from_bytes(data, f"'{path}'")

    @classmethod
    def from_bytes(cls, data, where="the bytes"):
        """The sums that `to_bytes` wrote; see `load`."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays.pop("header").tobytes())
            known = header["format"] == FORMAT
        except Exception as error:
            raise DataError(f"{where} holds no sums of a site, or is damaged ({type(error).__name__}, {len(data)} bytes); ask the site to send it again.") from error
        if not known:
            raise DataError(f"{where} is '{header['format']}' and not '{FORMAT}'; give what site_crossproducts(...).save(path) wrote.")
        if header.get("version") != VERSION:
            raise DataError(f"{where} has version {header.get('version')} of its format and this fastlmm_hlm reads version {VERSION}; use the same release at all sites.")
        checksum = header.pop("checksum", None)
        new = cls(header, arrays)
        if new.checksum != checksum:
            raise DataError(f"{where} is damaged: its numbers do not give the checksum that it states; ask the site to send it again.")
        return new

    def disclosure(self):
        """What the sums reveal about the rows of the site, in words.

        Returns
        -------
        str
        """
        from fastlmm_hlm.sites.disclosure import disclosure

        return disclosure(self)


def _parts(group):
    """The parts of a grouping factor with their levels, and each level's place in each part."""
    parts = []
    for name, places in zip(group.names, group.parts):
        values = places.levels.to_numpy()
        kind = "integer" if values.dtype.kind in "iu" else "number" if values.dtype.kind == "f" else "text"
        parts.append({"name": name, "kind": kind, "levels": [str(v) for v in values] if kind == "text" else values.tolist()})
    codes, keys = [], np.arange(len(group.levels), dtype=np.int64)
    for width, observed in reversed(group.steps):
        pairs = observed[keys]
        codes.append((pairs % width).astype(np.int32))
        keys = pairs // width
    return parts, [keys.astype(np.int32), *reversed(codes)]


def _variable(v):
    """What is kept of a predictor; of its range only the power of two nearest to it."""
    spread = float(2.0 ** np.round(np.log2(v.spread))) if v.spread > 0 else 0.0
    levels = None if v.levels is None else [level.item() if hasattr(level, "item") else level for level in v.levels]
    return {
        "is_factor": v.is_factor, "levels": levels, "mean": v.mean, "ordered": v.ordered, "is_date": v.is_date, "spread": spread,
        "categories": None if v.categories is None else [str(level) for level in v.categories],
    }


def _plain(state):
    """State of transforms as JSON."""
    if isinstance(state, dict):
        return {str(key): _plain(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"#array": state.tolist()}
    return state.item() if hasattr(state, "item") else state


def from_plain(state):
    """The state that was made plain for JSON."""
    if isinstance(state, dict):
        return np.array(state["#array"], dtype=float) if set(state) == {"#array"} else {key: from_plain(value) for key, value in state.items()}
    return state
