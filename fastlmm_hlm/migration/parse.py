"""A script's tree, by R's parser where R is installed, else by tree-sitter's."""

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.migration import read_r, read_treesitter

PARSERS = {"R": read_r, "tree-sitter": read_treesitter}


def parse(text, parser=None):
    """Read a script.

    Parameters
    ----------
    text : str
    parser : {"R", "tree-sitter"}, optional
        The first that is installed.

    Returns
    -------
    Script

    Raises
    ------
    RSyntaxError
        If R could not read it either.
    ArgumentError
        If the parser is not installed, or none is.
    """
    if parser is not None and parser not in PARSERS:
        raise ArgumentError(f"migrate: parser={parser!r}; expected 'R' or 'tree-sitter'.")
    for name in (parser,) if parser else PARSERS:
        if PARSERS[name].available():
            return PARSERS[name].read(text.replace("\r\n", "\n").removeprefix("\ufeff"))
    raise ArgumentError(
        f"migrate: {parser or 'neither R nor tree-sitter'} was not found; a script is read by one of them. "
        'Run: pip install "fastlmm_hlm[migrate]", or install R (Debian: apt install r-base-core).'
    )
