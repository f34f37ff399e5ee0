"""Calls on data frames: reading, choosing rows and columns, new columns."""

from fastlmm_hlm.migration import conditions, expressions, indexing, tree
from fastlmm_hlm.migration.assignments import column_value
from fastlmm_hlm.migration.calls import number
from fastlmm_hlm.migration.columns import column_of
from fastlmm_hlm.migration.readfiles import read_facts
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import shipped_facts, truth
from fastlmm_hlm.migration.values import ATOM, Column, Frame, Untranslated, Value

SEPARATORS = {"read.csv": ",", "read_csv": ",", "read.delim": "\t", "read_tsv": "\t", "read.table": r"\s+"}


@r("read.csv read_csv read.delim read_tsv read.table", "file header sep na.strings stringsAsFactors dec skip nrows "
   "strip.white check.names fileEncoding encoding show_col_types na")
def read(t, args, name):
    file = expressions.expression(t, args["file"])
    if file.kind != "text":
        raise Untranslated("the name of the file is not one text")
    header = truth(t, args["header"], "header") if "header" in args else name != "read.table"
    if not header:
        raise Untranslated("a file without a header: R calls the columns V1, V2, ...")
    separator = args["sep"].value if isinstance(args.get("sep"), tree.Text) else SEPARATORS[name]
    missing = args.get("na.strings", args.get("na"))
    words = expressions.expression(t, missing) if missing is not None else None
    words = ["NA"] if words is None else [item.info for item in words.items] if words.items else [words.info]
    words = list(dict.fromkeys(["", *words]))
    t.imports.add("pd")
    parts = [file.code] + ([f'sep={expressions.text(separator).code}'] if separator not in ",\t" else [])
    if separator == "\t":
        parts.append('sep="\\t"')
    if separator == r"\s+":
        parts[-1] = 'sep=r"\\s+"'
    parts += [f"na_values=[{', '.join(expressions.text(word).code for word in words)}]", "keep_default_na=False"]
    if "dec" in args and getattr(args["dec"], "value", ".") != ".":
        parts.append(f"decimal={expressions.text(args['dec'].value).code}")
    for option, python in (("skip", "skiprows"), ("nrows", "nrows")):
        if option in args:
            parts.append(f"{python}={number(t, args[option], option)}")
    factors = "stringsAsFactors" in args and truth(t, args["stringsAsFactors"], "stringsAsFactors")
    mangles = not name.startswith("read_") and not ("check.names" in args and not truth(t, args["check.names"], "check.names"))
    facts, tail = read_facts(t, file.info if isinstance(file.info, str) else None, separator, words, args, factors, mangles,
                             name.startswith("read_"))
    return Value(f"pd.read_csv({', '.join(parts)}){tail}", "frame", info=facts)


@r("data", "... package")
def data(t, args, name):
    lines = []
    for arg in args["..."]:
        wanted = arg.value.value if isinstance(arg.value, tree.Text) else arg.value.name
        from fastlmm_hlm import datasets

        if wanted not in datasets.available():
            raise Untranslated(f"the data set {wanted} is not shipped here; write it to a file in R: write.csv({wanted}, ...)")
        t.imports.add("datasets")
        python = t.assign(wanted, Value("", "frame", info=shipped_facts(wanted)))
        lines.append(f'{python} = datasets.load("{wanted}")')
    return Value("\n".join(lines), "statement", visible=False)


# --- rows and columns of frames ----------------------------------------------------------


def within(t, frame):
    """Bare names mean columns of this frame."""
    class Masking:
        def __enter__(self):
            t.masking.append(frame)

        def __exit__(self, *error):
            t.masking.pop()

    return Masking()


def named(frame):
    """A frame must be a variable for its columns to be named."""
    if not frame.code.isidentifier():
        raise Untranslated("this step works on a data frame without a name; assign it to a variable first")
    return frame


