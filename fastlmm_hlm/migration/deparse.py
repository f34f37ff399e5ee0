"""A tree as one line of R, for formulas and conditions that the formula language reads as they are."""

from fastlmm_hlm.migration import tree

TIGHT = {"^", ":", "::"}


def deparse(node):
    """R source of a node, on one line and without comments."""
    if isinstance(node, tree.Name):
        plain = node.name.replace(".", "a").replace("_", "a").isalnum() and not node.name[:1].isdigit()
        return node.name if plain else f"`{node.name}`"
    if isinstance(node, tree.Number):
        return node.text
    if isinstance(node, tree.Constant):
        return node.name
    if isinstance(node, tree.Text):
        return '"' + node.value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(node, tree.Paren):
        return f"({deparse(node.inner)})"
    if isinstance(node, tree.Unary):
        return f"~ {deparse(node.operand)}" if node.operator == "~" else f"{node.operator}{deparse(node.operand)}"
    if isinstance(node, tree.Binary):
        gap = "" if node.operator in TIGHT else " "
        return f"{deparse(node.left)}{gap}{node.operator}{gap}{deparse(node.right)}"
    if isinstance(node, tree.Call):
        return f"{deparse(node.function)}({_args(node.args)})"
    if isinstance(node, tree.Index):
        marks = ("[[", "]]") if node.double else "[]"
        return f"{deparse(node.object)}{marks[0]}{_args(node.args)}{marks[1]}"
    if isinstance(node, tree.Access):
        return f"{deparse(node.object)}{node.operator}{node.name}"
    raise ValueError(f"{type(node).__name__} has no place in a formula")


def _args(args):
    return ", ".join(
        (f"{arg.name} = " if arg.name else "") + ("" if arg.value is None else deparse(arg.value)) for arg in args
    )


def names_in(node):
    """Variables that a formula or an expression refers to: names, without the functions that are called."""
    if isinstance(node, tree.Name):
        return {node.name}
    parts = node.args if isinstance(node, tree.Call) else node.children()
    return set().union(*(names_in(part) for part in parts))


def function_names(node):
    """Functions that an expression calls."""
    return {call.function.name for call in node.walk() if isinstance(call, tree.Call) and isinstance(call.function, tree.Name)}
