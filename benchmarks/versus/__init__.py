"""The same models fitted by other programs, each in its own process on the same file."""
