"""Compare the answers for one case with lme4's: arrays in, rows of a table out.

Both sides are dictionaries of the shape that lme4_reference.R writes and
`parity.ours.answers` makes.  Nothing here fits a model.
"""

import dataclasses
import math

import numpy as np

# The optimum is a minimum: ours may be lower than lme4's, never higher.
CRITERION = 1e-6
# Both sides solve the same linear system at a theta that is right to about 1e-7.
FIXED = 1e-6
# The tight reference has a gradient of 1e-8 in whitened coordinates.
VARIANCES = 1e-6
# lme4's default stops at a change of 1e-8 in the criterion, where a variance is good to four digits.
VARIANCES_DEFAULT = 1e-4
# A default fit further above the optimum than this has not converged to four digits.
DEFAULT_CONVERGED = 1e-9
# Relative to the root mean square of their column.
MODES = 1e-4
# Relative to sigma.
FITTED = 1e-5
# Relative to |criterion|, at a theta that is given: rounding only.
CRITERION_AT = 1e-9
# A variance that adds less than this share of sigma^2 to the response is compared as if it were this large.
NEGLIGIBLE_SHARE = 1e-4


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison.

    difference and tolerance are in the units of the quantity's own scale;
    a criterion's difference keeps its sign, ours minus lme4's.
    """

    quantity: str
    difference: float
    tolerance: float

    @property
    def ok(self):
        return math.isfinite(self.difference) and self.difference <= self.tolerance


def compare(ours, reference, identified=True):
    """Compare all that both sides know.

    Parameters
    ----------
    ours, reference : dict
        Answers for the same case.
    identified : bool
        False if the split of the variance is not unique; then only the
        criterion and the fixed effects are compared.

    Returns
    -------
    list of Row
        Only the criterion if ours is better by more than `CRITERION`: the
        rest then belongs to another optimum.
    """
    criterion = Row("criterion", ours["criterion"] - reference["criterion"], CRITERION)
    if is_better(criterion):
        return [criterion]
    rows = [criterion, *_fixed_rows(ours, reference), *_size_rows(ours, reference), *_criterion_at_rows(ours, reference)]
    if not identified:
        return rows
    return rows + [
        *_variance_rows(ours, reference),
        *_mode_rows(ours, reference),
        *_prediction_rows(ours, reference),
        *_likelihood_rows(ours, reference),
    ]


def is_better(criterion):
    """True if the criterion's row says that ours is lower by more than rounding."""
    return criterion.difference < -CRITERION


def worst(values):
    """Largest absolute value; NaN if any is NaN, 0 if there are none."""
    values = np.abs(np.asarray(values, dtype=float)).ravel()
    return float(values.max()) if values.size else 0.0


def same(quantity, ours, reference):
    """A row that passes only if both sides are equal."""
    return Row(quantity, 0.0 if ours == reference else math.inf, 0.0)


def _fixed_rows(ours, reference):
    names = same("fixef names", list(ours["fixef"]["names"]), list(reference["fixef"]["names"]))
    if not names.ok:
        return [names]
    beta, se = _array(reference["fixef"]["values"]), _array(reference["se"])
    scale = np.outer(se, se)
    return [
        names,
        Row("fixef", worst((_array(ours["fixef"]["values"]) - beta) / np.maximum(np.abs(beta), se)), FIXED),
        Row("se", worst((_array(ours["se"]) - se) / se), FIXED),
        Row("vcov", worst((_array(ours["vcov"]) - _array(reference["vcov"])) / scale), FIXED),
    ]


def _size_rows(ours, reference):
    return [
        same("nobs", int(ours["nobs"]), int(reference["nobs"])),
        same("ngrps", dict(ours["ngrps"]), dict(reference["ngrps"])),
        same("df_residual", int(ours["df_residual"]), int(reference["df_residual"])),
    ]


def _criterion_at_rows(ours, reference):
    """The criterion at thetas that the reference gives: no optimizer is involved."""
    return [
        Row(
            f"criterion at theta {number}",
            abs(mine["criterion"] - theirs["criterion"]) / max(1.0, abs(theirs["criterion"])),
            CRITERION_AT,
        )
        for number, (mine, theirs) in enumerate(zip(ours["at"], reference["at"], strict=True), start=1)
    ]


def _variance_rows(ours, reference):
    keys = [_component_keys(side["varcorr"]) for side in (ours, reference)]
    names = same("VarCorr names", *keys)
    if not names.ok:
        return [names]
    mine, best = _array(ours["varcorr"]["vcov"]), _array(reference["varcorr"]["vcov"])
    scale = _variance_scale(reference)
    rows = [
        names,
        Row("VarCorr", worst((mine - best) / scale), VARIANCES),
        Row("sigma", abs(ours["sigma"] / reference["sigma"] - 1.0), VARIANCES),
        same("isSingular", bool(ours["is_singular"]), bool(reference["is_singular"])),
    ]
    if not reference["is_singular"]:
        difference = _array(ours["theta"]) - _array(reference["theta"])
        rows.append(Row("theta", worst(difference / _theta_scale(reference)), VARIANCES))
    default = reference["default"]
    if default["criterion"] - reference["criterion"] <= DEFAULT_CONVERGED:
        theirs = _array(default["varcorr"]["vcov"])
        rows.append(Row("VarCorr, default fit", worst((mine - theirs) / scale), VARIANCES_DEFAULT))
    return rows


