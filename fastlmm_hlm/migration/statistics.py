"""Statistics of columns, by group too, and merging."""

from fastlmm_hlm.migration import conditions, expressions, indexing, tree
from fastlmm_hlm.migration.columns import column_of
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import ATOM, Frame, Untranslated, Value

STATISTICS = {"mean": "mean", "median": "median", "sd": "std", "var": "var", "min": "min", "max": "max", "sum": "sum"}


@r("mean median sd var min max sum", "x na.rm")
def statistic(t, args, name):
    value = expressions.expression(t, args["x"])
    skip = "na.rm" in args and truth(t, args["na.rm"], "na.rm")
    method = STATISTICS[name]
    if value.kind == "mask":
        if value.info.missing and not skip or name not in ("mean", "sum"):
            raise Untranslated("a share of rows where some may be missing")
        if value.info.missing:
            known = f"({value.code}).where({conditions._any([value, value.info.no]).code})"
            return Value(f"{known}.{method}()", "number")
        return Value(f"({value.code}).{method}()", "number")
    if value.kind in ("column", "series"):
        if value.kind == "column" and value.info.kind in ("text", "factor", "ordered", "codes"):
            raise Untranslated(f"{name}() of what is not numbers")
        return Value(f"{value.bound(ATOM)}.{method}({'' if skip else 'skipna=False'})", "number")
    if value.kind in ("numbers",) and value.info != "range":
        t.imports.add("np")
        return Value(f"np.{method}({value.literal}{', ddof=1' if method in ('std', 'var') else ''})", "number")
    raise Untranslated(f"{name}() of this is not known here")


@r("aggregate", "x data FUN ...")
def aggregate(t, args, name):
    formula, method = args["x"], STATISTICS.get(getattr(args.get("FUN"), "name", ""))
    if not (isinstance(formula, tree.Binary) and formula.operator == "~" and isinstance(formula.left, tree.Name)) or method is None:
        raise Untranslated("aggregate() is translated for y ~ g with mean, median, sd, var, min, max, sum")
    frame = t.frame(args["data"], whole=False)
    groups, node = [], formula.right
    while isinstance(node, tree.Binary) and node.operator == "+":
        groups.insert(0, node.right)
        node = node.left
    groups.insert(0, node)
    if not all(isinstance(group, tree.Name) for group in groups):
        raise Untranslated("groups that are calls")
    names = [group.name for group in groups]
    for column in [formula.left.name, *names]:
        indexing.column(t, frame, column)
    quoted = [expressions.text(column).code for column in names]
    by = quoted[0] if len(quoted) == 1 else f"[{', '.join(reversed(quoted))}]"
    y = expressions.text(formula.left.name).code
    order = "" if len(quoted) == 1 else f"[[{', '.join([*quoted, y])}]]"
    code = f"{frame.bound(ATOM)}.dropna(subset=[{', '.join([y, *quoted])}]).groupby({by}, observed=True)[{y}].{method}().reset_index(){order}"
    kinds = {**{column: frame.info.kind_of(column) for column in names}, formula.left.name: "number"}
    return Value(code, "frame", info=Frame(kinds, True))


@r("tapply", "X INDEX FUN na.rm")
def tapply(t, args, name):
    value, group = column_of(t, args["X"]), column_of(t, args["INDEX"])
    method = STATISTICS.get(getattr(args.get("FUN"), "name", ""))
    if method is None or value.info.frame != group.info.frame:
        raise Untranslated("tapply() is translated for columns of one data frame and mean, median, sd, var, min, max, sum")
    skip = "na.rm" in args and truth(t, args["na.rm"], "na.rm")
    how = f".{method}()" if skip else f".agg(lambda x: x.{method}(skipna=False))"
    return Value(f"{value.bound(ATOM)}.groupby({group.code}, observed=True){how}", "series")


@r("merge left_join inner_join", "x y by all.x all")
def merge(t, args, name):
    left, right = t.frame(args["x"]), t.frame(args["y"])
    parts = [right.code]
    if "all" in args:
        raise Untranslated("merge() with all =")
    by = expressions.expression(t, args["by"]) if "by" in args else None
    if by is None or by.kind not in ("text", "texts") or by.items is not None and by.names:
        raise Untranslated("merge() without by = and names of columns")
    parts.append(f"on={by.literal}")
    if name == "left_join" or "all.x" in args and truth(t, args["all.x"], "all.x"):
        parts.append('how="left"')
    if name == "merge":
        t.note("NOTE (line {line}): R sorts the rows by the key; here they keep their order.")
    parts.append('suffixes=(".x", ".y")')
    both = set(left.info.columns) & set(right.info.columns)
    kinds = {column: kind for facts in (left.info, right.info) for column, kind in facts.columns.items() if column not in both}
    key = [item.info for item in by.items] if by.items else [by.info]
    kinds |= {column: left.info.kind_of(column) for column in key}
    return Value(f"{left.bound(ATOM)}.merge({', '.join(parts)})", "frame", info=Frame(kinds, False))
