"""Decoding the next blocks while the last one is summed."""

import queue
import threading

# Bytes that may be decoded ahead of the sums.
AHEAD = 32 * 2**20
_END = object()


def read_ahead(blocks, most):
    """Yield what an iterator gives, taken from it by a thread of its own.

    Parameters
    ----------
    blocks : iterator
        Of Arrow tables.
    most : int
        Bytes that may wait; one block may always.

    Notes
    -----
    Ending early, by an error or Ctrl-C, ends the thread after the block at work and drops what waits.
    """
    waiting, room = queue.SimpleQueue(), _Room(most)

    def fill():
        try:
            for block in blocks:
                if not room.take(block.nbytes):
                    return
                waiting.put((block, None))
            waiting.put((_END, None))
        except BaseException as error:      # handed over to the reader
            waiting.put((_END, error))

    thread = threading.Thread(target=fill, name="fastlmm_hlm read ahead", daemon=True)
    thread.start()
    try:
        while True:
            block, error = waiting.get()
            if error is not None:
                raise error
            if block is _END:
                return
            room.give(block.nbytes)
            yield block
            del block
    finally:
        room.close()
        thread.join()


class _Room:
    """Bytes that may still be taken."""

    def __init__(self, most):
        self._most, self._taken, self._open = most, 0, True
        self._changed = threading.Condition()

    def take(self, size):
        """Wait for room; False if nobody reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open or self._taken == 0 or self._taken + size <= self._most)
            self._taken += size
            return self._open

    def give(self, size):
        with self._changed:
            self._taken -= size
            self._changed.notify()

    def close(self):
        with self._changed:
            self._open = False
            self._changed.notify()
