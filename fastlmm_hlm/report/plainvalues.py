"""Results in the types that JSON has."""

import math

import numpy as np


def plain_values(value):
    """The same in types that JSON has; what is not finite or missing becomes None.

    Parameters
    ----------
    value : dict, list, tuple, array, number, str, bool or None

    Returns
    -------
    dict, list, str, bool, int, finite float or None
    """
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
