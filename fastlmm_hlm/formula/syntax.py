"""The syntax tree of a model formula: what the parser builds and all others read.

Positions in the text ride along for error messages and never count when two
trees are compared.
"""
from dataclasses import dataclass, field

from fastlmm_hlm.errors import FormulaError


@dataclass(frozen=True)
class Node:
    """One piece of a formula; `pos` is where it starts in the text."""

    pos: int = field(default=0, compare=False, kw_only=True, repr=False)


@dataclass(frozen=True)
class Name(Node):
    """A variable, without backticks."""

    text: str


@dataclass(frozen=True)
class Number(Node):
    """A number; `integer` is true for R's 5L."""

    value: float
    integer: bool = False


@dataclass(frozen=True)
class Text(Node):
    """A quoted string."""

    value: str


@dataclass(frozen=True)
class Constant(Node):
    """One of TRUE, FALSE, NULL, NA, Inf, NaN."""

    text: str


@dataclass(frozen=True)
class Argument(Node):
    """One argument of a call, with its name or None."""

    name: str | None
    value: Node


@dataclass(frozen=True)
class Call(Node):
    """A function call such as poly(x, 2)."""

    function: str
    args: tuple


@dataclass(frozen=True)
class Unary(Node):
    """A prefix operator: one of - + ! ~."""

    op: str
    operand: Node


@dataclass(frozen=True)
class Binary(Node):
    """An infix operator with its two sides."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Paren(Node):
    """Parentheses as written."""

    inner: Node


def unwrap(node):
    """Return the node inside any number of parentheses."""
    while isinstance(node, Paren):
        node = node.inner
    return node


def summands(node):
    """Split a sum into its parts, from left to right.

    Long sums lean left as deep as they are long, so this walks instead of
    recursing.

    Parameters
    ----------
    node : Node

    Returns
    -------
    list of (sign, Node)
        Signs are "+" and "-"; a node that is not a sum is one part.
    """
    parts = []
    while isinstance(node, Binary) and node.op in "+-":
        parts.append((node.op, node.right))
        node = node.left
    if isinstance(node, Unary) and node.op in "+-":
        parts.append((node.op, node.operand))
    else:
        parts.append(("+", node))
    return parts[::-1]


def add_up(parts):
    """Build a sum from (sign, node) parts; the inverse of `summands`."""
    sign, total = parts[0]
    if sign == "-":
        total = Unary("-", total)
    for sign, node in parts[1:]:
        total = Binary(sign, total, node)
    return total


def children(node):
    """Return the nodes directly below a node, in the order of the text."""
    if isinstance(node, Binary):
        return [node.left, node.right]
    if isinstance(node, Unary):
        return [node.operand]
    if isinstance(node, Paren):
        return [node.inner]
    if isinstance(node, Call):
        return [argument.value for argument in node.args]
    return []


def walk(node):
    """Yield a node and all nodes below it, from left to right."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def column_names(node):
    """Return the names that occur in a tree, each once, in order."""
    return list(dict.fromkeys(part.text for part in walk(node) if isinstance(part, Name)))


def pointed_error(text, pos, message):
    """Build a FormulaError that shows the formula with a caret under one place.

    Parameters
    ----------
    text : str
        The whole formula.
    pos : int
        Offset of the offending token.
    message : str

    Returns
    -------
    FormulaError
    """
    pos = min(max(pos, 0), len(text))
    start = text.rfind("\n", 0, pos) + 1
    end = text.find("\n", pos)
    line = text[start:] if end < 0 else text[start:end]
    gap = "".join("\t" if c == "\t" else " " for c in line[: pos - start])
    return FormulaError(f"{message}\n  {line}\n  {gap}^")
