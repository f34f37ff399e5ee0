"""Expressions of R as expressions of Python: names, numbers, operators, vectors, pipes."""

from fastlmm_hlm.migration import conditions, indexing, tree
from fastlmm_hlm.migration.deparse import deparse, names_in
from fastlmm_hlm.migration.registry import FUNCTIONS, known_function
from fastlmm_hlm.migration.values import ATOM, BOTH, CHOICE, EITHER, PLUS, POWER, SIGN, TIMES, Broken, Column, Untranslated, Value

ARITHMETIC = {"+": PLUS, "-": PLUS, "*": TIMES, "/": TIMES, "^": POWER, "**": POWER, "%/%": TIMES, "%%": TIMES}
PYTHON_OPERATOR = {"^": "**", "%/%": "//", "%%": "%"}
COMPARISONS = {"<", ">", "<=", ">=", "==", "!="}
SCALARS = {"number", "text", "bool"}
LABELLED = {"column", "series", "table"}
CONSTANTS = {
    "TRUE": Value("True", "bool"), "FALSE": Value("False", "bool"), "NULL": Value("None", "none"),
    "Inf": Value("float(\"inf\")", "number"), "NaN": Value("float(\"nan\")", "number"),
}
TRUTH = {"T": CONSTANTS["TRUE"], "F": CONSTANTS["FALSE"]}


def expression(t, node):
    """Translate one expression.

    Parameters
    ----------
    t : Translation
    node : Node

    Returns
    -------
    Value

    Raises
    ------
    Untranslated
    """
    if isinstance(node, tree.Name):
        return name(t, node)
    if isinstance(node, tree.Number):
        return Value(repr(node.value), "number", ATOM)
    if isinstance(node, tree.Text):
        return text(node.value)
    if isinstance(node, tree.Constant):
        if node.name not in CONSTANTS:
            t.imports.add("np")
            return Value("np.nan", "number")
        return CONSTANTS[node.name]
    if isinstance(node, tree.Paren):
        return expression(t, node.inner)
    if isinstance(node, tree.Call):
        return call(t, node)
    if isinstance(node, tree.Unary):
        return unary(t, node)
    if isinstance(node, tree.Binary):
        return binary(t, node)
    if isinstance(node, tree.Index):
        return indexing.index(t, node)
    if isinstance(node, tree.Access):
        return indexing.access(t, node)
    if isinstance(node, tree.If):
        return choice(t, node)
    if isinstance(node, tree.Function):
        raise Untranslated("a function stands here; functions are translated where they get a name, or in sapply() and lapply()")
    raise Untranslated(f"{type(node).__name__.lower()} has no meaning as a value in Python")


def text(value):
    """A text as Python writes it, in double quotes."""
    quoted = "".join(f"\\{c}" if c in '"\\' else c if c.isprintable() else repr(c)[1:-1] for c in value)
    return Value(f'"{quoted}"', "text", info=value)


def name(t, node):
    if node.name == "...":
        raise Untranslated("... (arguments handed on) is not translated")
    column = t.column_in_scope(node.name)
    if column is not None:
        return column
    variable = t.scope.get(node.name)
    if isinstance(variable, Broken):
        raise Untranslated(f"it needs {node.name}, which is not translated (line {variable.line})")
    if variable is not None:
        return t.read(variable)
    if node.name in TRUTH:
        return TRUTH[node.name]
    shipped = t.shipped(node.name)
    if shipped is not None:
        return shipped
    if known_function(node.name):
        return Value(node.name, "function", info=node.name)
    raise Untranslated(f"{node.name} is not defined in the script")


def unary(t, node):
    if node.operator == "~":
        return formula(node)
    if node.operator == "!":
        return conditions.negation(t, node)
    value = expression(t, node.operand)
    if node.operator in "+-" and value.kind in ("number", "numbers", "column", "series", "table"):
        if value.kind == "column" and value.info.kind not in (None, "number"):
            raise Untranslated("a sign before what is not a number")
        if value.kind == "numbers":
            t.imports.add("np")
            return Value(f"{node.operator}{_array(value)}", "numbers", SIGN, info="array")
        return Value(f"{node.operator}{value.bound(SIGN)}", value.kind, SIGN, info=derived(value).info)
    raise Untranslated(f"{node.operator} of this is not known here")


