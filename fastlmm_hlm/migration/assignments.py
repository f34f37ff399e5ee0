"""Assignments: to a variable, a column, an element of a list, levels of a factor."""

from dataclasses import replace

from fastlmm_hlm.migration import conditions, expressions, indexing, tree
from fastlmm_hlm.migration.values import ATOM, Broken, Column, Frame, List, Untranslated, Value, Variable


def base_name(target):
    """The variable that a target changes, or None."""
    while not isinstance(target, tree.Name):
        if isinstance(target, (tree.Access, tree.Index)):
            target = target.object
        elif isinstance(target, tree.Call) and target.args and target.args[0].value is not None:
            target = target.args[0].value
        elif isinstance(target, tree.Text):
            return target.value
        else:
            return None
    return target.name


def assign(t, node):
    """Lines of Python for an assignment."""
    if node.outer:
        raise Untranslated("<<- changes a variable outside the function")
    target = tree.Name(node.target.value) if isinstance(node.target, tree.Text) else node.target
    if isinstance(target, tree.Name):
        return _to_name(t, target.name, node.value)
    if isinstance(target, tree.Access) and target.operator == "$":
        return _to_part(t, target.object, tree.Text(target.name), node.value)
    if isinstance(target, tree.Index) and len(target.args) == 1:
        return _to_part(t, target.object, target.args[0].value, node.value, single=not target.double)
    if isinstance(target, tree.Index) and len(target.args) == 2 and target.args[0].value is None and isinstance(target.args[1].value, tree.Text):
        return _to_part(t, target.object, target.args[1].value, node.value)
    if isinstance(target, tree.Call) and isinstance(target.function, tree.Name):
        return _replacement(t, target, node.value)
    raise Untranslated("an assignment to this is not known here")


def _to_name(t, name, node):
    if isinstance(node, tree.Function):
        return t.writer.define(name, node)
    value = expressions.expression(t, node)
    if value.kind == "statement":
        raise Untranslated("this has no value in Python")
    if value.kind == "function":
        raise Untranslated("another name for a function")
    code = value.code
    if isinstance(node, tree.Name) and node.name == name and t.loads and t.loads[-1].startswith(f"{value.code} = "):
        return []
    if isinstance(node, tree.Name) and value.kind in ("frame", "list", "column", "series", "table", "numbers", "texts"):
        code = f"{value.bound(ATOM)}.copy()"
    if value.kind == "mask":
        code, _ = conditions.values_of(value)
        column = Column("", None, "bool")
        value = Value(code, "column", info=column)
    if value.kind in ("numbers", "texts") and value.items is not None:
        code = value.literal
    if value.kind == "none":
        raise Untranslated("NULL as a start; what will be put in is not known here")
    if value.kind == "list":
        value = replace(value, info=replace(value.info, keys=_keys(t, name, value)))
    facts = value.info
    kept = replace(value, info=None) if isinstance(facts, str) and value.kind == "number" and facts == "position" else value
    python = t.assign(name, kept)
    if value.kind in ("numbers", "texts") and value.items is not None:
        t.scope[name] = Variable(python, Value(python, value.kind, info="variable"))
    return [f"{python} = {code}"]


def _keys(t, name, value):
    """How the elements of a list are found; an empty one tells by how it is filled later."""
    if value.info.keys != "empty":
        return value.info.keys
    for line in t.script.statements:
        for part in line.walk():
            if isinstance(part, tree.Assign) and isinstance(part.target, (tree.Access, tree.Index)) and base_name(part.target) == name:
                if isinstance(part.target, tree.Access) or isinstance(part.target.args[0].value, tree.Text):
                    return "names"
                if isinstance(part.target.args[0].value, (tree.Name, tree.Number)):
                    return "open"
    raise Untranslated("how this list is filled is not known here")


def _to_part(t, base, key, node, single=False):
    if not isinstance(base, tree.Name):
        if isinstance(base, tree.Access) and single:
            return _rows_of_column(t, base, key, node)
        raise Untranslated("an assignment to a part of a part")
    variable = t.scope.get(base.name)
    if isinstance(variable, Broken):
        raise Untranslated(f"it needs {base.name}, which is not translated (line {variable.line})")
    if variable is None:
        if t.shipped(base.name) is None:
            raise Untranslated(f"{base.name} is not defined in the script")
        return _to_part(t, base, key, node, single)
    holder = t.read(variable)
    if holder.kind == "frame":
        return _to_column(t, base.name, variable, key, node)
    if holder.kind == "list":
        return _to_element(t, base.name, variable, key, node)
    if holder.kind == "numbers" and holder.info == "array":
        value, place = expressions.expression(t, node), expressions.expression(t, key)
        if value.kind != "number" or place.kind != "number":
            raise Untranslated("this element is not one number")
        return [f"{holder.code}[{indexing.zero_based(place, key)}] = {value.code}"]
    raise Untranslated("an assignment into this is not known here")


def _to_column(t, name, variable, key, node):
    if not isinstance(key, tree.Text):
        raise Untranslated("which column this changes is not known here")
    frame = t.read(variable)
    where = f"{frame.code}[{expressions.text(key.value).code}]"
    if isinstance(node, tree.Constant) and node.name == "NULL":
        indexing.column(t, frame, key.value)
        left = {column: kind for column, kind in frame.info.columns.items() if column != key.value}
        t.scope[name] = replace(variable, value=replace(variable.value, info=replace(frame.info, columns=left)))
        return [f"{frame.code} = {frame.code}.drop(columns={expressions.text(key.value).code})"]
    value = expressions.expression(t, node)
    code, kind = column_value(t, frame, value)
    t.scope[name] = replace(variable, value=replace(variable.value, info=frame.info.with_column(key.value, kind)))
    return [f"{where} = {code}"]


