"""Which function of R is translated by which function here."""

from fastlmm_hlm.migration.arguments import match

FUNCTIONS = {}


def r(names, formals):
    """Register a translation.

    Parameters
    ----------
    names : str
        Functions of R.
    formals : str
        Their parameters, in R's order.

    The function decorated gets the translation, the matched arguments and the name of the call.
    """
    def register(function):
        for name in names.split():
            FUNCTIONS[name] = lambda t, node, name=name: function(t, match(name, node.args, formals), name)
        return function

    return register


def known_function(name):
    """Whether a function of R is translated."""
    return name in FUNCTIONS
