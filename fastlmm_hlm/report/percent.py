"""Column names of intervals, as R writes them."""

from fastlmm_hlm.report.rformat import format_numbers


def percent_names(level):
    """["2.5 %", "97.5 %"] for level 0.95."""
    tail = (1.0 - level) / 2.0
    return [f"{word.strip()} %" for word in format_numbers([100.0 * tail, 100.0 * (1.0 - tail)], 3)]
