"""Results with one number per row, for rows that are read block by block."""

import contextlib
import pathlib
from dataclasses import dataclass
from functools import partial

import numpy as np

from fastlmm_hlm.design.columns import times
from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError, UnknownColumnError
from fastlmm_hlm.inference.residuals import LME4_TYPES
from fastlmm_hlm.ingest.newfile import complete_or_nothing, disk_errors
from fastlmm_hlm.ingest.passes import read_blocks
from fastlmm_hlm.ingest.products import piece_of

# Residuals of so many rows are kept and sorted; of more, only those near the quartiles.
KEPT = 2_000_000
# Leading bits of a double that a histogram counts: sign, exponent, and 8 bits of the fraction.
BITS = 20


def residual_quantiles(fit):
    """Minimum, quartiles and maximum of the scaled residuals, ndarray (5,), by reading the source again.

    Exact.  A first pass counts residuals by the leading bits of the number, which sort as the numbers do;
    a second one keeps those that share their leading bits with a quartile.  Up to 2,000,000 rows are kept
    and sorted instead.
    """
    n = fit._estimates.n
    if n <= KEPT:
        return np.quantile(np.concatenate(over_residuals(fit, _all)), [0, 0.25, 0.5, 0.75, 1])
    counts, low, high = np.zeros(1 << BITS, dtype=np.int64), np.inf, -np.inf
    for bins, own, least, most in over_residuals(fit, _counted):
        counts[bins] += own
        low, high = min(low, least), max(high, most)
    below = np.concatenate([[0], np.cumsum(counts)])
    places = [(n - 1) * q for q in (0.25, 0.5, 0.75)]
    ranks = sorted({int(k) for place in places for k in (np.floor(place), np.ceil(place))})
    bins = sorted({int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks})
    near = np.sort(np.concatenate(over_residuals(fit, partial(_near, bins=bins))))
    value, first = {}, 0
    for number in bins:
        inside = near[first : first + counts[number]]
        value |= {rank: inside[rank - below[number]] for rank in ranks if below[number] <= rank < below[number + 1]}
        first += counts[number]
    middle = []
    for place in places:
        a, b = value[int(np.floor(place))], value[int(np.ceil(place))]
        middle.append(a + (b - a) * (place - np.floor(place)))
    return np.array([low, *middle, high])


def _all(runs):
    return np.concatenate([np.empty(0), *runs])


def _counted(runs):
    """Leading bits that occur, how often, and the extremes."""
    counts, low, high = np.zeros(1 << BITS, dtype=np.int64), np.inf, -np.inf
    for r in runs:
        counts += np.bincount(_leading(r), minlength=1 << BITS)
        low, high = min(low, float(r.min())), max(high, float(r.max()))
    bins = np.flatnonzero(counts)
    return bins, counts[bins], low, high


def _near(runs, bins):
    """Those whose leading bits are asked for."""
    wanted = np.zeros(1 << BITS, dtype=bool)
    wanted[bins] = True
    return np.concatenate([np.empty(0), *(r[wanted[_leading(r)]] for r in runs)])


def over_residuals(fit, function):
    """What a function makes of the runs of scaled residuals: of the whole source, or of each of its parts where they lie."""
    if fit._source.in_parts:
        from fastlmm_hlm.model.streamparts import residuals_in_parts

        return residuals_in_parts(fit, function)
    return [function(scaled_residuals(fit, _pieces(fit, "summary")))]


def _leading(values):
    """The leading bits of doubles as numbers that sort as the doubles do, ndarray of int64."""
    bits = np.ascontiguousarray(values).view(np.int64)
    ordered = np.where(bits < 0, ~bits, bits | np.int64(-(2**63)))
    return (ordered.view(np.uint64) >> np.uint64(64 - BITS)).astype(np.int64)


def scaled_residuals(fit, pieces):
    """Pearson residuals over sigma, block by block."""
    for _, _, piece, mu in pieces:
        if piece is not None:
            yield _residuals(piece, mu, "pearson") / fit._estimates.sigma


def _residuals(piece, mu, type):
    r = piece.y - mu
    return r * np.sqrt(piece.weights) if type in ("pearson", "deviance") and piece.weights is not None else r


def columns_of(fit, beside=()):
    """Columns of the source that results of rows need."""
    wanted = {*fit._plan.columns, *beside}
    return [name for name in fit._source.names if name in wanted]


def _pieces(fit, caller, with_random=True, progress=False, beside=()):
    """The pieces of all blocks of the source, see `pieces_of`."""
    blocks = read_blocks(fit._source, columns_of(fit, beside), fit._settings.control.block_rows, progress, caller)
    seen = used = 0
    for made in pieces_of(fit, blocks, with_random):
        seen += made[1].n
        used += made[1].count
        yield made
    check_rows(fit, caller, seen, used)


def pieces_of(fit, blocks, with_random=True):
    """Every block: itself, its rows, the arrays of its rows in use, and the fitted values; None without such rows."""
    seen = 0
    for block in blocks:
        rows = fit._plan.rows_of(block, seen)
        seen += rows.n
        if not rows.count:
            yield block, rows, None, None
            continue
        piece = piece_of(fit._plan, rows)
        yield block, rows, piece, _linear_predictor(fit, piece, fit._estimates.b if with_random else ())


