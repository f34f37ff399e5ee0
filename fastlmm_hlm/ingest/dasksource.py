"""Dask data frames: the passes run where the partitions are, and only sums travel."""

import itertools
from contextlib import contextmanager

from fastlmm_hlm.errors import ArgumentError, DataError, FastlmmError
from fastlmm_hlm.ingest.parts import merge_found, ranges_of, scan_part, sum_part, tree, unreadable
from fastlmm_hlm.ingest.partialsums import add_partials, join_ranges
from fastlmm_hlm.ingest.passes import progress_bar
from fastlmm_hlm.ingest.source import Source


class DaskSource(Source):
    """A Dask DataFrame, on the client that is active, or on Dask's local scheduler.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
        Divisions do not matter; categories may be unknown.
    """

    in_parts = True

    def __init__(self, frame):
        self._frame, self.names = frame, list(frame.columns)
        self.description = f"a Dask DataFrame of {frame.npartitions} partitions"

    def types(self, columns):
        """Declared types of the columns."""
        return self._frame[columns].dtypes

    def _parts(self, columns):
        return self._frame[columns].to_delayed()

    def scans(self, request, columns, block_rows, progress):
        """The first pass; `parts.Found` of all partitions."""
        from dask import delayed

        def graph(asked):
            parts, types = self._parts(columns), self.types(columns)
            leaves = [delayed(scan_part, pure=False)(one, part, asked, block_rows, types) for part, one in enumerate(parts)]
            return dict(enumerate(leaves)), [tree(leaves, delayed(merge_found, pure=False))]

        return self._computed(request, graph, columns, progress, "first pass")[0]

    def sums(self, plan, columns, numbers, block_rows, progress):
        """The second pass; `Products` of the partitions that have rows."""
        from dask import delayed

        client = active_client()
        ranges = 1 if client is None else ranges_of(plan, len(client.scheduler_info(n_workers=-1)["workers"]))

        def graph(asked):
            parts, types = self._parts(columns), self.types(columns)
            leaves = {
                part: delayed(sum_part, pure=False, nout=ranges)(parts[part], part, number, asked, block_rows, ranges, types)
                for number, part in enumerate(numbers)
            }
            roots = [tree([leaf[i] for leaf in leaves.values()], delayed(add_partials, pure=False)) for i in range(ranges)]
            return leaves, roots

        _ = plan.digest                          # found once, and sent with the plan
        return join_ranges(self._computed(plan, graph, columns, progress, "second pass")).products(plan)

    def stored(self, function, shared, columns, progress, what):
        """Run function(block, part, shared) for every partition, in the workers; the list of what it returns."""
        from dask import delayed

        def graph(asked):
            leaves = [delayed(function, pure=False)(one, part, asked) for part, one in enumerate(self._parts(columns))]
            return dict(enumerate(leaves)), leaves

        return self._computed(shared, graph, columns, progress, what)

    # --- running ------------------------------------------------------------------------

    def _computed(self, shared, graph, columns, progress, what):
        """Compute the roots of a graph; `shared` goes to every worker once."""
        from dask import delayed

        client = active_client()
        with _bar(progress, self._frame.npartitions, what) as done:
            if client is None:
                leaves, roots = graph(delayed(shared, traverse=False, pure=False))
                return self._on_this_machine(leaves, roots, columns, done)
            if client.asynchronous:
                raise ArgumentError("lmer: the active Dask client is asynchronous; fit from a Client(...) that is not.")
            made = _on_workers(client, shared, graph, done)
        if made is None:
            # all workers that had the plan were lost, and Dask cannot make again what was scattered: send it with the tasks
            with _bar(progress, self._frame.npartitions, what) as done:
                made = _on_workers(client, delayed(shared, traverse=False, pure=False), graph, done)
        if made is None:
            raise DataError(f"{self.description} was not read: its tasks were cancelled, by another part of the program or because the cluster was closed.")
        return made

    def _on_this_machine(self, leaves, roots, columns, done):
        import dask
        from dask.callbacks import Callback

        keys = {leaf.key for leaf in leaves.values()}
        count = Callback(posttask=lambda key, *_: done() if key in keys else None)
        try:
            with count:
                return list(dask.compute(*roots))
        except (FastlmmError, MemoryError):
            raise
        except Exception as error:
            part = self._first_unreadable(columns)
            raise (error if part is None else unreadable(part, error)) from error

    def _first_unreadable(self, columns):
        """The first partition that cannot be read, which a local scheduler does not say."""
        for part, one in enumerate(self._parts(columns)):
            try:
                one.compute(scheduler="synchronous")
            except Exception:
                return part
        return None


def active_client():
    """The dask.distributed client in use, or None."""
    import dask

    chosen = dask.config.get("scheduler", None)
    if chosen is not None and chosen not in ("dask.distributed", "distributed"):
        return None
    try:
        from distributed import default_client

        return default_client()
    except (ImportError, ValueError):
        return None


def _on_workers(client, shared, graph, done):
    """Results of the roots, or None if what all workers share was lost with the last of them.

    Every future is given up at the end, and cancelled where it is not complete, also on Ctrl-C.
    """
    from dask.delayed import Delayed
    from distributed import CancelledError, as_completed, wait

    futures = []
    try:
        if not isinstance(shared, Delayed):
            client.wait_for_workers(1)
            shared = client.scatter(shared, broadcast=True, hash=False)
            futures.append(shared)
        leaves, roots = graph(shared)
        made = client.compute([*leaves.values(), *roots])
        futures += made
        places = dict(zip((future.key for future in made), leaves, strict=False))
        waiting = as_completed(made[: len(leaves)])
        ends = {root.key for root in roots}
        for future in itertools.islice(waiting, len(leaves)):
            if _is_lost(future):
                return None
            if future.status == "error":
                _raise(future, places[future.key])
            done()
            if future.key not in ends:
                future.release()
        roots = made[len(leaves):]
        wait(roots)
        if any(_is_lost(future) for future in roots):
            return None
        for future in roots:
            if future.status == "error":
                _raise(future, None)
        return client.gather(roots)
    except (CancelledError, TimeoutError):       # Ctrl-C is neither
        return None
    finally:
        client.cancel([future for future in futures if not future.done()])
        for future in futures:
            future.release()


def _is_lost(future):
    return future.status in ("cancelled", "lost")


def _raise(future, part):
    error = future.exception()
    if part is None or isinstance(error, (FastlmmError, MemoryError)):
        raise error
    raise unreadable(part, error) from error


@contextmanager
def _bar(wanted, total, what):
    """A function to call for each partition that is done."""
    with progress_bar(wanted, total, what, " partitions") as bar:
        yield (lambda: None) if bar is None else bar.update
