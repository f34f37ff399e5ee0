"""Calls on columns: factors, conversions, functions of each value."""

from fastlmm_hlm.migration import conditions, expressions, tree
from fastlmm_hlm.migration.calls import number
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import ATOM, Column, Untranslated, Value


def column_of(t, node):
    value = expressions.expression(t, node)
    if value.kind != "column":
        raise Untranslated("this is not a column of a data frame that is known here")
    return value


def made_column(value, code, kind, prec=ATOM):
    return Value(code, "column", prec, info=Column(value.info.frame, None, kind))


@r("factor as.factor ordered", "x levels labels ordered")
def factor(t, args, name):
    value = column_of(t, args["x"])
    kind = value.info.kind
    at, order = value.bound(ATOM), name == "ordered" or ("ordered" in args and truth(t, args["ordered"], "ordered"))
    if "levels" not in args:
        if name == "as.factor" and kind in ("factor", "ordered", "codes"):
            return value
        code = f'{at}.astype("category")'
        if kind in ("factor", "ordered", "codes", None) and name != "as.factor":
            code += ".cat.remove_unused_categories()"
        if order:
            code += ".cat.as_ordered()"
        if "labels" in args:
            labels = expressions.expression(t, args["labels"])
            if labels.kind != "texts" or labels.items is None:
                raise Untranslated("these labels are not written out")
            code += f".cat.rename_categories({labels.literal})"
            return made_column(value, code, "ordered" if order else "factor")
        made = "ordered" if order else "factor" if kind in ("factor", "text") else kind if kind == "ordered" else "codes"
        return made_column(value, code, made)
    levels = expressions.expression(t, args["levels"])
    if levels.kind not in ("texts", "numbers") or levels.items is None:
        raise Untranslated("these levels are not written out")
    if levels.kind == "texts" and kind in ("number", "codes") or levels.kind == "numbers" and kind in ("text", "factor", "codes"):
        raise Untranslated("levels and values are of different kinds (R compares them as texts)")
    if kind is None:
        t.assume(value, "text" if levels.kind == "texts" else "numbers")
    t.imports.add("pd")
    dtype = f"pd.CategoricalDtype({levels.literal}{', ordered=True' if order else ''})"
    code, made = f"{at}.astype({dtype})", "factor" if levels.kind == "texts" else "codes"
    if "labels" in args:
        labels = expressions.expression(t, args["labels"])
        if labels.kind != "texts" or labels.items is None or len(labels.items) != len(levels.items):
            raise Untranslated("these labels are not written out")
        code, made = f"{code}.cat.rename_categories({labels.literal})", "factor"
    return made_column(value, code, "ordered" if order else made)


@r("relevel", "x ref")
def relevel(t, args, name):
    value = column_of(t, args["x"])
    reference = expressions.expression(t, args["ref"])
    if value.info.kind not in ("factor", "codes") or reference.kind != "text" and value.info.kind == "factor":
        raise Untranslated("whether this is a factor with such a level is not known here")
    if value.info.kind == "codes":
        raise Untranslated("whether the levels are texts or numbers is not known here")
    at, first = value.bound(ATOM), reference.code
    others = f"[level for level in {at}.cat.categories if level != {first}]"
    return made_column(value, f"{at}.cat.reorder_categories([{first}, *{others}])", "factor")


