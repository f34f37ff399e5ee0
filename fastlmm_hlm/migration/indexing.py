"""Indexing: R counts from 1, by position or by name; $ and @ take parts of results."""

from fastlmm_hlm.migration import conditions, expressions, tree
from fastlmm_hlm.migration.values import ATOM, PLUS, Column, Untranslated, Value

# Parts of summary(fit): attribute and kind.
SUMMARY_PARTS = {"coefficients": ("coefficients", "table"), "varcor": (None, "varcorr"), "sigma": (None, "number")}


def access(t, node):
    """x$name and x@name."""
    if node.operator == "@":
        raise Untranslated(f"the slot @{node.name} is R's own; docs/for_lme4_users.md lists what fits have here")
    value = expressions.expression(t, node.object)
    return part(t, value, node.name, "$")


def part(t, value, name, how):
    """The part of a value that has a name."""
    key = expressions.text(name).code
    at = value.bound(ATOM)
    if value.kind == "frame":
        return column(t, value, name)
    if value.kind == "groups":
        return Value(f"{at}[{key}]", "table", info=(value.info, name))
    if value.kind == "varcorr":
        return Value(f"{at}[{key}]", "table", info="covariance")
    if value.kind == "table" and how == "$":
        return Value(f"{at}[{key}]", "series", info=(value.code, "rows"))
    if value.kind == "list" and value.info.keys == "names":
        return element(value, key, name)
    if value.kind == "summary" and name in SUMMARY_PARTS:
        attribute, kind = SUMMARY_PARTS[name]
        if attribute:
            return Value(f"{at}.{attribute}", kind)
        fit = value.info
        t.imports.add({"varcorr": "VarCorr", "number": "sigma"}[kind])
        return Value(f"VarCorr({fit})" if kind == "varcorr" else f"sigma({fit})", kind)
    if value.kind == "emmlist" and name in ("emmeans", "contrasts"):
        return Value(f"{at}.{name}", "emm")
    raise Untranslated(f"the part {how}{name} of this is not known here")


def column(t, frame, name):
    """One column of a data frame."""
    facts = frame.info
    if name in facts.broken:
        raise Untranslated(f"it needs the column {name}, whose change is not translated (line {facts.broken[name]})")
    if facts.complete and name not in facts.columns:
        raise Untranslated(f"{frame.code} has no column {name} (R looks for part of a name, or gives NULL)")
    kind = facts.kind_of(name)
    return Value(f"{frame.bound(ATOM)}[{expressions.text(name).code}]", "column", info=Column(frame.code, name, kind))


def element(value, key, known=None):
    """One element of a list."""
    facts = value.info
    one = facts.known.get(known, facts.element) if known is not None else facts.element
    if known is not None and facts.known and known not in facts.known:
        raise Untranslated(f"the list has no element {known}")
    if one is None:
        raise Untranslated("what the list holds is not known here")
    return Value(f"{value.bound(ATOM)}[{key}]", one.kind, info=one.info, items=None, names=None)


def index(t, node):
    """x[i], x[i, j] and x[[i]]."""
    value = expressions.expression(t, node.object)
    args = [arg for arg in node.args if not (arg.name and arg.name in ("drop", "exact"))]
    if any(arg.name for arg in args):
        raise Untranslated("a named argument in brackets")
    if any(isinstance(part, tree.Binary) and part.operator == ":=" for part in node.walk()):
        raise Untranslated("this is data.table's syntax, which changes the table in place")
    if node.double:
        return _double(t, value, args)
    if value.kind == "frame":
        return _frame(t, value, args)
    if value.kind == "table":
        return _table(t, value, args)
    if value.kind in ("series", "column"):
        return _series(t, value, args)
    if value.kind in ("numbers", "texts"):
        return _array(t, value, args)
    raise Untranslated("brackets after this are not known here")


def _double(t, value, args):
    if len(args) != 1:
        raise Untranslated("[[ ]] with several indices")
    key = expressions.expression(t, args[0].value)
    literal = args[0].value
    if isinstance(literal, tree.Text):
        if value.kind == "series":
            return Value(f"{value.bound(ATOM)}[{key.code}]", "number")
        return part(t, value, literal.value, "[[")
    if value.kind == "list":
        return list_element(t, value, key, literal)
    if value.kind == "frame" and key.kind == "text":
        if value.info.broken:
            raise Untranslated("which column this takes is not known here, and some are not translated")
        return Value(f"{value.bound(ATOM)}[{key.code}]", "column", info=Column(value.code, None, None))
    if value.kind in ("series", "numbers", "texts") and key.kind == "number":
        return _series(t, value, args) if value.kind == "series" else _array(t, value, args)
    if value.kind == "groups" and key.kind == "number" and isinstance(literal, tree.Number):
        return Value(f"list({value.code}.values())[{zero_based(key, literal)}]", "table", info=(value.info, None))
    raise Untranslated("[[ ]] of this is not known here")


