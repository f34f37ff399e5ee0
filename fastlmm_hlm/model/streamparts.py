"""Results with one number per row from sources that have parts: made and written by the processes that hold the rows."""

import pathlib
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

from fastlmm_hlm.errors import DataError
from fastlmm_hlm.ingest.newfile import complete_or_nothing, disk_errors
from fastlmm_hlm.ingest.parts import cut, naming
from fastlmm_hlm.ingest.source import BLOCK_ROWS
from fastlmm_hlm.model import streaming


@dataclass(frozen=True)
class _Given:
    """What of a fit the rows ask for, and in what blocks they come; picklable."""

    _plan: object
    _estimates: object
    _kept_columns: object
    block_rows: int
    types: object


def _given(fit, columns):
    e, rows = fit._estimates, fit._settings.control.block_rows
    estimates = SimpleNamespace(beta=e.beta, b=e.b, sigma=e.sigma)
    return _Given(fit._plan, estimates, fit._kept_columns, BLOCK_ROWS if rows is None else rows, fit._source.types(columns))


def residuals_in_parts(fit, function):
    """What a function makes of the runs of scaled residuals of each part."""
    columns = streaming.columns_of(fit)
    found = fit._source.stored(partial(_of_residuals, function=function), _given(fit, columns), columns, False, "summary")
    _check(fit, "summary", found)
    return [made for made, _, _ in found]


def _of_residuals(block, part, given, function):
    counted = _Counted(given, block)
    with naming(part):
        made = function(streaming.scaled_residuals(given, counted.pieces()))
    return made, counted.seen, counted.used


class _Counted:
    """The pieces of one part, and its rows."""

    def __init__(self, given, block):
        self.given, self.block, self.seen, self.used = given, block, 0, 0

    def pieces(self, with_random=True):
        for made in streaming.pieces_of(self.given, cut(self.block, self.given.block_rows, self.given.types), with_random):
            self.seen += made[1].n
            self.used += made[1].count
            yield made


def _check(fit, caller, found):
    streaming.check_rows(fit, caller, sum(n for _, n, _ in found), sum(n for _, _, n in found))


def stream_in_parts(fit, options, out):
    """Write one Parquet file per part into a folder; see `streaming.stream`.

    The folder must lie where the processes and this one see it.  It takes its name when all is written.
    """
    target = pathlib.Path(out).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"stream: '{out}' exists and is not an empty folder; {fit._source.description} is written as one file per partition, so give a new folder.")
    columns = streaming.columns_of(fit, options.columns)
    with complete_or_nothing(target, "stream") as begun:
        with disk_errors(target, "stream"):
            begun.mkdir()
        function = partial(_write, options=options, folder=begun)
        found = fit._source.stored(function, _given(fit, columns), columns, options.progress, "stream")
        _check(fit, "stream", found)
        there = len(list(begun.glob("part-*.parquet")))
        if there != sum(n > 0 for _, n, _ in found):
            raise DataError(f"stream: {there} of the workers' files are in the folder of '{out}' seen from here; give a folder that all of them share with this machine.")
    return target


def _write(block, part, given, options, folder):
    counted = _Counted(given, block)
    if len(block):
        with naming(part):
            tables = streaming.tables(given, options, counted.pieces(not options.fixed_only))
            streaming.write_parquet(tables, folder / f"part-{part:05d}.parquet")
    return part, counted.seen, counted.used