def column_value(t, frame, value):
    """Source and kind of a value that becomes a column of a frame."""
    if value.kind == "mask":
        if f"{frame.code}[" not in value.code:
            raise Untranslated("the condition is not on columns of the same data frame")
        return conditions.values_of(value)[0], "bool"
    if value.kind == "column":
        if value.info.frame != frame.code:
            raise Untranslated("a column of other rows: R pairs by position, pandas by label")
        return value.code, value.info.kind
    if value.kind in ("number", "text", "bool"):
        return value.code, value.kind
    if value.kind == "series" and value.info == ("rows of", frame.code):
        return value.code, "number"
    raise Untranslated("what is put into the column is not known to have its rows")


def _rows_of_column(t, base, rows, node):
    """d$x[d$y > 1] <- value."""
    if not isinstance(base.object, tree.Name) or base.object.name not in t.scope:
        raise Untranslated("an assignment to a part of a part")
    frame = expressions.expression(t, base.object)
    column = expressions.expression(t, base)
    mask = conditions.as_mask(expressions.expression(t, rows))
    value = expressions.expression(t, node)
    if column.kind != "column" or mask.kind != "mask" or value.kind not in ("number", "text") or f"{frame.code}[" not in mask.code:
        raise Untranslated("this replacement of values is not known here")
    if column.info.kind not in ("number", "text") or (column.info.kind != value.kind and value.code != "np.nan"):
        raise Untranslated("whether the column has this kind of values is not known here")
    if mask.info.missing:
        t.note("NOTE (line {line}): R stops here if the condition is missing somewhere; Python leaves these rows as they are.")
    return [f"{frame.code}.loc[{mask.code}, {expressions.text(base.name).code}] = {value.code}"]


def _to_element(t, name, variable, key, node):
    holder = t.read(variable)
    value = expressions.expression(t, node)
    facts = holder.info
    if value.kind == "mask" or value.kind == "statement":
        raise Untranslated("this cannot be put into a list")
    if facts.element is not None and facts.element.kind != value.kind:
        raise Untranslated("the elements of the list are of different kinds")
    code = f"{value.bound(ATOM)}.copy()" if isinstance(node, tree.Name) and value.kind in ("frame", "list") else value.code
    place = expressions.expression(t, key)
    keys = facts.keys
    if keys == "open":
        keys = {"text": "names", "number": "numbers"}.get(place.kind, "")
    if (keys, place.kind) not in {("names", "text"), ("numbers", "number")}:
        raise Untranslated("this index of the list is not known here")
    known = {**facts.known}
    if isinstance(key, tree.Text) and (facts.element is None or known):
        known[key.value] = value
    elif not isinstance(key, tree.Text):
        known = {}
    merged = value if facts.element is None else replace(facts.element, info=facts.element.info if facts.element.info == value.info else _weak(value))
    t.scope[name] = replace(variable, value=replace(variable.value, info=List(replace(merged, code=""), keys, known)))
    return [f"{holder.code}[{place.code}] = {code}"]


def _weak(value):
    """What is still known of an element if its facts differ."""
    return type(value.info)() if value.kind in ("fit", "frame") else None


def _replacement(t, target, node):
    """levels(d$x) <- ..., names(l) <- ..., contrasts(d$f) <- ..."""
    function = target.function.name
    if function in ("names", "colnames") and isinstance(target.args[0].value, tree.Name):
        return _names(t, target.args[0].value.name, node)
    if function == "levels":
        column = expressions.expression(t, target.args[0].value)
        value = expressions.expression(t, node)
        if column.kind != "column" or column.info.kind not in ("factor", "ordered", "codes") or value.kind != "texts" or value.items is None:
            raise Untranslated("levels() of this is not known here")
        if len({item.code for item in value.items}) < len(value.items):
            raise Untranslated("levels that are put together")
        return [f"{column.code} = {column.bound(ATOM)}.cat.rename_categories({value.literal})"]
    raise Untranslated(f"{function}(...) <- is not known here")


def _names(t, name, node):
    variable, value = t.scope.get(name), expressions.expression(t, node)
    if not isinstance(variable, Variable) or value.kind != "texts" or value.items is None:
        raise Untranslated("these names are not known here")
    holder = t.read(variable)
    if holder.kind == "list" and holder.info.keys == "places":
        keyed = List(holder.info.element, "names")
        t.scope[name] = replace(variable, value=replace(variable.value, info=keyed))
        return [f"{holder.code} = dict(zip({value.literal}, {holder.code}, strict=True))"]
    if holder.kind == "frame" and holder.info.complete and len(value.items) == len(holder.info.columns):
        t.whole_frame(holder)
        kinds = dict(zip([item.info for item in value.items], holder.info.columns.values()))
        t.scope[name] = replace(variable, value=replace(variable.value, info=Frame(kinds, True)))
        return [f"{holder.code}.columns = {value.literal}"]
    raise Untranslated("names of this are not known here")
