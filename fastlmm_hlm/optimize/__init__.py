"""Minimizers of a smooth criterion; they know only a callable."""
