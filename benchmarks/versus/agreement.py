"""How far two sets of estimates lie apart."""

import numpy as np

SAME = 1e-5  # estimates closer than this count as the same
# A standard deviation below this many residual ones is measured against that many.
SMALLEST_SD = 0.01


def fixef_difference(estimates, reference, se):
    """Largest difference of the fixed effects, relative to the effect or its standard error if that is larger.

    Parameters
    ----------
    estimates, reference : dict
        Name -> coefficient.
    se : dict
        Name -> standard error.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the names differ.
    """
    if set(estimates) != set(reference):
        raise ValueError(f"fixed effects {sorted(estimates)}, expected {sorted(reference)}")
    return max(abs(estimates[name] - value) / max(abs(value), se[name]) for name, value in reference.items())


def varcomp_difference(estimates, reference):
    """Largest difference of (co)variances, the residual one included, relative to the product of standard deviations.

    Parameters
    ----------
    estimates, reference : dict
        With "varcomp" (factor -> {"names", "cov"}) and "residual".

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the terms differ.
    """
    residual = reference["residual"]
    largest = abs(estimates["residual"] - residual) / residual
    if set(estimates["varcomp"]) != set(reference["varcomp"]):
        raise ValueError(f"grouping factors {sorted(estimates['varcomp'])}, expected {sorted(reference['varcomp'])}")
    for group, block in reference["varcomp"].items():
        names = estimates["varcomp"][group]["names"]
        if set(names) != set(block["names"]):
            raise ValueError(f"terms {names} of {group}, expected {block['names']}")
        order = [names.index(name) for name in block["names"]]
        cov = np.array(estimates["varcomp"][group]["cov"])[np.ix_(order, order)]
        expected = np.array(block["cov"])
        sd = np.maximum(np.sqrt(np.diag(expected)), SMALLEST_SD * np.sqrt(residual))
        largest = max(largest, np.max(np.abs(cov - expected) / np.outer(sd, sd)))
    return float(largest)


def compare(estimates, reference, se):
    """Differences of criterion, fixed effects and variance components.

    Returns
    -------
    dict with "criterion" (estimates minus reference), "fixef", "varcomp"; or with
    "differs" (str) if the two are not estimates of the same model.
    """
    try:
        return {
            "criterion": estimates["criterion"] - reference["criterion"],
            "fixef": fixef_difference(estimates["fixef"], reference["fixef"], se),
            "varcomp": varcomp_difference(estimates, reference),
        }
    except ValueError as error:
        return {"differs": str(error)}


def same(difference):
    """True if all estimates agree to `SAME`."""
    return "differs" not in difference and max(difference["fixef"], difference["varcomp"]) <= SAME
