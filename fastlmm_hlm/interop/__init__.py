"""Fits as other libraries expect them; none of these is needed to use the package."""
