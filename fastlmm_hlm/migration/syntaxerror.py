"""What a script is called that R cannot read."""

from fastlmm_hlm.errors import ArgumentError


class RSyntaxError(ArgumentError):
    """The script is not R: its line, if known, and what is wrong."""

    def __init__(self, line, message):
        self.line = line
        at = "" if line is None else f"line {line}: "
        super().__init__(f"migrate: the script is not valid R - {at}{message}. Correct it there; R would stop at the same place.")