def formula(node):
    try:
        source = deparse(node)
    except ValueError as error:
        raise Untranslated(f"this formula cannot be written as text ({error})") from None
    return Value(text(source).code, "formula", info=node)


def derived(value):
    """A column after arithmetic is numbers over the same rows."""
    if value.kind == "column":
        return Value(value.code, "column", value.prec, info=Column(value.info.frame, None, "number"))
    return value


def binary(t, node):
    operator = node.operator
    if operator == "~":
        return formula(node)
    if operator in ("|>", "%>%"):
        return expression(t, piped(node))
    if operator in ("&&", "||"):
        left, right = condition(t, node.left), condition(t, node.right)
        prec, word = (BOTH, "and") if operator == "&&" else (EITHER, "or")
        return Value(f"{left.bound(prec)} {word} {right.bound(prec + 1)}", "bool", prec)
    if operator in COMPARISONS or operator in ("&", "|", "%in%"):
        return conditions.comparison(t, node)
    if operator == ":":
        return sequence(t, node)
    if operator in ARITHMETIC:
        return arithmetic(t, operator, expression(t, node.left), expression(t, node.right))
    raise Untranslated(f"the operator {operator} is not known here")


def arithmetic(t, operator, left, right):
    """Numbers with numbers; what has names only with single numbers or with its own kin."""
    if operator == "+":
        meant = recycled_sum(t, left, right)
        if meant is not None:
            return meant
    for side in (left, right):
        if side.kind not in ("number", "numbers", *LABELLED):
            raise Untranslated(f"{operator} with {_described(side)}")
        if side.kind == "column" and side.info.kind in ("text", "factor", "ordered"):
            raise Untranslated(f"{operator} with the {side.info.kind} {side.code}")
    kinds = {left.kind, right.kind}
    if kinds & set(LABELLED) and "numbers" in kinds:
        raise Untranslated("R recycles the shorter vector by position, pandas does not")
    if left.kind in LABELLED and right.kind in LABELLED and not _same_rows(left, right):
        raise Untranslated("R pairs (or recycles) these by position, pandas by name")
    prec = ARITHMETIC[operator]
    kind = next((side.kind for side in (left, right) if side.kind != "number"), "number")
    if operator in ("^", "**"):
        code = f"{left.bound(prec + 1)} ** {right.bound(prec)}"
    else:
        code = f"{left.bound(prec)} {PYTHON_OPERATOR.get(operator, operator)} {right.bound(prec + 1)}"
    labelled = next((side for side in (left, right) if side.kind == kind and kind in LABELLED), None)
    arrays = [side for side in (left, right) if side.kind == "numbers"]
    if arrays:
        if len(arrays) == 2 and (not all(side.items for side in arrays) or len({len(side.items) for side in arrays}) > 1):
            raise Untranslated("R recycles the shorter vector; whether these are equally long is not known here")
        t.imports.add("np")
        sides = [_array(side) if side.kind == "numbers" else side.bound(prec + 1) for side in (left, right)]
        code = f"{sides[0]} {PYTHON_OPERATOR.get(operator, operator)} {sides[1]}"
        return Value(code, kind, prec, info="array")
    return Value(code, kind, prec, info=None if labelled is None else derived(labelled).info)


def _array(value):
    """A vector as NumPy's: lists and ranges of Python would be repeated by *."""
    return value.bound(POWER + 1) if value.info == "array" else f"np.array({value.literal})"


def recycled_sum(t, left, right):
    from fastlmm_hlm.migration import means

    return means.recycled_sum(t, left, right)


def _same_rows(left, right):
    if left.kind == right.kind == "column":
        return left.info.frame == right.info.frame
    return left.kind == right.kind == "series" and left.info is not None and left.info == right.info