def list_element(t, value, key, literal):
    keys = value.info.keys
    if keys == "names" and key.kind == "text":
        return element(value, key.code)
    if keys == "numbers" and key.kind == "number":
        return element(value, key.code)
    if keys == "places" and key.kind == "number":
        return element(value, zero_based(key, literal))
    if keys == "names" and key.kind == "number":
        inner = element(value, key.code)
        return Value(f"list({value.code}.values())[{zero_based(key, literal)}]", inner.kind, info=inner.info)
    raise Untranslated("this index of the list is not known here")


def zero_based(key, node):
    """A position, counted from 0."""
    if isinstance(node, tree.Number):
        if not isinstance(node.value, int) or node.value < 1:
            raise Untranslated("R counts from 1")
        return str(node.value - 1)
    if key.info != "position":
        raise Untranslated("whether this index is a positive whole number is not known here")
    return f"{key.bound(PLUS)} - 1"


def _position(t, node):
    """One index by position or name: (iloc source, None), (None, loc source), and whether it picks one."""
    if isinstance(node, tree.Number):
        return zero_based(None, node), None, True
    if isinstance(node, tree.Text):
        return None, expressions.text(node.value).code, True
    if isinstance(node, tree.Unary) and node.operator == "-" and isinstance(node.operand, tree.Number):
        if node.operand.value == 1:
            return "1:", None, False
        raise Untranslated("leaving out by position is translated for the first element only")
    if isinstance(node, tree.Binary) and node.operator == ":" and isinstance(node.left, tree.Number) and isinstance(node.right, tree.Number):
        first, last = node.left.value, node.right.value
        if not 1 <= first <= last:
            raise Untranslated("this range of positions is not known here")
        return f"{first - 1}:{last}" if first > 1 else f":{last}", None, False
    value = expressions.expression(t, node)
    if value.kind == "texts" and (value.items is None or len(value.items)):
        return None, value.literal, False
    if value.kind == "text":
        return None, value.code, True
    if value.kind == "numbers" and value.items and all(isinstance(item, tree.Number) for item in _numbers(node)):
        return "[" + ", ".join(zero_based(None, item) for item in _numbers(node)) + "]", None, False
    if value.kind == "number" and value.info == "position":
        return f"{value.bound(PLUS)} - 1", None, True
    raise Untranslated("this index is not known here")


def _numbers(node):
    return [arg.value for arg in node.args] if isinstance(node, tree.Call) else []


def _series(t, value, args):
    if len(args) != 1 or args[0].value is None:
        raise Untranslated("this index is not known here")
    at = value.bound(ATOM)
    if value.kind == "column":
        inner = expressions.expression(t, args[0].value) if not isinstance(args[0].value, (tree.Number, tree.Unary)) else None
        if inner is not None and inner.kind == "mask":
            t.note_missing_rows(inner)
            return Value(f"{at}[{inner.code}]", "column", info=Column(f"{at}[{inner.code}]", None, value.info.kind))
        iloc, _, single = _position(t, args[0].value)
        if not single or iloc is None:
            raise Untranslated("this index of a column is not known here")
        return Value(f"{at}.iloc[{iloc}]", {"number": "number", "text": "text"}.get(value.info.kind, "result"))
    iloc, loc, single = _position(t, args[0].value)
    code = f"{at}.iloc[{iloc}]" if iloc is not None else f"{at}[{loc}]"
    return Value(code, "number" if single else "series", info=None if single else (code,))


def _array(t, value, args):
    if len(args) != 1:
        raise Untranslated("this index is not known here")
    iloc, _, single = _position(t, args[0].value)
    if iloc is None:
        raise Untranslated("this vector has no names that are known here")
    if iloc.startswith("[") and value.info != "array":
        raise Untranslated("several positions of a vector")
    if value.info == "range" or isinstance(value.info, tuple):
        raise Untranslated("a position in a sequence")
    kind = {"numbers": "number", "texts": "text"}[value.kind] if single else value.kind
    return Value(f"{value.bound(ATOM)}[{iloc}]", kind)


