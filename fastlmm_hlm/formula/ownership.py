"""Views of the user's memory: which may be kept, and what must be held for it."""
import numpy as np


class Ownership:
    """Makes arrays safe from later changes of the data they were read from.

    pandas copies shared memory before it is written to, as long as another
    Series of it lives; so each view carries the Series it was read from along.
    polars and pyarrow never write.  All else is copied.

    Parameters
    ----------
    lent : list of (ndarray, object or None)
        See DataColumns.

    Attributes
    ----------
    held : list
        Columns of the data that views point into.
    """

    def __init__(self, lent):
        self.lent = lent
        self.held = []
        self._safe, self._instead = {}, {}

    def instead(self, values, original):
        """Let integers of the user's stand for the floats made of them, where a view of them may be kept.

        Parameters
        ----------
        values : ndarray of float64, shape (n,)
        original : ndarray of int64, shape (n,)
            The same numbers.
        """
        if any(original is lent and keeper is not None for lent, keeper in self.lent):
            self._instead[id(values)] = values, original

    def safe(self, values):
        """Return an array that no one will change: itself or a copy.

        Parameters
        ----------
        values : ndarray or None

        Returns
        -------
        ndarray or None
            A view is read-only if the user's memory is.  The same array each
            time the same one is given.
        """
        if values is None:
            return None
        if id(values) not in self._safe:
            self._safe[id(values)] = (values, self._resolve(values))
        return self._safe[id(values)][1]

    def column(self, values):
        """Return the same of a column of a model matrix, where integers may stand for floats."""
        return self.safe(self._instead.get(id(values), (None, values))[1])

    def _resolve(self, values):
        for lent, keeper in self.lent:
            if values is lent or values.base is not None and np.may_share_memory(values, lent):
                if keeper is None:
                    return values.copy()
                if not any(keeper is other for other in self.held):
                    self.held.append(keeper)
                return np.asarray(_Anchored(values, keeper))
        return values


class _Anchored:
    """An array's memory and what must live as long as any view of it; becomes the base of such a view."""

    def __init__(self, values, keeper):
        self.__array_interface__ = values.__array_interface__
        self.values, self.keeper = values, keeper
