"""Base R: packages, vectors, lists, texts, printing, and functions over vectors and lists."""

from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.calls import apply_function
from fastlmm_hlm.migration.statistics import STATISTICS
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import ATOM, List, Untranslated, Value

PACKAGES = {"lme4", "lmerTest", "emmeans", "pbkrtest", "broom.mixed", "performance", "ggplot2", "lattice", "dplyr", "tidyverse",
            "readr", "Matrix", "mlmRev", "magrittr", "RLRsim", "broom", "tidyr", "tibble", "stats", "utils", "sjPlot", "gridExtra"}
NOTHING = Value("", "statement", visible=False)


@r("library require requireNamespace suppressPackageStartupMessages", "package ... quietly character.only warn.conflicts")
def library(t, args, name):
    node = args["package"]
    if isinstance(node, tree.Call):
        return expressions.expression(t, node)
    package = node.value if isinstance(node, tree.Text) else node.name
    if package not in PACKAGES:
        raise Untranslated(f"the package {package} is not known here")
    t.libraries.add(package)
    return NOTHING


@r("options", "...")
def options(t, args, name):
    for arg in args["..."]:
        if arg.name in ("digits", "scipen", "stringsAsFactors", "width", "warn", "max.print"):
            if arg.name == "stringsAsFactors" and truth(t, arg.value, arg.name):
                raise Untranslated("stringsAsFactors for all files")
        elif arg.name == "contrasts":
            value = expressions.expression(t, arg.value)
            codings = [item.info for item in value.items] if value.kind == "texts" and value.items else []
            if len(codings) != 2 or codings[1] != "contr.poly" or codings[0] not in ("contr.treatment", "contr.sum", "contr.helmert", "contr.SAS"):
                raise Untranslated("these contrasts")
            t.contrasts = None if codings[0] == "contr.treatment" else codings[0]
            shown = "; the models below say so with contrasts=." if t.contrasts else ", the default."
            t.note(f"R: options(contrasts = c({codings[0]}, {codings[1]})){shown}")
        else:
            raise Untranslated(f"the option {arg.name}")
    return NOTHING


@r("set.seed", "seed")
def set_seed(t, args, name):
    value = expressions.expression(t, args["seed"])
    if not isinstance(args["seed"], tree.Number):
        raise Untranslated("the seed is not a number")
    t.seed = int(value.code)
    t.note(f"R: set.seed({value.code}); functions that draw get seed= here.")
    return NOTHING


@r("invisible suppressWarnings suppressMessages", "x")
def quiet(t, args, name):
    from dataclasses import replace

    value = expressions.expression(t, args["x"])
    return replace(value, visible=False) if name == "invisible" else value


@r("c", "...")
def combine(t, args, name):
    values = [expressions.expression(t, arg.value) for arg in args["..."]]
    names = tuple(arg.name for arg in args["..."])
    kinds = {value.kind for value in values}
    if not values:
        raise Untranslated("an empty c()")
    if kinds == {"number"} or kinds == {"bool"} or kinds == {"text"}:
        kind = kinds.pop() + "s"
        if any(names):
            if kind != "numbers" or not all(names):
                raise Untranslated("a vector where some elements have names")
            t.imports.add("pd")
            pairs = ", ".join(f"{expressions.text(n).code}: {value.code}" for n, value in zip(names, values))
            return Value(f"pd.Series({{{pairs}}})", "series", items=None, names=names, info=("named", names))
        return Value("[" + ", ".join(value.code for value in values) + "]", kind, items=tuple(values))
    if kinds == {"fit"} or kinds == {"formula"}:
        return list_(t, args, name)
    raise Untranslated("c() of these is not known here")


