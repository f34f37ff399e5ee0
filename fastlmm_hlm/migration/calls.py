"""Pieces that the translations of calls share: calls of fastlmm_hlm, arguments, functions as arguments."""

from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.deparse import deparse
from fastlmm_hlm.migration.values import Untranslated, Value, Variable


def used(t, name):
    """A function of fastlmm_hlm, imported."""
    t.imports.add(name)
    return name


def made(t, function, *arguments, kind="result", **facts):
    """A call of a function of fastlmm_hlm."""
    return Value(f"{used(t, function)}({', '.join(argument for argument in arguments if argument)})", kind, **facts)


def number(t, node, what):
    value = expressions.expression(t, node)
    if value.kind != "number":
        raise Untranslated(f"{what} is not a number here")
    return value.code


def word(node, what):
    if not isinstance(node, tree.Text):
        raise Untranslated(f"{what} is not a text constant")
    return expressions.text(node.value).code


def refused(arg):
    raise Untranslated(f"the argument {arg.name or deparse(arg.value)} here")


def as_function(t, node, element, variable):
    """A function of one argument as Python writes it; `info` is its value."""
    value = apply_function(t, node, element)
    if isinstance(node, tree.Name) and value.code == f"{node.name}({element.code})":
        return Value(node.name, "function", info=value)
    return Value(f"lambda {variable}: {value.code}", "function", 2, info=value)


def apply_function(t, node, element, more=()):
    """The value of a function at one argument, whose source is that of `element`."""
    if isinstance(node, tree.Name):
        holder = ".element"
        t.scope[holder] = _variable(element)
        try:
            return expressions.call(t, tree.Call(node, (tree.Arg(None, tree.Name(holder)), *more)))
        finally:
            del t.scope[holder]
    if isinstance(node, tree.Function):
        if not node.params or any(param.value is None for param in node.params[1:]):
            raise Untranslated("a function of several arguments")
        name = node.params[0].name
        before = t.scope.get(name)
        t.scope[name] = _variable(element)
        try:
            return expressions.block_value(t, node.body)
        finally:
            t.scope.pop(name)
            if before is not None:
                t.scope[name] = before
    raise Untranslated("this is not a function that is known here")


def _variable(element):
    return Variable(element.code, element)


def seed(t, args=()):
    """seed= of a function that draws, its own or the one set before; the numbers are others than R's."""
    own = f"seed={number(t, args['seed'], 'seed')}" if "seed" in args else None
    t.note("NOTE (line {line}): drawn at random; the numbers are others than those of R.")
    if own is not None:
        return own
    if t.seed is None:
        return ""
    text, t.seed = f"seed={t.seed}", t.seed + 1
    return text


def rows_of(fit):
    """Facts of a value per row of the data of a fit."""
    return ("rows of", fit.info.data) if fit.info.data else ("rows", fit.code)