@r("subset filter", "x subset select ...")
def subset(t, args, name):
    if name == "filter" and not t.libraries & {"dplyr", "tidyverse"}:
        raise Untranslated("without library(dplyr), filter() is that of time series")
    frame = t.frame(args["x"])
    code, facts = frame.bound(ATOM), frame.info
    tests = [args["subset"]] if "subset" in args else []
    if name == "filter":
        tests += [args["select"]] if "select" in args else []
        tests += [arg.value for arg in args["..."]]
    elif args["..."]:
        raise Untranslated("these arguments of subset()")
    if tests:
        source = frame if frame.code.isidentifier() else Value("rows", "frame", info=facts)
        with within(t, source):
            masks = [conditions.as_mask(expressions.expression(t, test)) for test in tests]
        if any(mask.kind != "mask" or f"{source.code}[" not in mask.code for mask in masks):
            raise Untranslated("this condition is not on rows")
        chosen = masks[0].code if len(masks) == 1 else conditions._all(masks).code
        code = f"{code}[{chosen}]" if source is frame else f"{code}.loc[lambda rows: {chosen}]"
    result = Value(code, "frame", info=facts)
    if name == "subset" and "select" in args:
        node = args["select"]
        names = [arg.value for arg in node.args] if isinstance(node, tree.Call) and getattr(node.function, "name", "") == "c" else [node]
        return _selected(t, result, names)
    return result


def _selected(t, frame, nodes):
    words = [tree.Text(node.name if isinstance(node, tree.Name) else getattr(node, "value", None)) for node in nodes
             if isinstance(node, (tree.Name, tree.Text))]
    if len(words) != len(nodes):
        raise Untranslated("columns that are not named one by one")
    return indexing.select(t, frame, tree.Call(tree.Name("c"), tuple(tree.Arg(None, word) for word in words)))


@r("select", "x ...")
def select(t, args, name):
    if any(arg.name for arg in args["..."]):
        raise Untranslated("select() that renames")
    return _selected(t, t.frame(args["x"]), [arg.value for arg in args["..."]])


@r("mutate transform", "x ...")
def mutate(t, args, name):
    frame = t.frame(args["x"])
    source = frame if frame.code.isidentifier() else Value("rows", "frame", info=frame.info)
    facts, parts = frame.info, []
    for arg in args["..."]:
        if arg.name is None or not arg.name.isidentifier():
            raise Untranslated("a new column without a name that Python accepts; write d$`name` <- ...")
        base = Value("rows", "frame", info=facts) if parts and name == "mutate" or source is not frame else source
        with within(t, base):
            value = expressions.expression(t, arg.value)
        code, kind = column_value(t, base, value)
        parts.append(f"{arg.name}=lambda rows: {code}" if base.code == "rows" else f"{arg.name}={code}")
        if name == "mutate":
            facts = facts.with_column(arg.name, kind)
    if name == "transform":
        for arg, part in zip(args["..."], parts):
            facts = facts.with_column(arg.name, None)
    return Value(f"{frame.bound(ATOM)}.assign({', '.join(parts)})", "frame", info=facts)


@r("with", "data expr")
def with_(t, args, name):
    frame = named(t.frame(args["data"], whole=False))
    with within(t, frame):
        return expressions.block_value(t, args["expr"])


@r("within", "data expr")
def within_(t, args, name):
    """One assignment after the other; R adds the new columns in the opposite order."""
    frame = named(t.frame(args["data"]))
    body = args["expr"].body if isinstance(args["expr"], tree.Block) else (args["expr"],)
    parts, facts, names = [], frame.info, []
    for part in body:
        if not (isinstance(part, tree.Assign) and isinstance(part.target, tree.Name) and part.target.name.isidentifier()):
            raise Untranslated("within() is translated for assignments to columns")
        base = Value("rows", "frame", info=facts)
        with within(t, base):
            value = expressions.expression(t, part.value)
        code, kind = column_value(t, base, value)
        if part.target.name in names:
            raise Untranslated("a column that is made twice")
        names.append(part.target.name)
        parts.append(f"{part.target.name}=lambda rows: {code}")
        facts = facts.with_column(part.target.name, kind)
    return Value(f"{frame.code}.assign({', '.join(parts)})", "frame", info=facts)


@r("data.frame", "...")
def data_frame(t, args, name):
    parts, kinds = [], {}
    for arg in args["..."]:
        if arg.name in (None, "stringsAsFactors", "check.names", "row.names"):
            raise Untranslated("data.frame() is translated for named vectors")
        value = expressions.expression(t, arg.value)
        if value.kind not in ("number", "text", "numbers", "texts"):
            raise Untranslated("data.frame() of these is not known here")
        parts.append((value.literal if value.kind in ("numbers", "texts") else value.code, value, arg.name))
        kinds[arg.name] = "text" if value.kind in ("text", "texts") else "number"
    lengths = {len(value.items) if value.items else value.info for _, value, _ in parts if value.kind in ("numbers", "texts")}
    if len(lengths) != 1 or not (isinstance(next(iter(lengths)), (int, tuple))):
        raise Untranslated("R recycles columns of different lengths")
    t.imports.add("pd")
    pairs = ", ".join(f"{expressions.text(column).code}: {code}" for code, _, column in parts)
    return Value(f"pd.DataFrame({{{pairs}}})", "frame", info=Frame(kinds, True))


