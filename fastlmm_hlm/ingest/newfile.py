"""Files and folders that take their name when they are complete."""

import contextlib
import os
import pathlib
import shutil

from fastlmm_hlm.errors import DataError


@contextlib.contextmanager
def complete_or_nothing(out, caller):
    """A path beside `out` for a file or folder, which takes the name of `out` when the block ends.

    Nothing is left behind where it does not.

    Parameters
    ----------
    out : path
    caller : str
        Whose name an error bears.

    Yields
    ------
    pathlib.Path

    Raises
    ------
    DataError
        If the name cannot be given.
    """
    target = pathlib.Path(out)
    begun = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield begun
        with disk_errors(target, caller):
            os.replace(begun, target)
    finally:
        if begun.is_dir():
            shutil.rmtree(begun, ignore_errors=True)
        else:
            begun.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(target, caller):
    """Turn what the system says of a disk into a sentence.

    Raises
    ------
    DataError
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{caller}: '{target}' cannot be written ({error}); check the folder and the space on its disk. Nothing was left there.") from error
