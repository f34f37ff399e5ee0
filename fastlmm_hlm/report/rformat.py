"""Numbers as R writes them: round, signif, zapsmall, format, format.pval.

R decides on one notation for a whole vector: it asks how many digits each
element needs to show `digits` significant ones, takes the largest demand, and
chooses fixed notation unless scientific notation is narrower.  The rules
follow R's help pages ?round, ?format, ?print.default and ?format.pval and,
where these are silent, what R prints; the stored R output in the tests holds.

R scales each number by a power of ten in 80-bit arithmetic before it rounds.
That last bit decides ties such as 0.15 at one digit, so it is imitated with
exact integers here: the result is the same on every machine.
"""

import math
from fractions import Fraction

import numpy as np

from fastlmm_hlm.errors import ArgumentError

DOUBLE_EPS = 2.0**-52
MOST_DIGITS = 22
DIGITS_OF_A_DOUBLE = 15
LARGEST_POWER = 308
LARGEST_EXACT_POWER = 27
"""10**27 is the last power of ten that an 80-bit number holds exactly."""


def round_half_even(value):
    """Round a `Fraction` to the nearest integer, ties to the even one."""
    return round(value)


def _to_extended(value):
    """The non-negative `Fraction` rounded to a significand of 64 bits."""
    if value == 0:
        return value
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    shift = 64 - bits
    scaled = value * 2**shift if shift >= 0 else value / 2**-shift
    while scaled >= 2**64:
        shift -= 1
        scaled /= 2
    while scaled < 2**63:
        shift += 1
        scaled *= 2
    whole = round_half_even(scaled)
    return Fraction(whole, 2**shift) if shift >= 0 else Fraction(whole * 2**-shift)


def _times_power_of_ten(value, power):
    """value * 10**power, rounded as 80-bit arithmetic would."""
    exact = value * 10**power if power >= 0 else value / 10**-power
    return _to_extended(exact) if abs(power) <= LARGEST_EXACT_POWER else exact


def _exponent(value):
    """floor(log10(value)) of a positive `Fraction`, exactly."""
    guess = len(str(value.numerator)) - len(str(value.denominator))
    while Fraction(10) ** guess > value:
        guess -= 1
    while Fraction(10) ** (guess + 1) <= value:
        guess += 1
    return guess


def round_r(x, digits=0):
    """Round one number to `digits` decimals as R (>= 4.0.0) does.

    Of the two neighbours with that many decimals the nearer one *as a double*
    is taken, so ``round_r(0.15, 1) == 0.1`` and ``round_r(2.5) == 2.0``.

    Parameters
    ----------
    x : float
    digits : int

    Returns
    -------
    float
    """
    x = float(x)
    if not math.isfinite(x) or x == 0.0:
        return x
    if digits == 0:
        return math.copysign(round(abs(x)), x)
    size = (math.frexp(abs(x))[1] - 0.5) * math.log10(2.0)
    if digits > min(LARGEST_POWER, DIGITS_OF_A_DOUBLE - size):
        return x
    if digits < -LARGEST_POWER:
        return 0.0
    scale = _power_of_ten(abs(digits))
    size_x = abs(x)
    tens = size_x * scale if digits >= 0 else size_x / scale
    below, above = math.floor(tens), math.ceil(tens)
    low = below / scale if digits >= 0 else below * scale
    high = above / scale if digits >= 0 else above * scale
    to_low, to_high = size_x - low, high - size_x
    up = to_high < to_low or (to_high == to_low and below % 2 == 1)
    return math.copysign(high if up else low, x)


def signif(x, digits=6):
    """Round one number to `digits` significant digits as R's ``signif`` does.

    Parameters
    ----------
    x : float
    digits : int
        Values below 1 count as 1; at 22 or more the number is returned as is.

    Returns
    -------
    float
    """
    x = float(x)
    digits = max(1, int(digits))
    if not math.isfinite(x) or x == 0.0 or digits > MOST_DIGITS:
        return x
    power = digits - 1 - math.floor(math.log10(abs(x)))
    if power <= 0:
        unit = _power_of_ten(-power)
        return round(x / unit) * unit
    rest = max(0, power - LARGEST_POWER)
    unit, more = _power_of_ten(power - rest), _power_of_ten(rest)
    return round(x * unit * more) / unit / more


def _power_of_ten(n):
    """10**n for n >= 0 by repeated squaring in doubles, as R computes it."""
    power, square = 1.0, 10.0
    while n:
        if n & 1:
            power *= square
        n >>= 1
        if n:
            square *= square
    return power


def zapsmall(x, digits=7):
    """Round so that numbers tiny beside the largest one become zero.

    Parameters
    ----------
    x : array_like, shape (n,)
    digits : int

    Returns
    -------
    ndarray, shape (n,)
    """
    x = np.asarray(x, dtype=float)
    known = np.abs(x[~np.isnan(x)])
    largest = float(known.max()) if known.size else 0.0
    if not math.isfinite(largest):
        largest = 0.0
    decimals = digits
    if largest > 0:
        decimals = math.floor(max(0.0, digits - math.log10(largest)) + 0.5)
    return np.array([round_r(value, decimals) for value in x])