@r("droplevels", "x")
def droplevels(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind == "frame":
        t.whole_frame(value)
        return Value(f'{value.bound(ATOM)}.apply(lambda x: x.cat.remove_unused_categories() if x.dtype == "category" else x)', "frame",
                     info=value.info)
    value = column_of(t, args["x"])
    if value.info.kind not in ("factor", "ordered", "codes"):
        raise Untranslated("whether this is a factor is not known here")
    return made_column(value, f"{value.bound(ATOM)}.cat.remove_unused_categories()", value.info.kind)


@r("levels", "x")
def levels(t, args, name):
    value = column_of(t, args["x"])
    if value.info.kind not in ("factor", "ordered", "codes"):
        raise Untranslated("whether this is a factor is not known here")
    return Value(f"{value.bound(ATOM)}.cat.categories.tolist()", "texts" if value.info.kind != "codes" else "numbers")


@r("as.numeric as.integer as.double as.character", "x")
def convert(t, args, name):
    node = args["x"]
    if isinstance(node, tree.Call) and getattr(node.function, "name", "") == "as.character" and name != "as.character":
        inner = column_of(t, node.args[0].value)
        t.imports.add("pd")
        return _whole(name, inner, made_column(inner, f'pd.to_numeric({inner.bound(ATOM)}.astype(object), errors="coerce")', "number"))
    value = expressions.expression(t, node)
    if value.kind == "number" and name != "as.character":
        return value if name != "as.integer" else Value(f"int({value.code})", "number")
    if name == "as.character":
        if value.kind == "column" and value.info.kind in ("text", "factor"):
            return made_column(value, f"{value.bound(ATOM)}.astype(object)", "text")
        raise Untranslated("how R writes these as text is not known here")
    if value.kind == "mask":
        code, _ = conditions.values_of(value)
        frame = value.code.split("[")[0].lstrip("(~")
        return Value(f"({code}).astype({'int' if not value.info.missing else 'float'})", "column", info=Column(frame, None, "number"))
    value = column_of(t, node)
    kind = value.info.kind
    if kind == "number":
        return _whole(name, value, value)
    if kind in ("factor", "ordered", "codes"):
        code = f"{value.bound(ATOM)}.cat.codes.add(1).where({value.bound(ATOM)}.notna())"
        return made_column(value, code, "number")
    if kind == "bool":
        return made_column(value, f"{value.bound(ATOM)}.astype(float)", "number")
    if kind == "text":
        t.imports.add("pd")
        return _whole(name, value, made_column(value, f'pd.to_numeric({value.bound(ATOM)}, errors="coerce")', "number"))
    raise Untranslated(f"{name}() of a factor gives its codes, of a text its number; which this is is not known here")


def _whole(name, value, converted):
    if name != "as.integer":
        return converted
    raise_numpy = f"{converted.bound(ATOM)}.map(int, na_action=\"ignore\")"
    return made_column(value, raise_numpy, "number")


@r("log exp sqrt log2 log10 log1p abs round", "x digits")
def elementwise(t, args, name):
    value = expressions.expression(t, args["x"])
    if name == "round":
        digits = number(t, args["digits"], "digits") if "digits" in args else "0"
        if value.kind == "number":
            return Value(f"round({value.code}, {digits})", "number")
        if value.kind in ("series", "table") or value.kind == "column" and value.info.kind == "number":
            return Value(f"{value.bound(ATOM)}.round({digits})", value.kind, info=value.info)
        raise Untranslated("round() of this is not known here")
    if "digits" in args:
        raise Untranslated("a base of the logarithm")
    if value.kind not in ("number", "column", "series", "table") or value.kind == "column" and value.info.kind not in ("number", None):
        raise Untranslated(f"{name}() of this is not known here")
    t.imports.add("np")
    return Value(f"np.{name}({value.code})", value.kind, info=expressions.derived(value).info)


@r("scale", "x center scale")
def scale(t, args, name):
    value = column_of(t, args["x"])
    if value.info.kind not in ("number", None):
        raise Untranslated("scale() of what is not numbers")
    at = value.bound(ATOM)
    code = at if "center" in args and not truth(t, args["center"], "center") else f"({at} - {at}.mean())"
    if not ("scale" in args and not truth(t, args["scale"], "scale")):
        if code == at:
            raise Untranslated("scale() without centring divides by another root")
        return made_column(value, f"{code} / {at}.std()", "number", expressions.TIMES)
    return made_column(value, code, "number")


@r("ifelse if_else", "test yes no")
def ifelse(t, args, name):
    mask = conditions.as_mask(expressions.expression(t, args["test"]))
    yes, no = (expressions.expression(t, args[side]) for side in ("yes", "no"))
    if mask.kind == "bool":
        if yes.kind != no.kind or yes.kind not in ("number", "text"):
            raise Untranslated("the two sides are of different kinds")
        return Value(f"{yes.bound(4)} if {mask.bound(4)} else {no.bound(3)}", yes.kind, 3)
    frame = mask.code.split("[")[0].lstrip("(~")
    kinds = {side.info.kind if side.kind == "column" else side.kind for side in (yes, no)}
    if len(kinds) > 1 or not kinds <= {"number", "text"}:
        raise Untranslated("ifelse() of these two is not known here")
    if any(side.kind == "column" and side.info.frame != frame for side in (yes, no)):
        raise Untranslated("columns of other data frames")
    t.imports |= {"np", "pd"}
    code = f"pd.Series(np.where({mask.code}, {yes.code}, {no.code}), index={frame}.index)"
    if mask.info.missing:
        known = " & ".join(word.replace(".isna()", ".notna()") for word in mask.info.missing)
        if len(mask.info.missing) > 1:
            known = conditions._any([mask, mask.info.no]).code
        code += f".where({known})"
    return Value(code, "column", info=Column(frame, None, kinds.pop()))


@r("cut", "x breaks labels include.lowest right dig.lab ordered_result")
def cut(t, args, name):
    value, breaks = column_of(t, args["x"]), expressions.expression(t, args["breaks"])
    if breaks.kind != "numbers" or not breaks.items or "dig.lab" in args or "ordered_result" in args:
        raise Untranslated("cut() is translated for breaks that are written out")
    right = "right" not in args or truth(t, args["right"], "right")
    lowest = "include.lowest" in args and truth(t, args["include.lowest"], "include.lowest")
    t.imports.add("pd")
    bins = breaks.literal.replace('float("inf")', "np.inf")
    if "np.inf" in bins:
        t.imports.add("np")
    labels = expressions.expression(t, args["labels"]) if "labels" in args else None
    if labels is None:
        raise Untranslated("cut() without labels: R makes texts such as (0,5], pandas intervals; give labels")
    if labels.code == "False":
        code = f"pd.cut({value.code}, {bins}, labels=False{'' if right else ', right=False'}{', include_lowest=True' if lowest else ''}) + 1"
        return made_column(value, code, "number", expressions.PLUS)
    if labels.kind != "texts" or labels.items is None:
        raise Untranslated("these labels are not written out")
    if lowest and not right:
        raise Untranslated("include.lowest with right = FALSE closes the last interval, which pandas cannot")
    options = ("" if right else ", right=False") + (", include_lowest=True" if lowest else "")
    return made_column(value, f"pd.cut({value.code}, {bins}, labels={labels.literal}{options}, ordered=False)", "factor")


@r("is.na", "x")
def is_na(t, args, name):
    return conditions.is_missing(column_of(t, args["x"]))