def _component_keys(varcorr):
    columns = ([None if _is_missing(cell) else str(cell) for cell in varcorr[name]] for name in ("grp", "var1", "var2"))
    return list(zip(*columns, strict=True))


def _variance_scale(reference):
    """What one VarCorr entry is measured by: sqrt(v_ii v_jj), each v not below a negligible one.

    Returns
    -------
    scale : ndarray, shape (rows of VarCorr,)
    """
    keys, vcov = _component_keys(reference["varcorr"]), _array(reference["varcorr"]["vcov"])
    sigma2, column_rms = reference["sigma"] ** 2, iter(_array(reference["column_rms"]))
    floored = {
        (grp, var1): max(value, NEGLIGIBLE_SHARE * sigma2 / next(column_rms) ** 2)
        for (grp, var1, var2), value in zip(keys, vcov, strict=True)
        if var2 is None and grp != "Residual"
    }
    floored["Residual", None] = sigma2
    return np.array([math.sqrt(floored[grp, var1] * floored[grp, var2 or var1]) for grp, var1, var2 in keys])


def _theta_scale(reference):
    """Norm of the row of lambda that each element of theta stands in."""
    theta, scales, start = _array(reference["theta"]), [], 0
    for term in reference["cnms"]:
        size = len(term["terms"])
        lambda_ = np.zeros((size, size))
        column, row = np.triu_indices(size)
        lambda_[row, column] = theta[start : start + row.size]
        scales.append(np.linalg.norm(lambda_, axis=1)[row])
        start += row.size
    return np.concatenate(scales)


def _mode_rows(ours, reference):
    mine = {part["grpvar"]: part for part in ours["ranef"]}
    names = same("ranef factors", sorted(mine), sorted(part["grpvar"] for part in reference["ranef"]))
    if not names.ok:
        return [names]
    differences = {"ranef": [], "condsd": []}
    for theirs in reference["ranef"]:
        part = mine[theirs["grpvar"]]
        names = same(f"ranef terms of {theirs['grpvar']}", list(part["terms"]), list(theirs["terms"]))
        if not names.ok:
            return [names]
        rows = {level: number for number, level in enumerate(part["levels"])}
        missing = [level for level in theirs["levels"] if level not in rows]
        if missing:
            return [Row(f"ranef levels of {theirs['grpvar']}: no {missing[0]}", math.inf, 0.0)]
        chosen = [rows[level] for level in theirs["levels"]]
        n_levels = theirs["n_levels"]
        spread = np.sqrt((_array(theirs["condval_sum_of_squares"]) + _array(theirs["condsd_sum_of_squares"])) / n_levels)
        spread = np.maximum(spread, 1e-3 * reference["sigma"] / _rms_of(reference, theirs["grpvar"]))
        for quantity, name in (("ranef", "condval"), ("condsd", "condsd")):
            shown = _array(part[name])[chosen] - _array(theirs[name])
            squares = _array(part[f"{name}_sum_of_squares"]) - _array(theirs[f"{name}_sum_of_squares"])
            differences[quantity] += [worst(shown / spread), worst(squares / (n_levels * spread**2))]
    return [Row(quantity, worst(values), MODES) for quantity, values in differences.items()]


def _rms_of(reference, grpvar):
    """Root mean squares of the model columns of one factor's terms, in their order."""
    sizes = [len(term["terms"]) for term in reference["cnms"]]
    pieces = np.split(_array(reference["column_rms"]), np.cumsum(sizes)[:-1])
    own = [
        piece for piece, term in zip(pieces, reference["cnms"], strict=True)
        if _factor_of(term["grpvar"], reference["ngrps"]) == grpvar
    ]
    return np.concatenate(own)


def _factor_of(term_name, factors):
    """The grouping factor of a term name such as "Subject.1"."""
    return term_name if term_name in factors else term_name.rpartition(".")[0]


def _prediction_rows(ours, reference):
    rows = []
    for name in ("fitted", "residuals"):
        first = _array(ours[name]["first"]) - _array(reference[name]["first"])
        squares, their_squares = ours[name]["sum_of_squares"], reference[name]["sum_of_squares"]
        rows += [
            Row(name, worst(first) / reference["sigma"], FITTED),
            Row(f"{name}, sum of squares", abs(squares / their_squares - 1.0), FITTED),
        ]
    return rows


def _likelihood_rows(ours, reference):
    return [Row(name, abs(ours[name] - reference[name]), CRITERION) for name in ("logLik", "AIC", "BIC")]


def _array(values):
    return np.asarray(values, dtype=float)


def _is_missing(cell):
    return cell is None or (isinstance(cell, float) and math.isnan(cell))
