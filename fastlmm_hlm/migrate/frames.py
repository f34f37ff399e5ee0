"""Calls on data: reading, columns, rows, averages by group."""

from fastlmm_hlm.migrate import conditions, expressions, indexing, tree
from fastlmm_hlm.migrate.assignments import column_value
from fastlmm_hlm.migrate.models import number
from fastlmm_hlm.migrate.readfiles import read_facts
from fastlmm_hlm.migrate.registry import r
from fastlmm_hlm.migrate.translation import shipped_facts, truth
from fastlmm_hlm.migrate.values import ATOM, Column, Frame, Untranslated, Value

SEPARATORS = {"read.csv": ",", "read_csv": ",", "read.delim": "\t", "read_tsv": "\t", "read.table": r"\s+"}
STATISTICS = {"mean": "mean", "median": "median", "sd": "std", "var": "var", "min": "min", "max": "max", "sum": "sum"}


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


# --- columns ----------------------------------------------------------------------------


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


# --- statistics ---------------------------------------------------------------------------


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


