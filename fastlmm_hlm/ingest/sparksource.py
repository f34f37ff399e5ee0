"""Spark data frames, by mapInArrow: the passes run where the partitions are, and only sums travel."""

import pickle

from fastlmm_hlm.errors import DataError, FastlmmError
from fastlmm_hlm.ingest.partialsums import Partial, add_partials, join_ranges
from fastlmm_hlm.ingest.parts import FAN_IN, merge_found, ranges_of, scan_part, sum_part, tree
from fastlmm_hlm.ingest.passes import progress_bar
from fastlmm_hlm.ingest.source import Source, needs

# Rows that executors pass on: the part, the range it belongs to, and a pickled result or error.
SCHEMA = "part long, place long, made binary"


class SparkSource(Source):
    """A Spark DataFrame.

    Parts have the numbers of Spark's partitions, so the frame must give the same ones in both passes:
    cache it after a shuffle whose outcome can differ.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
    """

    in_parts = True

    def __init__(self, frame):
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise needs("pyarrow", "lmer: a Spark DataFrame", "spark") from None
        self._frame, self.names = frame, list(frame.columns)
        self.description = "a Spark DataFrame"

    def types(self, columns):
        """None: Spark's columns have one type in all partitions."""
        return None

    def scans(self, request, columns, block_rows, progress):
        """The first pass; `parts.Found` of all partitions."""
        def leaf(block, part, asked):
            return [scan_part(block, part, asked, block_rows)]

        return tree(self._reduced(leaf, request, columns, None, merge_found, progress, "first pass"), merge_found)

    def sums(self, plan, columns, numbers, block_rows, progress):
        """The second pass; `Products` of the partitions that have rows."""
        ranges = ranges_of(plan, self._frame.sparkSession.sparkContext.defaultParallelism)
        place = {part: number for number, part in enumerate(numbers)}

        def leaf(block, part, asked):
            if not len(block):
                return []
            return sum_part(block, part, place.get(part, part), asked, block_rows, ranges)

        _ = plan.digest
        return join_ranges(self._reduced(leaf, plan, columns, ranges, add_partials, progress, "second pass")).products(plan)

    def stored(self, function, shared, columns, progress, what):
        """Run function(block, part, shared) for every partition, in the executors; the list of what it returns."""
        def leaf(block, part, asked):
            return [function(block, part, asked)]

        return self._reduced(leaf, shared, columns, None, None, progress, what)

    def _reduced(self, leaf, shared, columns, ranges, add, progress, what):
        """Results of the leaves, by range; those of one range (or of eight parts, without ranges) are added by one executor."""
        context = self._frame.sparkSession.sparkContext
        sent = context.broadcast(shared)
        try:
            rows = self._frame.select(*(_quoted(name) for name in columns)).mapInArrow(_leaves(leaf, sent, ranges), SCHEMA)
            if add is not None:
                rows = rows.repartition(ranges or context.defaultParallelism, "place").mapInArrow(_adding(add), SCHEMA)
            with progress_bar(progress, None, what, " results") as bar:
                found = []
                for row in rows.collect():
                    found.append((row.place, row.part, _opened(row.made)))
                    if bar is not None:
                        bar.update()
        except FastlmmError:
            raise
        except Exception as error:
            raise DataError(f"{self.description} cannot be read: {_first_line(error)}") from error
        finally:
            sent.unpersist()
        return [made for _, _, made in sorted(found, key=lambda one: one[:2])]


def _quoted(name):
    return "`" + name.replace("`", "``") + "`"


def _leaves(leaf, sent, ranges):
    """The function that Spark runs on each partition."""
    def run(batches):
        import pyarrow as pa
        from pyspark import TaskContext

        part = TaskContext.get().partitionId()
        batches = list(batches)
        try:
            block = pa.Table.from_batches(batches) if batches else pa.table({})     # an empty partition brings no batch, and so no columns
            made = leaf(block, part, sent.value)
        except FastlmmError as error:
            made = [error]
        for i, one in enumerate(made):
            yield _row(part, i if ranges else part // FAN_IN, one)

    return run


def _adding(add):
    """The function that adds the results of each place."""
    def run(batches):
        places = {}
        for batch in batches:
            for row in batch.to_pylist():
                places.setdefault(row["place"], []).append((row["part"], _unpickled(row["made"])))
        for place, own in sorted(places.items()):
            own = [made for _, made in sorted(own, key=lambda one: one[0])]
            try:
                made = next((one for one in own if isinstance(one, FastlmmError)), None) or add(own)
            except FastlmmError as error:
                made = error
            yield _row(0, place, made)

    return run


def _row(part, place, made):
    import pyarrow as pa

    data = made.to_bytes() if isinstance(made, Partial) else pickle.dumps(made)
    return pa.RecordBatch.from_pydict(
        {"part": pa.array([part], pa.int64()), "place": pa.array([place], pa.int64()), "made": pa.array([data], pa.binary())}
    )


def _unpickled(data):
    data = bytes(data)
    return Partial.from_bytes(data) if data.startswith(b"PK") else pickle.loads(data)


def _opened(data):
    made = _unpickled(data)
    if isinstance(made, FastlmmError):
        raise made
    return made


def _first_line(error, most=300):
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[:most] + " ..."
