"""What the commands say on stderr, and how they end."""

import sys

from fastlmm_hlm.errors import RMissingError

PROGRAM = "fastlmm-hlm"


def exit_code(error):
    """Of a command that ended with an error."""
    return 3 if isinstance(error, RMissingError) else 1 if isinstance(error, ArithmeticError) else 2


def show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"{PROGRAM}: warning: {plain(message)}", file=sys.stderr)


def plain(error):
    """The message of an error; the line with its caret, if it has one, stays below it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
