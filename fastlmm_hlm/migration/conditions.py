"""Conditions with R's three values.

A comparison with a missing value is NA in R and False in Python (True for !=).  So a condition on rows is
translated twice: where it is surely true, and where it is surely false.  Rows are chosen where it is true;
a column made of it is missing where it is neither.
"""

from fastlmm_hlm.migration import expressions
from fastlmm_hlm.migration.values import AND, ATOM, COMPARE, NOT, OR, SIGN, Mask, Untranslated, Value

OPPOSITE = {"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": "!=", "!=": "=="}


def comparison(t, node):
    if node.operator in ("&", "|"):
        return _joined(node.operator, expressions.expression(t, node.left), expressions.expression(t, node.right))
    if node.operator == "%in%":
        return _membership(t, node)
    left, right = expressions.expression(t, node.left), expressions.expression(t, node.right)
    if {left.kind, right.kind} <= expressions.SCALARS:
        if left.kind != right.kind:
            raise Untranslated("R compares a number and a text as texts")
        if left.kind == "text" and node.operator not in ("==", "!="):
            raise Untranslated("the order of texts depends on R's locale")
        return Value(f"{left.bound(COMPARE + 1)} {node.operator} {right.bound(COMPARE + 1)}", "bool", COMPARE)
    if left.kind == "column" or right.kind == "column":
        return _of_column(t, node.operator, left, right)
    if left.kind == "series" and right.kind == "number":
        yes = Value(f"{left.bound(COMPARE + 1)} {node.operator} {right.bound(COMPARE + 1)}", "mask", COMPARE)
        no = Value(f"{left.bound(COMPARE + 1)} {OPPOSITE[node.operator]} {right.bound(COMPARE + 1)}", "mask", COMPARE)
        return Value(yes.code, "mask", COMPARE, info=Mask(no))
    raise Untranslated("a comparison of these is not known here")


def _of_column(t, operator, left, right):
    for side, other in ((left, right), (right, left)):
        if side.kind == "column":
            _comparable(t, operator, side, other)
    columns = [side for side in (left, right) if side.kind == "column"]
    if len(columns) == 2 and columns[0].info.frame != columns[1].info.frame:
        raise Untranslated("columns of two data frames are compared by position in R, by label in pandas")
    sides = [_as_text(side, other) for side, other in ((left, right), (right, left))]

    def written(sign):
        return Value(f"{sides[0].bound(COMPARE + 1)} {sign} {sides[1].bound(COMPARE + 1)}", "mask", COMPARE)

    known = [Value(f"{side.bound(ATOM)}.notna()", "mask") for side in columns]
    yes, no = written(operator), written(OPPOSITE[operator])
    if operator == "!=":
        yes = _all([yes, *known])
    if operator == "==":
        no = _all([no, *known])
    return Value(yes.code, "mask", yes.prec, info=Mask(no, tuple(f"{side.bound(ATOM)}.isna()" for side in columns)))


def _comparable(t, operator, side, other):
    """Refuse what R would compare as texts and pandas as it is."""
    kind = side.info.kind
    if other.kind == "column":
        if kind != other.info.kind or kind in ("factor", "ordered", None):
            raise Untranslated("whether both columns are numbers is not known here")
    elif other.kind == "number":
        if kind in ("text", "codes", "ordered") or (kind == "factor" and other.info == "count"):
            raise Untranslated("R compares a number with texts as texts")
        if kind is None:
            t.assume(side, "numbers")
    elif other.kind == "text":
        if kind in ("number", "bool", "codes"):
            raise Untranslated(f"{side.code} is not text; R compares a number with a text as texts")
        if operator not in ("==", "!=") and kind != "ordered":
            raise Untranslated("the order of texts depends on R's locale")
        if kind is None:
            t.assume(side, "text")
    elif other.kind == "bool" and kind == "bool":
        pass
    else:
        raise Untranslated("a column is compared with what is not one number or text")


def _as_text(value, other):
    """A number that is compared with a factor of texts becomes a text, as in R."""
    if value.kind == "number" and other.kind == "column" and other.info.kind == "factor":
        if not value.code.lstrip("-").isdigit():
            raise Untranslated("R compares a number with a factor as texts")
        return Value(f'"{value.code}"', "text")
    return value


def _membership(t, node):
    left = expressions.expression(t, node.left)
    right = expressions.expression(t, node.right)
    if left.kind in expressions.SCALARS and right.items is not None:
        return Value(f"{left.bound(COMPARE + 1)} in {right.literal}", "bool", COMPARE)
    if left.kind != "column" or right.kind not in ("numbers", "texts", "number", "text", "column"):
        raise Untranslated("%in% of these is not known here")
    if right.kind == "column":
        _comparable_sets(left, right)
        chosen = right.code
    else:
        texts = right.kind in ("texts", "text")
        kind = left.info.kind
        if texts and kind in ("number", "bool", "codes") or not texts and kind in ("text", "factor", "ordered", "codes"):
            raise Untranslated("%in% between numbers and texts")
        if kind is None:
            t.assume(left, "text" if texts else "numbers")
        chosen = right.literal if right.kind in ("numbers", "texts") else f"[{right.code}]"
    code = f"{left.bound(ATOM)}.isin({chosen})"
    return Value(code, "mask", info=Mask(Value(f"~{code}", "mask", SIGN)))


def _comparable_sets(left, right):
    if left.info.kind is None or left.info.kind != right.info.kind:
        raise Untranslated("whether both columns of %in% are of one kind is not known here")


def is_missing(value, missing=True):
    """is.na() of a column, or its contrary."""
    yes, no = (f"{value.bound(ATOM)}.{word}()" for word in (("isna", "notna") if missing else ("notna", "isna")))
    return Value(yes, "mask", info=Mask(Value(no, "mask")))


def negation(t, node):
    value = as_mask(expressions.expression(t, node.operand))
    if value.kind == "bool":
        return Value(f"not {value.bound(NOT)}", "bool", NOT)
    return Value(value.info.no.code, "mask", value.info.no.prec, info=Mask(Value(value.code, "mask", value.prec), value.info.missing))


def as_mask(value):
    """A condition; a column of TRUE and FALSE is one."""
    if value.kind == "column" and value.info.kind == "bool":
        code = value.bound(COMPARE + 1)
        return Value(f"{code} == True", "mask", COMPARE, info=Mask(Value(f"{code} == False", "mask", COMPARE), (f"{value.bound(ATOM)}.isna()",)))
    if value.kind not in ("mask", "bool"):
        raise Untranslated("this is not a condition that is known here")
    return value


def _joined(operator, left, right):
    left, right = as_mask(left), as_mask(right)
    if left.kind != "mask" or right.kind != "mask":
        raise Untranslated("& and | of single values")
    yes, no = (_all, _any) if operator == "&" else (_any, _all)
    joined = yes([left, right])
    missing = tuple(dict.fromkeys(left.info.missing + right.info.missing))
    return Value(joined.code, "mask", joined.prec, info=Mask(no([left.info.no, right.info.no]), missing))


def _all(masks):
    return Value(" & ".join(mask.bound(AND) for mask in masks), "mask", AND)


def _any(masks):
    return Value(" | ".join(mask.bound(OR) for mask in masks), "mask", OR)


def values_of(mask):
    """A condition as a column: missing where it is neither true nor false."""
    if not mask.info.missing:
        return mask.code, mask.prec
    if len(mask.info.missing) == 1:
        return f"({mask.code}).mask({mask.info.missing[0]})", ATOM
    return f"({mask.code}).where({_any([mask, mask.info.no]).code})", ATOM