def _table(t, value, args):
    """Results with named rows and columns: [i, j], by position or name."""
    at = value.bound(ATOM)
    if len(args) == 1:
        iloc, loc, single = _position(t, args[0].value)
        if value.info == "covariance" and single:
            raise Untranslated("one index into a matrix counts down its columns")
        if loc is None:
            raise Untranslated("one position in brackets means a column of a data frame, but an element of a matrix")
        return Value(f"{at}[[{loc}]]" if single else f"{at}[{loc}]", "table", info=value.info)
    rows, columns = args[0].value, args[1].value
    if len(args) != 2 or (rows is None and columns is None):
        raise Untranslated("these brackets are not known here")
    row = _position(t, rows) if rows is not None else (":", None, False)
    col = _position(t, columns) if columns is not None else (":", None, False)
    kind = "number" if row[2] and col[2] else "series" if row[2] or col[2] else "table"
    facts = (value.code, "rows" if col[2] else "columns") if kind == "series" else value.info
    if rows is None and col[1] is not None:
        return Value(f"{at}[{col[1]}]", kind, info=facts)
    if row[0] is not None and col[0] is not None:
        return Value(f"{at}.iloc[{row[0]}, {col[0]}]" if columns is not None else f"{at}.iloc[{row[0]}]", kind, info=facts)
    if columns is None:
        return Value(f"{at}.loc[{row[1]}]", kind, info=facts)
    if rows is not None and row[1] is not None and col[1] is not None:
        return Value(f"{at}.loc[{row[1]}, {col[1]}]", kind, info=facts)
    outer = Value(f"{at}.iloc[{row[0]}]" if row[0] is not None else f"{at}.loc[{row[1]}]", "series")
    if row[2]:
        return Value(f"{outer.code}[{col[1]}]" if col[1] is not None else f"{outer.code}.iloc[{col[0]}]", kind, info=facts)
    raise Untranslated("rows by name and columns by position (or the other way round)")


def _frame(t, value, args):
    """Data frames: rows by a condition, columns by name."""
    t.whole_frame(value)
    if len(args) == 1:
        rows, columns = None, args[0].value
    elif len(args) == 2:
        rows, columns = args[0].value, args[1].value
    else:
        raise Untranslated("these brackets are not known here")
    code, facts = value.bound(ATOM), value.info
    if rows is not None:
        if isinstance(rows, (tree.Binary, tree.Number)) and (getattr(rows, "operator", ":") == ":"):
            iloc, _, single = _position(t, rows)
            code = f"{code}.iloc[[{iloc}]]" if single else f"{code}.iloc[{iloc}]"
        elif isinstance(rows, tree.Call) and getattr(rows.function, "name", "") == "order":
            code = f"{code}.sort_values({_order(t, value, rows)})"
        else:
            mask = conditions.as_mask(expressions.expression(t, rows))
            if mask.kind != "mask":
                raise Untranslated("these rows are not known here")
            if f"{value.code}[" not in mask.code:
                raise Untranslated("the condition is not on columns of the same data frame")
            t.note_missing_rows(mask)
            code = f"{code}[{mask.code}]"
    if columns is None:
        return Value(code, "frame", info=facts)
    return select(t, Value(code, "frame", info=facts), columns)


def _order(t, frame, call):
    if len(call.args) != 1 or call.args[0].name:
        raise Untranslated("order() is translated for one column")
    node, down = call.args[0].value, False
    if isinstance(node, tree.Unary) and node.operator == "-":
        node, down = node.operand, True
    value = expressions.expression(t, node)
    if value.kind != "column" or value.info.name is None or value.info.frame != frame.code:
        raise Untranslated("order() is translated for a column of the same data frame")
    if value.info.kind not in ("number", "factor", "ordered"):
        raise Untranslated("the order of texts depends on R's locale")
    word = ", ascending=False" if down else ""
    return f'{expressions.text(value.info.name).code}{word}, kind="stable"'


def select(t, frame, node):
    """Columns of a data frame: one gives a column, several a data frame."""
    at = frame.bound(ATOM)
    if isinstance(node, tree.Text):
        return column(t, frame, node.value)
    value = expressions.expression(t, node)
    if value.kind == "texts" and value.items is not None:
        names = [item.info for item in value.items]
        for name in names:
            column(t, frame, name)
        kept = {name: kind for name, kind in frame.info.columns.items() if name in names}
        facts = type(frame.info)({**dict.fromkeys(names), **kept}, True, {}, frame.info.texts_are_factors)
        return Value(f"{at}[{value.literal}]", "frame", info=facts)
    raise Untranslated("columns by position")
