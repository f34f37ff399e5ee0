"""Names of variables: dots become underscores, and nothing collides."""

import builtins
import keyword

RESERVED = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "np", "pd", "datasets", "fastlmm_hlm", "rows", "name"}


def python_name(name, taken):
    """A Python name for an R variable.

    Parameters
    ----------
    name : str
        R's name, without backticks.
    taken : collection of str
        Names that already mean something else.

    Returns
    -------
    str
        The same with underscores for what Python does not allow, and one more at the end as long as it is taken.
    """
    word = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).strip() or "_"
    if word[0].isdigit():
        word = f"_{word}"
    while word in RESERVED or word in taken:
        word += "_"
    return word