@r("list", "...")
def list_(t, args, name):
    values = [expressions.expression(t, arg.value) for arg in args["..."]]
    names = [arg.name for arg in args["..."]]
    if not values:
        return Value("{}", "list", info=List(None, "empty"))
    if any(value.kind in ("mask", "statement") for value in values):
        raise Untranslated("this cannot be put into a list")
    same = {value.kind for value in values}
    element = None
    if len(same) == 1:
        facts = values[0].info if all(value.info == values[0].info for value in values) else _weak(values)
        element = Value("", values[0].kind, info=facts)
    codes = [f"{value.code}.copy()" if isinstance(arg.value, tree.Name) and value.kind in ("frame", "list") else
             value.literal if value.kind in ("numbers", "texts") else value.code for value, arg in zip(values, args["..."])]
    if all(names):
        pairs = ", ".join(f"{expressions.text(n).code}: {code}" for n, code in zip(names, codes))
        return Value(f"{{{pairs}}}", "list", items=tuple(values), names=tuple(names),
                     info=List(element, "names", dict(zip(names, values))))
    if any(names):
        raise Untranslated("a list where some elements have names")
    return Value(f"[{', '.join(codes)}]", "list", items=tuple(values), info=List(element, "places"))


def _weak(values):
    if values[0].kind == "fit":
        return type(values[0].info)(None, all(value.info.tested for value in values))
    if values[0].kind == "frame":
        raise Untranslated("data frames with different columns in one list")
    return None


@r("numeric vector", "mode length")
def empty_vector(t, args, name):
    if name == "vector" and getattr(args.get("mode"), "value", "") == "list":
        return Value("{}", "list", info=List(None, "empty"))
    node = args.get("length") if name == "vector" else args.get("mode")
    if node is None or name == "vector":
        raise Untranslated("an empty vector that grows")
    length = expressions.expression(t, node)
    if length.kind != "number":
        raise Untranslated("the length is not a number")
    t.imports.add("np")
    return Value(f"np.zeros({length.code})", "numbers", info="array")


