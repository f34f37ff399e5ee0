"""Results of fitted models."""

from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.calls import as_function, made, number, refused, rows_of, seed, used, word
from fastlmm_hlm.migration.deparse import deparse
from fastlmm_hlm.migration.models import formula_of, is_null
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import Fit, Untranslated, Value

SIMPLE = {
    "fixef": "series", "sigma": "number", "AIC": "number", "BIC": "number", "nobs": "number", "REMLcrit": "number",
    "vcov": "table", "VarCorr": "varcorr", "fitted": "rows", "isSingular": "bool", "isREML": "bool", "icc": "result", "r2": "result",
    "glance": "table", "model_performance": "result", "check_singularity": "result", "check_convergence": "result",
    "check_collinearity": "result", "check_heteroscedasticity": "result", "check_normality": "result", "check_outliers": "result",
    "rePCA": "result", "ranova": "table", "rand": "table", "hatvalues": "rows", "logLik": "number", "df.residual": "number",
    "ngrps": "series", "deviance": "number", "weights": "rows", "show_tests": "result", "exactRLRT": "result",
    "step": "result", "get_model": "fit", "allFit": "result", "is.singular": "bool",
}
PYTHON_NAMES = {"rand": "ranova", "df.residual": "df_residual"}


def _simple(names):
    @r(names, "object ...")
    def result(t, args, name):
        if name == "step":
            if not t.fit(args["object"]).info.tested:
                raise Untranslated("without lmerTest, step() is that of lm()")
            return made(t, "step", t.fit(args["object"]).code) if not args["..."] else refused(args["..."][0])
        if name == "get_model":
            inner = expressions.expression(t, args["object"])
            return made(t, "get_model", inner.code, kind="fit", info=Fit(None, True))
        fit = t.fit(args["object"])
        if name in ("ranova", "rand") and not fit.info.tested:
            raise Untranslated(f"{name}() is lmerTest's; library(lmerTest) comes before the fit there")
        if args["..."]:
            if name in ("AIC", "BIC") and all(arg.name is None for arg in args["..."]):
                return _criteria(t, name, [tree.Arg(None, args["object"]), *args["..."]])
            refused(args["..."][0])
        kind = SIMPLE[name]
        info = rows_of(fit) if kind == "rows" else "count" if name == "nobs" else (fit.code, name) if kind == "series" else None
        return made(t, PYTHON_NAMES.get(name, name), fit.code, kind="series" if kind == "rows" else kind, info=info)


def _criteria(t, name, args):
    """AIC(m1, m2): a table df, AIC."""
    t.imports.add("pd")
    rows = {}
    for arg in args:
        rows[deparse(arg.value)] = t.fit(arg.value).code
    used(t, name)
    used(t, "logLik")
    body = ", ".join(f"{expressions.text(row).code}: [logLik({code}).df, {name}({code})]" for row, code in rows.items())
    return Value(f'pd.DataFrame.from_dict({{{body}}}, orient="index", columns=["df", "{name}"])', "table")


_simple(" ".join(name for name in SIMPLE if name != "is.singular"))


@r("ranef coef", "object ...")
def effects(t, args, name):
    value = expressions.expression(t, args["object"])
    if value.kind == "summary" and name == "coef":
        return Value(f"{value.code}.coefficients", "table")
    fit = t.fit(args["object"])
    for arg in args["..."]:
        if arg.name not in ("condVar", "postVar") or name == "coef":
            refused(arg)
    return made(t, name, fit.code, kind="groups", info=(fit.code, name, fit.info.formula))


@r("summary", "object ...")
def summary(t, args, name):
    value = expressions.expression(t, args["object"])
    if value.kind == "frame":
        t.whole_frame(value)
        return Value(f'{value.bound(20)}.describe(include="all")', "result")
    if value.kind == "column" and value.info.kind == "number":
        return Value(f"{value.bound(20)}.describe()", "result")
    fit = t.fit(args["object"])
    ddf = "" if fit.info.tested else 'ddf="lme4"'
    for arg in args["..."]:
        if arg.name == "ddf":
            ddf = f"ddf={word(arg.value, 'ddf')}"
        elif arg.name not in ("correlation", "corr"):
            refused(arg)
    return Value(made(t, "summary", fit.code, ddf).code, "summary", info=fit.code)


