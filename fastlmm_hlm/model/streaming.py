"""Results with one number per row, for rows that are read block by block."""

import os
import pathlib

import numpy as np

from fastlmm_hlm.errors import ArgumentError, DataError, RowsNotKeptError
from fastlmm_hlm.ingest.passes import read_blocks
from fastlmm_hlm.ingest.products import piece_of
from fastlmm_hlm.design.columns import times
from fastlmm_hlm.model.rows import RESIDUAL_TYPES

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
        return np.quantile(np.concatenate(list(_scaled(fit))), [0, 0.25, 0.5, 0.75, 1])
    counts, low, high = np.zeros(1 << BITS, dtype=np.int64), np.inf, -np.inf
    for r in _scaled(fit):
        counts += np.bincount(_leading(r), minlength=1 << BITS)
        low, high = min(low, float(r.min())), max(high, float(r.max()))
    below = np.concatenate([[0], np.cumsum(counts)])
    places = [(n - 1) * q for q in (0.25, 0.5, 0.75)]
    ranks = sorted({int(k) for place in places for k in (np.floor(place), np.ceil(place))})
    bins = sorted({int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks})
    wanted = np.zeros(1 << BITS, dtype=bool)
    wanted[bins] = True
    near = np.sort(np.concatenate([r[wanted[_leading(r)]] for r in _scaled(fit)]))
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


def _leading(values):
    """The leading bits of doubles as numbers that sort as the doubles do, ndarray of int64."""
    bits = np.ascontiguousarray(values).view(np.int64)
    ordered = np.where(bits < 0, ~bits, bits | np.int64(-(2**63)))
    return (ordered.view(np.uint64) >> np.uint64(64 - BITS)).astype(np.int64)


def _scaled(fit):
    """Pearson residuals over sigma, block by block."""
    for _, piece, mu in _pieces(fit, "summary"):
        yield _residuals(piece, mu, "pearson") / fit._estimates.sigma


def _residuals(piece, mu, type):
    r = piece.y - mu
    return r * np.sqrt(piece.weights) if type in ("pearson", "deviance") and piece.weights is not None else r


def _pieces(fit, caller, with_random=True, response=True, progress=False):
    """Every block that has rows in use: its rows, their arrays, and the fitted values."""
    source, plan, e = fit._source, fit._plan, fit._estimates
    columns = [name for name in source.names if name in set(plan.columns)]
    kept = fit._kept_columns
    seen = used = 0
    for block in read_blocks(source, columns, fit._settings.control.block_rows, progress, caller):
        rows = plan.rows_of(block, seen)
        seen += rows.n
        used += rows.count
        piece = piece_of(plan, rows, response) if rows.count else None
        mu = None
        if piece is not None:
            mu = times([piece.x[j] for j in kept], e.beta, rows.count)
            if piece.offset is not None:
                mu += piece.offset
            for codes, columns_of_factor, effects in zip(piece.codes, piece.z, e.b if with_random else ()):
                for j, column in enumerate(columns_of_factor):
                    part = effects[codes, j]
                    mu += part if column is None else part * column
            yield rows, piece, mu
    if response and (seen, used) != (plan.n_input, plan.n):
        raise DataError(f"{caller}: {source.description} has {seen} rows now, {used} of them in use, and had {plan.n_input} and {plan.n} when the model was fitted; fit again.")


WHAT = ("fitted", "residuals", "predict")


def stream(fit, what="fitted", *, out, type="response", scaled=False, re_form=None, columns=(), progress=False):
    """Write fitted values or residuals of a fit from a source to a Parquet file, block by block.

    Parameters
    ----------
    fit : LinearMixedModel
        Made from a source that can be read again.
    what : {"fitted", "residuals", "predict"}
        "predict" with ``re_form="NA"`` leaves the random effects out.
    out : path
        The file; it appears under its name when it is complete.
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
        The file, with one row per row of the source; null in rows that the model did not use.

    Raises
    ------
    RowsNotKeptError
        If the fit was not made from a source.
    DataError
        If the source cannot be read, has changed, or the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if fit._source is None:
        raise RowsNotKeptError("stream: this fit was made from data in memory; use fit.fitted(), fit.residuals() or fit.predict().")
    if what not in WHAT:
        raise ArgumentError(f"stream: what = {what!r} is not known; use one of {', '.join(WHAT)}.")
    if type not in RESIDUAL_TYPES:
        raise ArgumentError(f"stream: type = {type!r} is not known; use one of {', '.join(RESIDUAL_TYPES)}.")
    if re_form not in (None, "NA", "~0"):
        raise ArgumentError(f"stream: re_form = {re_form!r}; use None for all random effects or 'NA' for none.")
    columns = list(columns)
    fit._source_has(columns)
    target = pathlib.Path(out)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    writer = None
    try:
        for rows, values in _by_block(fit, what, type, scaled, re_form == "NA" or re_form == "~0", columns, progress):
            table = pa.table({**values, what: pa.array(rows, from_pandas=True)})
            if writer is None:
                writer = pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is None:
            raise DataError(f"stream: {fit._source.description} has 0 rows now; nothing to write.")
        writer.close()
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"stream: '{target}' cannot be written ({error.strerror or error}); check the folder and the space on its disk.") from error
    finally:
        if writer is not None and writer.is_open:
            _close(writer)
        temporary.unlink(missing_ok=True)
    return target
