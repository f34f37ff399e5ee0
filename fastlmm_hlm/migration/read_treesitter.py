"""The tree-sitter grammar of R, for computers without R (extra ``migrate``)."""

from fastlmm_hlm.migration import tree
from fastlmm_hlm.migration.syntaxerror import RSyntaxError

OPERATOR_LEAVES = {"true": "TRUE", "false": "FALSE", "null": "NULL", "inf": "Inf", "nan": "NaN"}


def available():
    """Whether the grammar is installed."""
    try:
        from tree_sitter_language_pack import get_parser
    except ImportError:
        return False
    return get_parser("r") is not None


def read(text):
    """The tree of a script.

    Raises
    ------
    RSyntaxError
        At the first place that the grammar does not accept.
    """
    from tree_sitter_language_pack import get_parser

    root = get_parser("r").parse(text.encode("utf-8")).root_node
    if root.has_error:
        raise _first_error(root)
    _check_ends(root, text.encode("utf-8"))
    statements = tuple(_node(child) for child in root.children if child.type not in ("comment", ";"))
    comments = tuple((node.start_point[0] + 1, _text(node)) for node in _comments(root))
    return tree.Script(statements, comments, tuple(text.split("\n")))


def _first_error(node):
    for child in node.children:
        if child.is_error or child.is_missing:
            line = child.start_point[0] + 1
            found = _text(child).split("\n")[0][:40] or "the end"
            return RSyntaxError(line, f"unexpected '{found}'" if child.is_error else f"'{child.type}' is missing")
        if child.has_error:
            return _first_error(child)
    return RSyntaxError(node.start_point[0] + 1, "this cannot be read")


def _check_ends(node, source):
    """Two statements need a new line or a semicolon between them; the grammar does not ask for it."""
    if node.type in ("program", "braced_expression"):
        kids = [child for child in node.children if child.type not in ("comment", "{", "}", ";")]
        for one, two in zip(kids, kids[1:]):
            if not {b";", b"\n"} & {bytes([c]) for c in source[one.end_byte:two.start_byte]}:
                found = _text(two).split("\n")[0][:40]
                raise RSyntaxError(two.start_point[0] + 1, f"unexpected '{found}'")
    for child in node.children:
        _check_ends(child, source)


def _comments(node):
    if node.type == "comment":
        yield node
    for child in node.children:
        yield from _comments(child)


def _text(node):
    return node.text.decode("utf-8")


def _kids(node, *leave_out):
    return [child for child in node.children if child.type not in ("comment", ";", *leave_out)]


def _node(node):
    where = {"line": node.start_point[0] + 1, "end": node.end_point[0] + 1}
    kind = node.type

    def part(name):
        child = node.child_by_field_name(name)
        return None if child is None else _node(child)

    if kind in ("identifier", "dots", "dot_dot_i"):
        return tree.Name(tree.plain_name(_text(node)), **where)
    if kind in ("float", "integer", "complex"):
        return tree.Number(_text(node), **where)
    if kind == "string":
        return tree.Text(tree.text_value(_text(node)), **where)
    if kind in OPERATOR_LEAVES or kind == "na":
        return tree.Constant(_text(node), **where)
    if kind in ("break", "next"):
        return tree.Jump(kind, **where)
    if kind == "return":
        return tree.Name("return", **where)
    if kind == "namespace_operator":
        return tree.Name(tree.plain_name(_text(node.child_by_field_name("rhs"))), _text(node.child_by_field_name("lhs")), **where)
    if kind == "call":
        return tree.Call(part("function"), _arguments(node), **where)
    if kind in ("subset", "subset2"):
        return tree.Index(part("function"), _arguments(node), kind == "subset2", **where)
    if kind == "extract_operator":
        field = part("rhs")
        name = field.value if isinstance(field, tree.Text) else getattr(field, "name", None)
        return tree.Access(part("lhs"), name, _text(node.child_by_field_name("operator")), **where)
    if kind == "unary_operator":
        return tree.Unary(_text(node.child_by_field_name("operator")), part("rhs"), **where)
    if kind == "binary_operator":
        return tree.binary(_text(node.child_by_field_name("operator")), part("lhs"), part("rhs"), **where)
    if kind == "function_definition":
        return tree.Function(_arguments(node, "parameters"), part("body"), **where)
    if kind == "braced_expression":
        return tree.Block(tuple(_node(child) for child in _kids(node, "{", "}")), **where)
    if kind == "parenthesized_expression":
        return tree.Paren(_node(_kids(node, "(", ")")[0]), **where)
    if kind == "if_statement":
        return tree.If(part("condition"), part("consequence"), part("alternative"), **where)
    if kind == "for_statement":
        return tree.For(tree.plain_name(_text(node.child_by_field_name("variable"))), part("sequence"), part("body"), **where)
    if kind == "while_statement":
        return tree.While(part("condition"), part("body"), **where)
    if kind == "repeat_statement":
        return tree.While(None, part("body"), **where)
    raise RSyntaxError(where["line"], f"this piece of R is not known here ({kind})")


def _arguments(node, field="arguments"):
    inside = _kids(node.child_by_field_name(field), "(", ")", "[", "]", "[[", "]]")
    if not inside:
        return ()
    groups = [[]]
    for child in inside:
        if child.type in ("comma", ","):
            groups.append([])
        else:
            groups[-1].append(child)
    return tuple(_argument(group[0]) if group else tree.Arg(None, None) for group in groups)


def _argument(node):
    where = {"line": node.start_point[0] + 1, "end": node.end_point[0] + 1}
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value") or node.child_by_field_name("default")
    if name is not None:
        name = tree.text_value(_text(name)) if name.type == "string" else tree.plain_name(_text(name))
    return tree.Arg(name, None if value is None else _node(value), **where)