@r("anova", "object ...")
def anova(t, args, name):
    fits, parts = [t.fit(args["object"])], []
    for arg in args["..."]:
        if arg.name is None:
            fits.append(t.fit(arg.value))
        elif arg.name == "refit":
            parts.append(f"refit={truth(t, arg.value, 'refit')}")
        elif arg.name in ("type", "ddf") and fits[0].info.tested:
            kinds = {"1": '"I"', "2": '"II"', "3": '"III"'}
            parts.append(f"{arg.name}={kinds.get(deparse(arg.value)) or word(arg.value, arg.name)}")
        elif arg.name == "test" and isinstance(arg.value, tree.Text) and arg.value.value == "Chisq":
            pass
        else:
            refused(arg)
    if len(fits) == 1 and not fits[0].info.tested:
        parts = ['ddf="lme4"']
    return made(t, "anova", *(fit.code for fit in fits), *parts, kind="table")


@r("drop1", "object scope test ddf ...")
def drop1(t, args, name):
    fit, test = t.fit(args["object"]), args.get("test")
    if args["..."] or "scope" in args:
        raise Untranslated("these arguments of drop1()")
    if fit.info.tested:
        ddf = word(args["ddf"], "ddf") if "ddf" in args else '"Satterthwaite"'
        return made(t, "drop1", fit.code, f"ddf={ddf}", kind="table")
    chosen = test.value if isinstance(test, tree.Text) else "none"
    if chosen not in ("none", "Chisq"):
        raise Untranslated(f"drop1() with test {chosen}")
    return made(t, "drop1", fit.code, f'test="{chosen}"', kind="table")


@r("confint", "object parm level method ...")
def confint(t, args, name):
    value = expressions.expression(t, args["object"])
    if value.kind == "emm":
        refused(args["..."][0]) if args["..."] else None
        return Value(f"{value.bound(20)}.confint()", "table")
    parts, fit = [], t.fit(args["object"])
    if "parm" in args:
        node = args["parm"]
        parm = expressions.expression(t, node)
        if parm.kind not in ("text", "texts"):
            raise Untranslated("parameters by number")
        parts.append(parm.literal)
    if "level" in args:
        parts.append(f"level={number(t, args['level'], 'level')}")
    boot = False
    if "method" in args:
        parts.append(f"method={word(args['method'], 'method')}")
        boot = "boot" in parts[-1]
    for arg in args["..."]:
        if arg.name == "nsim":
            parts.append(f"nsim={number(t, arg.value, 'nsim')}")
        elif arg.name == "oldNames":
            parts.append(f"signames={truth(t, arg.value, 'oldNames')}")
        elif arg.name not in ("quiet",):
            refused(arg)
    if boot:
        parts.append(seed(t))
    return made(t, "confint", fit.code, *parts, kind="table")


@r("predict", "object newdata newparams re.form random.only terms type allow.new.levels na.action ReForm REForm REform")
def predict(t, args, name):
    fit, parts = t.fit(args["object"]), []
    own_rows = "newdata" not in args
    if not own_rows:
        frame = t.frame(args["newdata"])
        parts.append(frame.code)
        own_rows = False
    for old in ("ReForm", "REForm", "REform", "re.form"):
        if old in args:
            parts += _re_form(t, args[old])
    for option in ("random.only", "allow.new.levels"):
        if option in args:
            parts.append(f"{option.replace('.', '_')}={truth(t, args[option], option)}")
    for option in ("newparams", "terms", "type", "na.action"):
        if option in args and not is_null(args[option]):
            raise Untranslated(f"{option} of predict()")
    if own_rows:
        info = rows_of(fit)
    else:
        info = ("rows of", frame.code)
    return made(t, "predict", fit.code, *parts, kind="series", info=info)