def check_rows(fit, caller, seen, used):
    """Refuse a source that has other rows than the fit had.

    Raises
    ------
    DataError
    """
    plan = fit._plan
    if (seen, used) != (plan.n_input, plan.n):
        raise DataError(
            f"{caller}: {fit._source.description} has {seen} rows now, {used} of them in use, and had {plan.n_input} and {plan.n} when "
            "the model was fitted; fit again."
        )


def _linear_predictor(fit, piece, b):
    mu = times([piece.x[j] for j in fit._kept_columns], fit._estimates.beta, len(piece))
    if piece.offset is not None:
        mu += piece.offset
    for codes, columns, effects in zip(piece.codes, piece.z, b):
        for j, column in enumerate(columns):
            part = effects[codes, j]
            mu += part if column is None else part * column
    return mu


WHAT = ("fitted", "residuals", "predict")


def stream(fit, what="fitted", *, out, type="response", scaled=False, re_form=None, columns=(), progress=False):
    """Write fitted values, residuals or predictions of a fit from a source to a Parquet file, block by block.

    Parameters
    ----------
    fit : LinearMixedModel
        Made from a source.
    what : {"fitted", "residuals", "predict"}
        "predict" with ``re_form="NA"`` leaves the random effects out.
    out : path
        The file; it takes its name when it is complete.  For a Dask or Spark DataFrame a folder, in which
        workers write one file per partition.
    type : {"response", "pearson", "deviance", "working"}
        Of residuals.
    scaled : bool
        Divide residuals by sigma.
    re_form : None or "NA"
        For "predict": with all random effects, or with none.
    columns : sequence of str
        Columns of the source to write beside.
    progress : bool
        Show a bar.

    Returns
    -------
    pathlib.Path
        The file, one row per row of the source and in its order; null in rows that the model does not use.

    Raises
    ------
    RowsNotKeptError
        If the fit was not made from a source that it still has.
    ArgumentError
        For an unknown kind of result.
    DataError
        If the source cannot be read or has changed, or the file cannot be written.
    """
    if fit._source is None:
        raise RowsNotKeptError("stream: this fit has no source to read; use fit.fitted(), fit.residuals() or fit.predict(), or fit from a path.")
    if what not in WHAT:
        raise ArgumentError(f"stream: what = {what!r} is not known; use one of {', '.join(WHAT)}.")
    if type not in LME4_TYPES:
        raise ArgumentError(f"stream: type = {type!r} is not known; use one of {', '.join(LME4_TYPES)}.")
    if re_form not in (None, "NA", "~0"):
        raise ArgumentError(f"stream: re_form = {re_form!r}; use None for all random effects or 'NA' for none.")
    unknown = [name for name in columns if name not in fit._source.names]
    if unknown:
        raise UnknownColumnError(f"stream: {fit._source.description} has no column {unknown[0]!r}; it has {', '.join(fit._source.names)}.")
    options = _Options(what, type, scaled, what == "predict" and re_form is not None, list(columns), progress)
    if fit._source.in_parts:
        from fastlmm_hlm.model.streamparts import stream_in_parts

        return stream_in_parts(fit, options, out)
    return write_parquet(tables(fit, options, _pieces(fit, "stream", not options.fixed_only, progress, options.columns)), out)


@dataclass(frozen=True)
class _Options:
    what: str
    type: str
    scaled: bool
    fixed_only: bool
    columns: list
    progress: bool


def tables(fit, options, pieces):
    """Arrow tables of the results, block by block."""
    import pyarrow as pa

    for block, rows, piece, mu in pieces:
        values = np.full(rows.n, np.nan)
        if piece is not None:
            made = mu
            if options.what == "residuals":
                made = _residuals(piece, mu, options.type) / (fit._estimates.sigma if options.scaled else 1.0)
            values[slice(None) if rows.used is None else rows.used] = made
        beside = {name: column_as_arrow(block, name) for name in options.columns}
        yield pa.table({**beside, options.what: pa.array(values, from_pandas=True)})


def column_as_arrow(block, name):
    """One column of a block as the source has it."""
    import pyarrow as pa

    if isinstance(block, (pa.Table, pa.RecordBatch)):
        return block.column(name)
    column = block[name]
    return column.to_arrow() if hasattr(column, "to_arrow") else pa.array(column, from_pandas=True)


def write_parquet(tables, out):
    """Write Arrow tables of one schema to a file that takes its name when it is complete.

    Parameters
    ----------
    tables : iterator of pyarrow.Table
    out : path

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError
        If it cannot be written; nothing is left behind.
    """
    import pyarrow.parquet as pq

    with complete_or_nothing(out, "stream") as begun, contextlib.closing(tables):
        first = next(tables, None)
        if first is None:
            raise DataError("stream: the source has 0 rows now; there is nothing to write.")
        with disk_errors(out, "stream"), pq.ParquetWriter(begun, first.schema) as writer:
            writer.write_table(first)
            del first
            for table in tables:
                writer.write_table(table.cast(writer.schema))
    return pathlib.Path(out)
