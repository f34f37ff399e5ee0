"""Entries of the API from docstrings.

    ```{api-entries} fastlmm_hlm
    fixef
    LinearMixedModel : members
    ```

becomes a table of the names with their first sentences, and below it the full entry of each (`: members` adds the members of
a class).  The generic functions show the signature and the docstring of the method they call, with the fit as first argument.
"""

import inspect
import re
from importlib import import_module

from fastlmm_hlm.model.generics import GENERICS
from fastlmm_hlm.model.mixedmodel import LinearMixedModel

BLOCK = re.compile(r"^```\{api-entries\} (\S+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def found(name):
    """The object of a full name."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def entry(module, line):
    """reStructuredText of one entry."""
    name, _, option = (part.strip() for part in line.partition(":"))
    kind = "autoclass" if inspect.isclass(found(f"{module}.{name}")) else "autofunction"
    return [f".. {kind}:: {module}.{name}", *(["   :members:"] if option == "members" else []), ""]


def expanded(match):
    """One api-entries block as an eval-rst block."""
    module, lines = match[1], match[2].splitlines()
    names = [line.partition(":")[0].strip() for line in lines]
    table = [".. currentmodule:: None", "", ".. autosummary::", "   :nosignatures:", "", *(f"   ~{module}.{name}" for name in names), ""]
    entries = [row for line in lines for row in entry(module, line)]
    return "\n".join(["```{eval-rst}", *table, *entries, "```"])


def expand(app, docname, source):
    source[0] = BLOCK.sub(expanded, source[0])


def method_of(what, name):
    """The method behind a generic function, or None."""
    short = name.removeprefix("fastlmm_hlm.")
    return getattr(LinearMixedModel, short) if what == "function" and short in GENERICS else None


def signature(app, what, name, obj, options, given, returns):
    """(fit, ...) in the place of (fit, *args, **kwargs)."""
    method = method_of(what, name)
    if method is None:
        return None
    if isinstance(method, property):
        method = method.fget
    parameters = list(inspect.signature(method).parameters.values())
    shown = [parameters[0].replace(name="fit"), *parameters[1:]]
    return str(inspect.Signature(shown)), None


def docstring(app, what, name, obj, options, lines):
    """The method's docstring; its numbered references as a list, since many functions share a page and its numbers."""
    method = method_of(what, name)
    text = "\n".join(lines) if method is None else inspect.getdoc(method)
    text = re.sub(r"^\.\. \[(\d+)\] +(.*(?:\n +.*)*)", lambda m: f"* [{m[1]}] " + " ".join(m[2].split()), text, flags=re.MULTILINE)
    lines[:] = re.sub(r"\[(\d+)\]_", r"[\1]", text).splitlines()


def setup(app):
    app.connect("source-read", expand)
    app.connect("autodoc-process-signature", signature)
    # Before napoleon, which reads the sections of the docstring.
    app.connect("autodoc-process-docstring", docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