def _described(value):
    return {"frame": "a whole data frame", "fit": "a fitted model", "list": "a list", "mask": "a condition",
            "texts": "texts"}.get(value.kind, f"this ({value.kind})")


def sequence(t, node):
    """a:b, both ends included; counting down is R's trap for a:n with n < a."""
    first, last = expression(t, node.left), expression(t, node.right)
    if first.kind != "number" or last.kind != "number":
        raise Untranslated("a sequence between what are not two numbers")
    if not isinstance(node.left, tree.Number) or not isinstance(node.left.value, int):
        raise Untranslated("a sequence that does not start with a whole number")
    if isinstance(node.right, tree.Number):
        start, stop = node.left.value, node.right.value
        if not isinstance(stop, int):
            raise Untranslated("a sequence between fractions")
        if stop < start:
            return Value(f"range({start}, {stop - 1}, -1)", "numbers", info="range")
        return Value(f"range({start}, {stop + 1})", "numbers", info=("range", start, stop))
    if last.info != "count":
        raise Untranslated("the end of this sequence may be a fraction or lie below its start")
    if node.left.value != 1:
        raise Untranslated("the end of this sequence may lie below its start")
    return Value(f"range(1, {last.bound(PLUS)} + 1)", "numbers", info="range")


def condition(t, node):
    """A condition of `if`: one truth value."""
    value = expression(t, node)
    if value.kind != "bool":
        raise Untranslated("a condition that is not one TRUE or FALSE")
    return value


def choice(t, node):
    if node.otherwise is None:
        raise Untranslated("an if without an else has no value in Python")
    parts = [block_value(t, part) for part in (node.then, node.otherwise)]
    if parts[0].kind != parts[1].kind:
        raise Untranslated("the two sides of this if are of different kinds")
    test = condition(t, node.condition)
    code = f"{parts[0].bound(CHOICE + 1)} if {test.bound(CHOICE + 1)} else {parts[1].bound(CHOICE)}"
    same = parts[0].info if parts[0].info == parts[1].info else None
    return Value(code, parts[0].kind, CHOICE, info=same)


def block_value(t, node):
    """The value of a block of one expression."""
    if isinstance(node, tree.Block):
        if len(node.body) != 1:
            raise Untranslated("a block of several statements stands where Python needs one expression")
        node = node.body[0]
    if isinstance(node, tree.Assign):
        raise Untranslated("an assignment stands where Python needs an expression")
    return expression(t, node)


def piped(node):
    """a |> f(b) and a %>% f(b) as f(a, b); a placeholder takes the place of the first argument."""
    left, right = node.left, node.right
    if isinstance(right, tree.Name) and node.operator == "%>%":
        right = tree.Call(right, (), line=right.line, end=right.end)
    if not isinstance(right, tree.Call):
        raise Untranslated("a pipe into what is not a call")
    holder = "_" if node.operator == "|>" else "."
    given = [arg.value is not None and isinstance(arg.value, tree.Name) and arg.value.name == holder for arg in right.args]
    for arg, is_holder in zip(right.args, given):
        if arg.value is not None and not is_holder and not _has_tilde(arg.value) and holder in names_in(arg.value):
            raise Untranslated(f"the placeholder {holder} inside an argument")
    if any(given):
        args = tuple(tree.Arg(arg.name, left) if is_holder else arg for arg, is_holder in zip(right.args, given))
    else:
        args = (tree.Arg(None, left), *right.args)
    return tree.Call(right.function, args, line=right.line, end=right.end)


def _has_tilde(node):
    return any(getattr(part, "operator", None) == "~" for part in node.walk())


def call(t, node):
    if not isinstance(node.function, tree.Name):
        raise Untranslated("a call of a computed function")
    function = node.function.name
    own = t.scope.get(function) if node.function.package is None else None
    if own is not None:
        return t.call_own(function, own, node)
    handler = FUNCTIONS.get(function)
    if handler is None:
        raise Untranslated(t.why_unknown(node.function))
    return handler(t, node)
