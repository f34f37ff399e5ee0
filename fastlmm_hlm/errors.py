"""Errors and warnings of the package, all in one place.

Every error derives from `FastlmmError`; each also derives from the built-in
class a Python user would catch.  A message says who complains, what was found,
what was expected and what to do, in the user's own names and numbers.
"""

import sys
import warnings


class FastlmmError(Exception):
    """Base class of every error this package raises on purpose."""


class FormulaError(FastlmmError, ValueError):
    """The model formula cannot be read, or asks for something impossible."""


class DataError(FastlmmError, ValueError):
    """The data cannot be used with this formula."""


class UnknownColumnError(DataError, KeyError):
    """The formula or an argument names a column that the data do not have."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class ArgumentError(FastlmmError, ValueError):
    """An argument has a value that the function does not accept."""


class UnknownNameError(FastlmmError, KeyError):
    """A result was asked for by a name that does not exist."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class FactorizationError(FastlmmError, ArithmeticError):
    """A matrix that must be positive definite is not."""


class NotEnoughMemoryError(DataError, MemoryError):
    """The model would need more memory than the machine has."""


class ConvergenceError(FastlmmError, ArithmeticError):
    """The optimizer could not find an optimum at all."""


class RowsNotKeptError(FastlmmError, RuntimeError):
    """A result needs the rows of the data, which this fit no longer holds."""


class RMissingError(FastlmmError, RuntimeError):
    """R, rpy2 or an R package is needed and is not installed, or does not start."""


class FastlmmWarning(UserWarning):
    """Base class of every warning this package gives."""


class ConvergenceWarning(FastlmmWarning):
    """The optimizer stopped before the certificate of an optimum was met."""


class NotEnoughMemoryWarning(FastlmmWarning):
    """The model needs more memory than the machine has, and is tried nevertheless."""


class SingularFitWarning(FastlmmWarning):
    """Some variance component is estimated as zero, or a correlation as +-1."""


class RankDeficientWarning(FastlmmWarning):
    """Columns of the fixed-effects model matrix were dropped."""


class DroppedRowsWarning(FastlmmWarning):
    """Rows were left out for a reason the user may not expect."""


class FewLevelsWarning(FastlmmWarning):
    """A result takes a variance between very few levels as known.

    Given by `reliability` and `expected_rank`, which rest on that variance alone.  A fit does not
    give it: its number of levels is printed, and estimates from few groups are legitimate.
    """


class DisclosureWarning(FastlmmWarning):
    """Sums that a site is about to send reveal single rows of its data, or nearly so."""


def warn_user(message, category):
    """Give a warning that points to the first line outside this package.

    Parameters
    ----------
    message : str
    category : type
        One of the warnings above.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fastlmm_hlm":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