def _significant(x, digits):
    """How one finite number asks to be written with `digits` digits.

    Returns
    -------
    exponent : int
        Power of ten of the leading digit after rounding.
    used : int
        Significant digits left when trailing zeros are dropped.
    left : int
        Characters before the decimal point in fixed notation, sign included.
    """
    negative = 1 if x < 0 else 0
    if x == 0.0:
        return 0, 1, 1
    size = Fraction(abs(x))
    if digits > DIGITS_OF_A_DOUBLE:
        mantissa, exponent_text = f"{abs(x):.{digits - 1}e}".split("e")
        exponent = int(exponent_text)
        used = max(1, len(mantissa.replace(".", "").rstrip("0")))
    else:
        exponent = _exponent(size)
        whole = round_half_even(_times_power_of_ten(size, digits - 1 - exponent))
        if whole == 10**digits:
            exponent += 1
        used = max(1, len(str(whole).rstrip("0")))
        if whole == 10**digits:
            used = 1
    left = exponent + 1
    if 0 < exponent and size < 10**exponent - Fraction(1, 2 * 10 ** max(0, digits - exponent)):
        left -= 1
    return exponent, used, negative + max(1, left)


def _check_digits(digits):
    if not 1 <= digits <= MOST_DIGITS:
        raise ArgumentError(
            f"digits = {digits} cannot be used for printing; a number from 1 to {MOST_DIGITS} was "
            "expected. Choose how many significant digits to show."
        )


def format_numbers(x, digits=7, nsmall=0, nan="NA"):
    """Write a vector of numbers as R's ``format(x, digits, nsmall)`` does.

    All elements get the same notation, the same number of decimals and the
    same width (right-justified).

    Parameters
    ----------
    x : array_like, shape (n,)
        Integers (and booleans, as TRUE/FALSE) are written exactly.
    digits : int
        Significant digits that the most demanding element shows at least,
        1 to 22.
    nsmall : int
        Least number of decimals in fixed notation.
    nan : str
        How a missing number is written: R's "NA", or "NaN".

    Returns
    -------
    list of str, length n

    Raises
    ------
    ArgumentError
        If `digits` is outside 1..22.
    """
    _check_digits(digits)
    x = np.asarray(x)
    if x.size == 0:
        return []
    if x.dtype.kind == "b":
        words = ["TRUE" if value else "FALSE" for value in x]
    elif x.dtype.kind in "iu":
        words = [str(int(value)) for value in x]
    else:
        return _format_floats([float(value) for value in x], digits, nsmall, nan)
    width = max(map(len, words))
    return [word.rjust(width) for word in words]


def _format_floats(x, digits, nsmall, nan):
    finite = [value for value in x if math.isfinite(value)]
    others = [_not_finite(value, nan) for value in x if not math.isfinite(value)]
    width = max(map(len, others), default=0)
    fixed, decimals = True, 0
    if finite:
        parts = [_significant(value, digits) for value in finite]
        decimals = max(0, max(used - exponent - 1 for exponent, used, _ in parts))
        left = max(before for _, _, before in parts)
        mantissa = max(used for _, used, _ in parts)
        largest = max(exponent for exponent, _, _ in parts)
        smallest = min(exponent for exponent, _, _ in parts)
        fixed_width = left + (decimals + 1 if decimals else 0)
        sign = 1 if any(value < 0 for value in finite) else 0
        exponent_width = 5 if largest >= 100 or smallest <= -100 else 4
        e_width = sign + (mantissa + 1 if mantissa > 1 else 1) + exponent_width
        fixed = fixed_width <= e_width
        if fixed:
            if nsmall > decimals:
                decimals = nsmall
                fixed_width = left + decimals + 1
            width = max(width, fixed_width)
        else:
            decimals = mantissa - 1
            width = max(width, e_width)
    kind = "f" if fixed else "e"
    return [_write(value, decimals, kind, nan).rjust(width) for value in x]


def _not_finite(value, nan):
    if math.isnan(value):
        return nan
    return "Inf" if value > 0 else "-Inf"


def _write(value, decimals, kind, nan):
    if not math.isfinite(value):
        return _not_finite(value, nan)
    return f"{value if value else 0.0:.{decimals}{kind}}"


def cat_number(x, digits=7):
    """Write one number as R's ``cat`` does, with at most `digits` digits."""
    return format_numbers([x], digits)[0]


def format_fixed(x, decimals):
    """Write one number with exactly `decimals` decimals (formatC, "f")."""
    return _write(float(x), decimals, "f", "NA")


def format_pvalues(p, digits=5, eps=DOUBLE_EPS, nan="NA"):
    """Write p-values as R's ``format.pval`` does.

    Values below `eps` become "< eps"; those of at least 0.0001 (0.001 for one
    digit) share one format, and the smaller ones share another.

    Parameters
    ----------
    p : array_like, shape (n,)
    digits : int
    eps : float
    nan : str
        How a missing p-value is written.

    Returns
    -------
    list of str, length n
    """
    p = [float(value) for value in p]
    known = [value for value in p if not math.isnan(value)]
    written = iter(_format_known_pvalues(known, digits, eps))
    return [nan if math.isnan(value) else next(written) for value in p]


def _format_known_pvalues(p, digits, eps):
    _check_digits(digits)
    out = [""] * len(p)
    small = [i for i, value in enumerate(p) if value < eps]
    rest = [i for i, value in enumerate(p) if value >= eps]
    least = -4 if digits > 1 else -3
    plain = [i for i in rest if p[i] == 0 or math.floor(math.log10(p[i])) >= least]
    tiny = [i for i in rest if i not in set(plain)]
    for group in (plain, tiny):
        for i, word in zip(group, format_numbers([p[i] for i in group], digits), strict=True):
            out[i] = word
    if small:
        digits = max(1, digits - 2)
        space = "" if digits == 1 else " "
        if rest:
            width = max(len(out[i]) for i in rest)
            if digits > 1 and digits + 6 > width:
                digits = max(1, width - 7)
            space = "" if digits == 1 and width <= 6 else " "
        word = "<" + space + format_numbers([eps], digits)[0]
        for i in small:
            out[i] = word
    return out