@r("na.omit drop_na", "x")
def na_omit(t, args, name):
    frame = t.frame(args["x"])
    return Value(f"{frame.bound(ATOM)}.dropna()", "frame", info=frame.info)


@r("complete.cases", "x")
def complete_cases(t, args, name):
    frame = t.frame(args["x"])
    code = f"{frame.bound(ATOM)}.notna().all(axis=1)"
    if frame.code.endswith("]"):
        code = f"{frame.code}.notna().all(axis=1)"
    return Value(code, "mask", info=conditions.Mask(Value(f"~{code}", "mask", expressions.SIGN)))


@r("head tail", "x n")
def head(t, args, name):
    value = expressions.expression(t, args["x"])
    n = number(t, args["n"], "n") if "n" in args else "6"
    if n.startswith("-"):
        raise Untranslated("a negative n")
    if value.kind in ("frame", "table", "series", "column"):
        if value.kind == "frame":
            t.whole_frame(value)
        return Value(f"{value.bound(ATOM)}.{name}({n})", value.kind, info=value.info if value.kind != "column" else Column(value.code, None, value.info.kind))
    if value.kind == "groups" and isinstance(value.info, tuple):
        raise Untranslated("the first groups of a list")
    raise Untranslated(f"{name}() of this is not known here")


@r("nrow ncol NROW dim", "x")
def size(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind not in ("frame", "table"):
        raise Untranslated(f"{name}() of this is not known here")
    if name in ("ncol", "dim") and value.kind == "frame":
        t.whole_frame(value)
    if name == "dim":
        return Value(f"{value.bound(ATOM)}.shape", "result")
    return Value(f"len({value.code})" if name != "ncol" else f"{value.bound(ATOM)}.shape[1]", "number", info="count")


@r("names colnames", "x")
def names(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind == "frame":
        t.whole_frame(value)
        return Value(f"{value.bound(ATOM)}.columns.tolist()", "texts")
    if value.kind == "table" and name == "colnames":
        return Value(f"{value.bound(ATOM)}.columns.tolist()", "texts")
    if value.kind == "series":
        return Value(f"{value.bound(ATOM)}.index.tolist()", "texts")
    if value.kind == "list" and value.info.keys == "names" or value.kind == "groups":
        return Value(f"list({value.code})", "texts")
    raise Untranslated(f"{name}() of this is not known here")


@r("rownames row.names", "x")
def rownames(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind != "table":
        raise Untranslated("row names of this are not known here")
    return Value(f"{value.bound(ATOM)}.index.tolist()", "texts")


@r("str glimpse", "object")
def structure(t, args, name):
    value = t.frame(args["object"])
    return Value(f"{value.bound(ATOM)}.info()", "result", visible=False)


@r("table", "...")
def table(t, args, name):
    if any(arg.name for arg in args["..."]):
        raise Untranslated("these arguments of table()")
    columns = [column_of(t, arg.value) for arg in args["..."]]
    if len(columns) == 1:
        return Value(f"{columns[0].bound(ATOM)}.value_counts().sort_index()", "series")
    if len(columns) == 2 and columns[0].info.frame == columns[1].info.frame:
        t.imports.add("pd")
        return Value(f"pd.crosstab({columns[0].code}, {columns[1].code})", "result")
    raise Untranslated("table() of these is not known here")


@r("unique", "x")
def unique(t, args, name):
    value = column_of(t, args["x"])
    kind = {"number": "numbers", "text": "texts"}.get(value.info.kind, "result")
    return Value(f"{value.bound(ATOM)}.unique()", kind)


@r("length n_distinct", "x")
def length(t, args, name):
    node = args["x"]
    if name == "n_distinct":
        return Value(f"{column_of(t, node).bound(ATOM)}.nunique(dropna=False)", "number", info="count")
    value = expressions.expression(t, node)
    if value.kind not in ("column", "series", "numbers", "texts", "list"):
        raise Untranslated("length() of this is not known here")
    return Value(f"len({value.code})", "number", info="count")