@r("seq_along", "x")
def seq_along(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind not in ("texts", "numbers", "list", "series", "column"):
        raise Untranslated("seq_along() of this is not known here")
    return Value(f"range(1, len({value.literal if value.items is not None else value.code}) + 1)", "numbers", info="range")


@r("seq_len", "n")
def seq_len(t, args, name):
    value = expressions.expression(t, args["n"])
    if value.kind != "number" or not (isinstance(args["n"], tree.Number) or value.info == "count"):
        raise Untranslated("this length is not known here")
    return Value(f"range(1, {value.bound(11)} + 1)", "numbers", info="range")


# --- texts ---------------------------------------------------------------------------------


def piece(value, digits):
    """Part of an f-string."""
    if value.kind == "text" and isinstance(value.info, str) and value.code.startswith('"'):
        return value.code[1:-1].replace("{", "{{").replace("}", "}}")
    if value.code.startswith('f"') and value.prec == ATOM and value.kind == "text":
        return value.code[2:-1]
    if value.kind in ("text", "formula"):
        inner = value.code
    elif value.kind == "number":
        plain = value.info in ("count", "position") or value.code.lstrip("-").isdigit()
        inner = value.code if plain else f"{value.code}:.{digits}g"
    else:
        raise Untranslated("paste() and cat() of this are not known here")
    if '"' in inner:
        if "\\" in inner or "'" in inner:
            raise Untranslated("a text within a text")
        inner = inner.replace('"', "'")
    return "{" + inner + "}"


def joined(values, separator, digits):
    quoted = expressions.text(separator).code[1:-1].replace("{", "{{").replace("}", "}}")
    body = quoted.join(piece(value, digits) for value in values)
    if any(value.kind != "text" or not isinstance(value.info, str) or not value.code.startswith('"') for value in values):
        return f'f"{body}"'
    return '"' + body.replace("{{", "{").replace("}}", "}") + '"'


@r("paste paste0", "... sep collapse")
def paste(t, args, name):
    separator = "" if name == "paste0" else args["sep"].value if "sep" in args else " "
    values = [expressions.expression(t, arg.value) for arg in args["..."]]
    if "collapse" in args and not (isinstance(args["collapse"], tree.Constant)):
        if len(values) != 1 or values[0].kind != "texts":
            raise Untranslated("paste() of several vectors with collapse")
        return Value(f"{expressions.text(args['collapse'].value).code}.join({values[0].literal})", "text")
    if any(value.kind in ("texts", "numbers", "column", "series") for value in values):
        raise Untranslated("paste() of whole vectors")
    if any(value.kind == "formula" for value in values):
        raise Untranslated("paste() of a formula gives its parts")
    return Value(joined(values, separator, 15), "text")


@r("as.formula", "object env")
def as_formula(t, args, name):
    value = expressions.expression(t, args["object"])
    if value.kind not in ("text", "formula"):
        raise Untranslated("this formula is not one text")
    node = value.info if isinstance(value.info, tree.Node) else None
    if isinstance(value.info, str) and value.code.startswith('"'):
        from fastlmm_hlm.migration.parse import parse

        statements = parse(value.info).statements
        node = statements[0] if len(statements) == 1 else None
    return Value(value.code, "formula", value.prec, info=node)


@r("reformulate", "termlabels response")
def reformulate(t, args, name):
    terms = expressions.expression(t, args["termlabels"])
    response = args.get("response")
    if terms.kind != "texts" or not isinstance(response, tree.Text):
        raise Untranslated("reformulate() of these is not known here")
    return Value(f'"{response.value} ~ " + " + ".join({terms.literal})', "formula", 11)


@r("print", "x ...")
def print_(t, args, name):
    for arg in args["..."]:
        if arg.name not in ("digits", "corr", "correlation"):
            raise Untranslated("these arguments of print()")
    value = expressions.expression(t, args["x"])
    from fastlmm_hlm.migration.statements import printed

    if value.kind == "statement":
        raise Untranslated("there is nothing to print")
    return Value(printed(t, value), "statement", visible=False)


@r("cat message", "... sep file fill")
def cat(t, args, name):
    if "file" in args or "fill" in args:
        raise Untranslated("cat() into a file")
    separator = args["sep"].value if "sep" in args else "" if name == "message" else " "
    values = [expressions.expression(t, arg.value) for arg in args["..."]]
    code = joined(values, separator, 7)
    for end in (f"{separator}\\n\"", '\\n"'):
        if code.endswith(end):
            shown = code.removesuffix(end) + '"'
            return Value(f"print({'' if shown == chr(34) * 2 else shown})", "statement", visible=False)
    return Value(f'print({code}, end="")' if name == "cat" else f"print({code})", "statement", visible=False)


@r("return", "value")
def return_(t, args, name):
    raise Untranslated("return() inside an expression")


# --- over vectors and lists --------------------------------------------------------------------


@r("sapply lapply map vapply map_dbl", "X FUN ... FUN.VALUE")
def over(t, args, name):
    source = expressions.expression(t, args["X"])
    variable = args["FUN"].params[0].name if isinstance(args["FUN"], tree.Function) and args["FUN"].params else None
    keyed = source.kind == "list" and source.info.keys == "names"
    if source.kind == "list" and source.info.element is not None and source.info.keys in ("names", "places"):
        one = source.info.element
    elif source.kind in ("numbers", "texts"):
        one = Value("", source.kind[:-1], info="position" if source.info == "range" or isinstance(source.info, tuple) else None)
        keyed = source.kind == "texts" and name == "sapply"
    else:
        raise Untranslated(f"{name}() over this is not known here")
    from dataclasses import replace

    default = {"fit": "fit", "formula": "f", "frame": "d", "text": "name", "number": "i"}.get(one.kind, "x")
    word = t.python_name(variable) if variable else default if default not in t.taken else f"{default}_"
    more = tuple(arg for arg in args["..."])
    result = apply_function(t, args["FUN"], replace(one, code=word, prec=ATOM, items=None, names=None), more)
    if result.kind in ("statement", "mask"):
        raise Untranslated("what the function gives is not known here")
    code = result.literal if result.kind in ("numbers", "texts") else result.code
    over_names = keyed and source.kind == "texts"
    values = source.literal
    if name in ("lapply", "map"):
        keys = "names" if source.kind == "list" and keyed else "places"
        text = f"{{name: {code} for name, {word} in {source.bound(ATOM)}.items()}}" if keys == "names" else f"[{code} for {word} in {values}]"
        if keys == "names" and word == "name":
            raise Untranslated("a name in the way")
        return Value(text, "list", info=List(replace(result, code="", items=None), keys))
    if result.kind == "number":
        if over_names:
            t.imports.add("pd")
            return Value(f"pd.Series({{{word}: {code} for {word} in {values}}})", "series")
        if keyed:
            t.imports.add("pd")
            return Value(f"pd.Series({{name: {code} for name, {word} in {source.bound(ATOM)}.items()}})", "series")
        t.imports.add("np")
        return Value(f"np.array([{code} for {word} in {values}])", "numbers", info="array")
    if result.kind == "bool" and keyed and source.kind == "list":
        t.imports.add("pd")
        return Value(f"pd.Series({{name: {code} for name, {word} in {source.bound(ATOM)}.items()}})", "result")
    if result.kind == "series" and isinstance(result.info, tuple) and result.info[-1] == "fixef" and keyed and source.kind == "list":
        t.imports.add("pd")
        return Value(f"pd.DataFrame({{name: {code} for name, {word} in {source.bound(ATOM)}.items()}})", "table")
    raise Untranslated(f"{name}() makes of these results whatever fits; which is not known here")


@r("apply", "X MARGIN FUN na.rm")
def apply(t, args, name):
    value = expressions.expression(t, args["X"])
    method, margin = STATISTICS.get(getattr(args.get("FUN"), "name", "")), getattr(args.get("MARGIN"), "text", "")
    if value.kind not in ("table", "frame") or method is None or margin not in ("1", "2"):
        raise Untranslated("apply() is translated for rows or columns and mean, median, sd, var, min, max, sum")
    if value.kind == "frame":
        t.whole_frame(value)
        if not value.info.complete or set(value.info.columns.values()) != {"number"}:
            raise Untranslated("whether all columns are numbers is not known here")
    skip = "na.rm" in args and truth(t, args["na.rm"], "na.rm")
    axis = "axis=1" if margin == "1" else "axis=0"
    return Value(f"{value.bound(ATOM)}.{method}({axis}{'' if skip else ', skipna=False'})", "series",
                 info=(value.code, "rows" if margin == "1" else "columns"))


@r("colMeans rowMeans colSums rowSums", "x na.rm")
def margins(t, args, name):
    method = tree.Name("mean" if name.endswith("Means") else "sum")
    margin = tree.Number("2" if name.startswith("col") else "1")
    return apply(t, {"X": args["x"], "MARGIN": margin, "FUN": method, **({"na.rm": args["na.rm"]} if "na.rm" in args else {})}, name)


@r("sort", "x decreasing")
def sort(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind not in ("series", "column") or value.kind == "column" and value.info.kind != "number":
        raise Untranslated("sort() of this is not known here")
    down = "decreasing" in args and truth(t, args["decreasing"], "decreasing")
    code = f"{value.bound(ATOM)}.sort_values({'ascending=False' if down else ''})"
    if value.kind == "column":
        return Value(f"{code}.dropna()", "result")
    return Value(code, "series", info=(code,))


@r("which.min which.max", "x")
def which(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind != "series":
        raise Untranslated(f"{name}() gives a position, counted from 1")
    return Value(f"{value.bound(ATOM)}.{'idxmin' if name == 'which.min' else 'idxmax'}()", "result")


@r("attr", "x which")
def attribute(t, args, name):
    wanted = getattr(args["which"], "value", None)
    node = args["x"]
    if wanted == "sc":
        value = expressions.expression(t, node)
        if value.kind == "varcorr":
            return Value(f"{value.bound(ATOM)}.sc", "number")
    value = expressions.expression(t, node)
    if wanted == "stddev" and value.kind == "table" and value.info == "covariance":
        return Value(f"{value.bound(ATOM)}.stddev", "series", info=(value.code, "stddev"))
    if wanted == "correlation" and value.kind == "table" and value.info == "covariance":
        return Value(f"{value.bound(ATOM)}.correlation", "table")
    if wanted == "postVar" and isinstance(node, tree.Access):
        groups = expressions.expression(t, node.object)
        if groups.kind == "groups":
            t.note("NOTE (line {line}): this array has the levels first; in R they come last.")
            return Value(f"{groups.bound(ATOM)}.condVar[{expressions.text(node.name).code}]", "result")
    raise Untranslated(f"the attribute {wanted} of this is not known here")


@r("diag", "x")
def diagonal(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind != "table":
        raise Untranslated("diag() of this is not known here")
    t.imports |= {"pd", "np"}
    return Value(f"pd.Series(np.diag({value.code}), index={value.bound(ATOM)}.index)", "series", info=(value.code, "diag"))


@r("is.null", "x")
def is_null(t, args, name):
    value = expressions.expression(t, args["x"])
    return Value(f"{value.bound(8)} is None", "bool", 7)


