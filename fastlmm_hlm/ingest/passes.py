"""The passes over a source on one machine."""

from contextlib import closing, contextmanager

import numpy as np

from fastlmm_hlm.design.rank import clearly_independent, independent_columns
from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.ingest.growing import TwoPassesError
from fastlmm_hlm.ingest.onepass import one_pass
from fastlmm_hlm.ingest.products import Products
from fastlmm_hlm.ingest.readahead import AHEAD, read_ahead
from fastlmm_hlm.ingest.request import Reading
from fastlmm_hlm.ingest.scan import Scan
from fastlmm_hlm.ingest.source import BLOCK_ROWS


def run_passes(source, request, threads=1, block_rows=None, progress=False):
    """Read the rows, once where that is enough and twice otherwise.

    Parameters
    ----------
    source : Source
    request : Request
    threads : int
    block_rows : int, optional
        Rows at a time.
    progress : bool
        Show tqdm's bars.

    Returns
    -------
    Plan, CrossProducts
    kept : ndarray of int
        Columns of X that can be estimated.

    Raises
    ------
    DataError
        If the rows cannot be read or used, or change between the passes.
    """
    reading = Reading(request, source.names)
    columns = [name for name in source.names if name in set(reading.columns)]
    if not columns:
        raise DataError(f"'{request.formula.text}' uses no column of {source.description}; a model needs a response that varies.")
    before = source.fingerprint()
    if not source.blocks_stay:
        threads = 1
    plan, products, kept = _once(source, request, reading, columns, threads, block_rows, progress) or _twice(
        source, request, columns, threads, block_rows, progress
    )
    if source.fingerprint() != before:
        raise DataError(f"{source.description} was changed while it was read, so the two passes saw different rows; fit again when nothing writes to it.")
    return plan, products, kept


def _once(source, request, reading, columns, threads, block_rows, progress):
    """One reading; None where two are needed."""
    with closing(read_blocks(source, columns, block_rows, progress, "pass", threads > 1)) as blocks:
        try:
            plan, products, triangle = one_pass(source, request, reading, blocks, threads)
        except TwoPassesError:
            return None
    kept = estimable(plan, products, triangle)
    return None if kept is None else (plan, products, kept)


def _twice(source, request, columns, threads, block_rows, progress):
    scan = Scan(request)
    for block in read_blocks(source, columns, block_rows, progress, "first pass", threads > 1):
        scan.update(block)
    plan = scan.finish()
    return plan, *_sum(source, plan, columns, threads, block_rows, progress)


def _sum(source, plan, columns, threads, block_rows, progress):
    for attempt in range(2):
        with Products(plan, threads=threads) as products:
            for block in read_blocks(source, columns, block_rows, progress, "second pass", threads > 1):
                products.update(block)
            made = products.finish()
        kept = estimable(plan, made, products.triangle)
        if kept is not None:
            return made, kept
        plan.doubtful = True                     # the few rows of the plan did not show it: keep the triangle
    raise AssertionError("a triangular factor always decides")


def estimable(plan, products, triangle):
    """Columns of X kept by lme4's rank rule, see `design.crossprod.estimable_columns`.

    Returns
    -------
    ndarray of int, or None if that takes the triangular factor of X, which was not kept
    """
    p, centre = products.p, plan.design.x_centring.centre
    total = products.n * plan.response.weight
    if p == 0 or clearly_independent(products.XyWXy[:p, :p], products.XyWXy.diagonal()[:p] + total * centre**2):
        return np.arange(p)
    return None if triangle is None else independent_columns(triangle)


def read_blocks(source, columns, block_rows=None, progress=False, what="rows", ahead=True):
    """The blocks of a source, with a bar; whatever a reader says becomes a sentence.

    Parameters
    ----------
    source : Source
    columns : list of str
    block_rows : int, optional
    progress : bool
    what : str
        Label of the bar.
    ahead : bool
        Whether a thread of its own decodes the next blocks of sources that decode.

    Raises
    ------
    DataError
    """
    done = 0
    with progress_bar(progress, source.n_rows, what) as bar, closing(_iterate(source, columns, block_rows, ahead)) as blocks:
        while True:
            try:
                block = next(blocks, None)
            except (FastlmmError, MemoryError):
                raise
            except Exception as error:
                raise DataError(
                    f"{source.description} cannot be read to its end: after {done:,} rows {type(error).__name__} says "
                    f"'{_shortened(error)}'. Is the file complete, and every column of one type throughout?"
                ) from error
            if block is None:
                return
            yield block
            n = getattr(block, "num_rows", None)
            n = len(block) if n is None else n
            done += n
            if bar is not None:
                bar.update(n)


def _iterate(source, columns, block_rows, ahead):
    blocks = source.blocks(columns, BLOCK_ROWS if block_rows is None else block_rows)
    yield from read_ahead(blocks, AHEAD) if ahead and source.decodes else blocks


def _shortened(error, most=300):
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= most else text[:most] + " ..."


@contextmanager
def progress_bar(wanted, total, what, unit=" rows"):
    """A progress bar of tqdm, or None."""
    if not wanted:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise FastlmmError("lmer: progress=True needs tqdm, which is not installed: pip install 'fastlmm_hlm[progress]'") from None
    with tqdm(total=total, desc=what, unit=unit, unit_scale=unit == " rows") as bar:
        yield bar