def _re_form(t, node):
    if is_null(node):
        return []
    if isinstance(node, tree.Constant) and node.name == "NA":
        return ['re_form="NA"']
    value = expressions.expression(t, node)
    if value.kind != "formula":
        raise Untranslated("this re.form is not known here")
    return [f"re_form={value.code}"]


@r("simulate", "object nsim seed use.u re.form ...")
def simulate(t, args, name):
    fit, parts = t.fit(args["object"]), []
    if args["..."]:
        refused(args["..."][0])
    if "nsim" in args:
        parts.append(number(t, args["nsim"], "nsim"))
    parts.append(seed(t, args))
    if "use.u" in args:
        parts.append(f"use_u={truth(t, args['use.u'], 'use.u')}")
    if "re.form" in args:
        parts += _re_form(t, args["re.form"]) or ["re_form=None"]
    return made(t, "simulate", fit.code, *parts, kind="table")


@r("residuals resid", "object type scaled ...")
def residuals(t, args, name):
    fit, parts = t.fit(args["object"]), []
    if args["..."]:
        refused(args["..."][0])
    if "type" in args:
        parts.append(word(args["type"], "type"))
    if "scaled" in args:
        parts.append(f"scaled={truth(t, args['scaled'], 'scaled')}")
    return made(t, "residuals", fit.code, *parts, kind="series", info=rows_of(fit))


@r("formula", "x")
def formula(t, args, name):
    if isinstance(args["x"], (tree.Binary, tree.Unary, tree.Text)):
        return formula_of(t, args["x"])
    fit = t.fit(args["x"])
    return made(t, "formula", fit.code, kind="formula", info=fit.info.formula)


@r("getME", "object name")
def get_me(t, args, name):
    parts = {"theta": "numbers", "beta": "numbers", "fixef": "series", "sigma": "number", "devcomp": "result"}
    what = getattr(args["name"], "value", None)
    return made(t, "getME", t.fit(args["object"]).code, word(args["name"], "name"), kind=parts.get(what, "result"))


@r("model.matrix", "object type")
def model_matrix(t, args, name):
    parts = [f"type={word(args['type'], 'type')}"] if "type" in args else []
    return made(t, "model_matrix", t.fit(args["object"]).code, *parts, kind="result" if parts else "table")


@r("contest", "model L rhs joint ddf")
def contest(t, args, name):
    matrix = expressions.expression(t, args["L"])
    if matrix.kind != "numbers" or matrix.items is None:
        raise Untranslated("this hypothesis is not written out")
    parts = [f"joint={truth(t, args['joint'], 'joint')}"] if "joint" in args else []
    if "rhs" in args:
        parts.append(f"rhs={number(t, args['rhs'], 'rhs')}")
    if "ddf" in args:
        parts.append(f"ddf={word(args['ddf'], 'ddf')}")
    return made(t, "contest", t.fit(args["model"]).code, matrix.literal, *parts, kind="table")


@r("bootMer", "x FUN nsim seed use.u type verbose .progress PBargs parallel ncpus cl")
def boot_mer(t, args, name):
    fit, parts = t.fit(args["x"]), []
    function = as_function(t, args["FUN"], Value("fit", "fit", info=Fit(fit.info.formula, fit.info.tested)), "fit")
    if function.info.kind not in ("series", "number", "numbers"):
        raise Untranslated("what the function of bootMer() gives is not known here")
    if "nsim" in args:
        parts.append(f"nsim={number(t, args['nsim'], 'nsim')}")
    parts.append(seed(t, args))
    if "use.u" in args:
        parts.append(f"use_u={truth(t, args['use.u'], 'use.u')}")
    if "type" in args:
        parts.append(f"type={word(args['type'], 'type')}")
    if "ncpus" in args:
        parts.append(f"processes={number(t, args['ncpus'], 'ncpus')}")
    return made(t, "bootMer", fit.code, function.code, *parts)
