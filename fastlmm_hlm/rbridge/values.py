"""R's vectors and lists as NumPy arrays, lists and dicts, and the way back."""

import numpy as np

from fastlmm_hlm.rbridge.session import session


def plain(value):
    """An R vector or list as Python sees it.

    Parameters
    ----------
    value : R object

    Returns
    -------
    None, ndarray, list of str, list, or dict
        Named lists are dicts.  Anything else (models) stays an R object.
    """
    r = session().interface
    if value is None or value.rid == r.NULL.rid:
        return None
    if isinstance(value, r.StrSexpVector):
        return [None if text is r.NA_Character else str(text) for text in value]
    if isinstance(value, (r.FloatSexpVector, r.IntSexpVector)):
        return np.array(value.memoryview())
    if isinstance(value, r.BoolSexpVector):
        return np.array(list(value), dtype=bool)
    if isinstance(value, r.ListSexpVector):
        names = plain(value.names)
        parts = [plain(part) for part in value]
        return parts if names is None else dict(zip(names, parts))
    return value


def numbers_to_r(values):
    """A float64 vector; NaN is R's NaN, which R takes for missing."""
    return session().interface.FloatSexpVector.from_memoryview(memoryview(np.ascontiguousarray(values, dtype=np.float64)))


def integers_to_r(values):
    """An integer vector."""
    return session().interface.IntSexpVector.from_memoryview(memoryview(np.ascontiguousarray(values, dtype=np.int32)))


def texts_to_r(texts):
    """A character vector."""
    return session().interface.StrSexpVector([str(text) for text in texts])


def list_to_r(parts):
    """A named list of R objects, None for NULL.

    Parameters
    ----------
    parts : dict of str to R object, str, bool or None
    """
    r = session().interface
    made = r.ListSexpVector([_element(r, value) for value in parts.values()])
    made.do_slot_assign("names", texts_to_r(parts))
    return made


def _element(r, value):
    if value is None:
        return r.NULL
    if isinstance(value, bool):
        return r.BoolSexpVector([value])
    return r.StrSexpVector([value]) if isinstance(value, str) else value
