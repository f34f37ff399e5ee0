"""Column names of intervals, as R writes them."""

from fastlmm_hlm.report.rformat import signif

DIGITS = 3


def percent_names(level):
    """["2.5 %", "97.5 %"] for level 0.95: three digits, never in scientific notation."""
    tail = 100.0 * (1.0 - level) / 2.0
    ends = [tail, 100.0 - tail]
    decimals = max(_decimals(float(signif(end, DIGITS))) for end in ends)
    return [f"{end:.{decimals}f} %" for end in ends]


def _decimals(value):
    """Decimals of a number of at most DIGITS significant digits."""
    text = f"{value:.15f}".rstrip("0")
    places = len(text.split(".")[1])
    return places if places < 15 else len(f"{value:.12f}".rstrip("0").split(".")[1])
