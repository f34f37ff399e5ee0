"""Calls that make models, and results of models."""

from fastlmm_hlm.migrate import expressions, tree
from fastlmm_hlm.migrate.deparse import deparse, function_names, names_in
from fastlmm_hlm.migrate.registry import r
from fastlmm_hlm.migrate.translation import truth
from fastlmm_hlm.migrate.values import Fit, Frame, Untranslated, Value, Variable

OPTIMIZERS = {"bobyqa": "bobyqa", "Nelder_Mead": "nelder_mead"}


def used(t, name):
    """A function of fastlmm_hlm, imported."""
    t.imports.add(name)
    return name


def made(t, function, *arguments, kind="result", **facts):
    """A call of a function of fastlmm_hlm."""
    return Value(f"{used(t, function)}({', '.join(argument for argument in arguments if argument)})", kind, **facts)


def number(t, node, what):
    value = expressions.expression(t, node)
    if value.kind != "number":
        raise Untranslated(f"{what} is not a number here")
    return value.code


def word(node, what):
    if not isinstance(node, tree.Text):
        raise Untranslated(f"{what} is not a text constant")
    return expressions.text(node.value).code


# --- fitting ------------------------------------------------------------------------


@r("lmer", "formula data REML control start verbose subset weights na.action offset contrasts devFunOnly")
def lmer(t, args, name):
    if "formula" not in args or "data" not in args:
        raise Untranslated("a model without data=: its columns are variables of the session")
    if "devFunOnly" in args:
        raise Untranslated("devFunOnly; use fit.devfun() here")
    formula, data = formula_of(t, args["formula"]), t.frame(args["data"], whole=False)
    check_columns(t, formula, data)
    parts = [formula.code, f"data={data.code}"]
    if "REML" in args:
        value = expressions.expression(t, args["REML"])
        if value.kind != "bool":
            raise Untranslated("REML is not TRUE or FALSE")
        parts.append(f"REML={value.code}")
    for option in ("weights", "offset", "subset"):
        if option in args and not _is_null(args[option]):
            parts.append(f"{option}={_expression_text(t, args[option], data, option)}")
    parts += _contrasts(t, args, formula, data)
    if "na.action" in args:
        parts += _na_action(args["na.action"])
    if "start" in args and not _is_null(args["start"]):
        raise Untranslated("start values; without them the same model is fitted")
    if "control" in args:
        parts += _control(t, args["control"])
    if "verbose" in args:
        parts.append(f"verbose={expressions.expression(t, args['verbose']).code}")
    tested = bool(t.libraries & {"lmerTest", "afex"})
    return made(t, "lmer", *parts, kind="fit", info=Fit(formula.info, tested, data.code, held(t, data.code), t.contrasts))


def formula_of(t, node):
    """A formula: written out, a variable, or as.formula(paste(...))."""
    value = expressions.expression(t, node)
    if value.kind not in ("formula", "text"):
        raise Untranslated("this is not a formula that is known here")
    return value


def check_columns(t, formula, data):
    """Refuse a model that needs what Python has not got."""
    names = names_in(formula.info) if isinstance(formula.info, tree.Node) else None
    for column, line in data.info.broken.items():
        if names is None or column in names or "." in names:
            raise Untranslated(f"it needs the column {column} of {data.code}, which is not translated (line {line})")
    if names is None:
        return
    facts = data.info
    own = function_names(formula.info) & set(t.scope)
    if own:
        raise Untranslated(f"{own.pop()}() in the formula is a function of the script; make the column first")
    for name in sorted(names - set(facts.columns)):
        if name in t.scope and name not in ("T", "F"):
            raise Untranslated(f"{name} in the formula may be the variable of the script; make it a column first")
        if facts.complete and name != ".":
            raise Untranslated(f"{data.code} has no column {name}")
    if "." in names:
        raise Untranslated("a dot in the formula stands for all other columns; name them")


def _is_null(node):
    return isinstance(node, tree.Constant) and node.name == "NULL"


def _expression_text(t, node, data, option):
    """weights, offset and subset are expressions in the columns; the formula language reads them."""
    check_columns(t, Value("", "formula", info=node), data)
    if any(isinstance(part, (tree.Access, tree.Index)) for part in node.walk()):
        raise Untranslated(f"{option} with $ or brackets; name the column alone")
    return expressions.text(deparse(node)).code


def _contrasts(t, args, formula, data):
    if "contrasts" in args and not _is_null(args["contrasts"]):
        if t.contrasts:
            raise Untranslated("contrasts= together with options(contrasts=)")
        node = args["contrasts"]
        if not isinstance(node, tree.Call) or getattr(node.function, "name", "") != "list":
            raise Untranslated("contrasts is not a list that is written out")
        pairs = []
        for arg in node.args:
            coding = getattr(arg.value, "value", None) or getattr(arg.value, "name", "")
            if arg.name is None or not str(coding).startswith("contr."):
                raise Untranslated("contrasts that are a matrix or a call")
            pairs.append(f'{expressions.text(arg.name).code}: "{coding}"')
        return [f"contrasts={{{', '.join(pairs)}}}"]
    if not t.contrasts:
        return []
    if not isinstance(formula.info, tree.Node) or function_names(formula.info) & {"factor", "as.factor", "interaction", "cut", "relevel"}:
        raise Untranslated("options(contrasts=) applies to factors that are made inside this formula")
    bars = {name for part in formula.info.walk() if getattr(part, "operator", "") in ("|", "||") for name in names_in(part.right)}
    names = sorted(names_in(formula.info.right) - (bars - names_in_fixed(formula.info.right)))
    kinds = {name: data.info.kind_of(name) for name in names}
    if any(kind is None for kind in kinds.values()):
        unknown = ", ".join(name for name, kind in kinds.items() if kind is None)
        raise Untranslated(f"options(contrasts=) applies to factors, and whether {unknown} is one is not known here")
    factors = [name for name, kind in kinds.items() if kind in ("factor", "codes", "text", "bool")]
    pairs = [f'{expressions.text(name).code}: "{t.contrasts}"' for name in factors]
    return [f"contrasts={{{', '.join(pairs)}}}"] if pairs else []


def names_in_fixed(node):
    """Names outside the grouping side of bars."""
    if isinstance(node, tree.Binary) and node.operator in ("|", "||"):
        return names_in_fixed(node.left)
    if isinstance(node, tree.Name):
        return {node.name}
    parts = node.args if isinstance(node, tree.Call) else node.children()
    return set().union(*(names_in_fixed(part) for part in parts))


def _na_action(node):
    action = {"na.omit": [], "na.exclude": ['na_action="exclude"'], "na.fail": ['na_action="fail"']}
    name = getattr(node, "name", getattr(node, "value", None))
    if name not in action:
        raise Untranslated("this na.action")
    return action[name]


def _control(t, node):
    if isinstance(node, tree.Name):
        value = expressions.expression(t, node)
        if value.kind != "control":
            raise Untranslated("this control is not known here")
        return [f"control={value.code}"]
    if not isinstance(node, tree.Call) or getattr(node.function, "name", "") != "lmerControl":
        raise Untranslated("this control is not known here")
    value = expressions.expression(t, node)
    return [] if value.code == "lmerControl()" else [f"control={value.code}"]


@r("lmerControl", "optimizer restart_edge boundary.tol calc.derivs use.last.params sparseX autoscale check.nobs.vs.rankZ "
   "check.nobs.vs.nlev check.nlev.gtreq.5 check.nlev.gtr.1 check.nobs.vs.nRE check.rankX check.scaleX check.formula.LHS "
   "check.conv.grad check.conv.singular check.conv.hess optCtrl mod.type")
def lmer_control(t, args, name):
    parts, left = [], []
    for option, node in args.items():
        value = node.value if isinstance(node, tree.Text) else None
        if option == "optimizer" and value in OPTIMIZERS:
            parts.append(f'optimizer="{OPTIMIZERS[value]}"')
        elif option == "check.conv.singular" and value is not None:
            parts.append(f'check_conv_singular="{value.removeprefix(".make")}"')
        elif option == "check.rankX" and value in ("stop.deficient", "message+drop.cols", "silent.drop.cols"):
            parts.append(f'check_rankX="{value}"')
        else:
            left.append(option)
    if left:
        t.note(f"NOTE (line {{line}}): left out of lmerControl(): {', '.join(left)}; the search changes, not the model.")
    return made(t, "lmerControl", *parts, kind="control")


@r("update", "object formula. ...")
def update(t, args, name):
    fit = t.fit(args["object"])
    parts, formula, changed = [fit.code], None, False
    if "formula." in args:
        formula = formula_of(t, args["formula."])
        names = names_in(formula.info) if isinstance(formula.info, tree.Node) else set()
        parts.append(formula.code)
        changed = True
        if names & set(t.scope):
            raise Untranslated("a name in the formula may be a variable of the script")
    for arg in args["..."]:
        if arg.name == "REML":
            parts.append(f"REML={'True' if truth(t, arg.value, 'REML') else 'False'}")
        elif arg.name == "data":
            parts.append(f"data={t.frame(arg.value).code}")
        else:
            raise Untranslated(f"update() with {arg.name}")
    if t.contrasts != fit.info.contrasts or (t.contrasts and changed):
        raise Untranslated("update() fits again in R, with the options(contrasts=) of now")
    data = fit.info.data
    if not any(part.startswith("data=") for part in parts):
        if data is None:
            raise Untranslated("update() reads the data again in R; what they are now is not known here")
        if held(t, data) is not fit.info.held:
            now = held(t, data)
            if now is None:
                raise Untranslated(f"update() reads {data} again in R, and it is not translated")
            if formula is not None or fit.info.formula is not None:
                check_columns(t, Value("", "formula", info=None), t.read(now))
            parts.append(f"data={data}")
    else:
        data = parts[-1].removeprefix("data=") if parts[-1].startswith("data=") else None
    facts = Fit(None if changed else fit.info.formula, fit.info.tested, data, held(t, data), t.contrasts)
    return made(t, "update", *parts, kind="fit", info=facts)


def held(t, python):
    """The variable that has this name in Python, as it is now."""
    for variable in t.scope.values():
        if isinstance(variable, Variable) and variable.python == python:
            return variable
    return None


@r("refitML", "x")
def refit_ml(t, args, name):
    fit = t.fit(args["x"])
    return made(t, "refitML", fit.code, kind="fit", info=fit.info)


@r("refit", "object newresp")
def refit(t, args, name):
    fit = t.fit(args["object"])
    new = expressions.expression(t, args["newresp"]) if "newresp" in args else None
    if new is not None and new.kind not in ("column", "series"):
        raise Untranslated("this new response is not known here")
    return made(t, "refit", fit.code, "" if new is None else new.code, kind="fit", info=fit.info)


# --- results with one argument, the fit -------------------------------------------------

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
            return made(t, "step", t.fit(args["object"]).code) if not args["..."] else _refused(args["..."][0])
        if name == "get_model":
            inner = expressions.expression(t, args["object"])
            return made(t, "get_model", inner.code, kind="fit", info=Fit(None, True))
        fit = t.fit(args["object"])
        if name in ("ranova", "rand") and not fit.info.tested:
            raise Untranslated(f"{name}() is lmerTest's; library(lmerTest) comes before the fit there")
        if args["..."]:
            if name in ("AIC", "BIC") and all(arg.name is None for arg in args["..."]):
                return _criteria(t, name, [tree.Arg(None, args["object"]), *args["..."]])
            _refused(args["..."][0])
        kind = SIMPLE[name]
        info = rows_of(fit) if kind == "rows" else "count" if name == "nobs" else (fit.code, name) if kind == "series" else None
        return made(t, PYTHON_NAMES.get(name, name), fit.code, kind="series" if kind == "rows" else kind, info=info)


def rows_of(fit):
    """Facts of a value per row of the data of a fit."""
    return ("rows of", fit.info.data) if fit.info.data else ("rows", fit.code)


def _refused(arg):
    raise Untranslated(f"the argument {arg.name or deparse(arg.value)} here")


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
            _refused(arg)
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
            _refused(arg)
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
            _refused(arg)
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
        _refused(args["..."][0]) if args["..."] else None
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
            _refused(arg)
    if boot:
        parts.append(seed(t))
    return made(t, "confint", fit.code, *parts, kind="table")


def seed(t):
    """seed= of a function that draws; the numbers are others than R's."""
    t.note("NOTE (line {line}): drawn at random; the numbers are others than those of R.")
    if t.seed is None:
        return ""
    text, t.seed = f"seed={t.seed}", t.seed + 1
    return text


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
        if option in args and not _is_null(args[option]):
            raise Untranslated(f"{option} of predict()")
    if own_rows:
        info = rows_of(fit)
    else:
        info = ("rows of", frame.code)
    return made(t, "predict", fit.code, *parts, kind="series", info=info)


def _re_form(t, node):
    if _is_null(node):
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
        _refused(args["..."][0])
    if "nsim" in args:
        parts.append(number(t, args["nsim"], "nsim"))
    if "seed" in args:
        parts.append(f"seed={number(t, args['seed'], 'seed')}")
        t.note("NOTE (line {line}): drawn at random; the numbers are others than those of R.")
    else:
        parts.append(seed(t))
    if "use.u" in args:
        parts.append(f"use_u={truth(t, args['use.u'], 'use.u')}")
    if "re.form" in args:
        parts += _re_form(t, args["re.form"]) or ["re_form=None"]
    return made(t, "simulate", fit.code, *parts, kind="table")


@r("residuals resid", "object type scaled ...")
def residuals(t, args, name):
    fit, parts = t.fit(args["object"]), []
    if args["..."]:
        _refused(args["..."][0])
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
    if "seed" in args:
        parts.append(f"seed={number(t, args['seed'], 'seed')}")
        t.note("NOTE (line {line}): drawn at random; the numbers are others than those of R.")
    else:
        parts.append(seed(t))
    if "use.u" in args:
        parts.append(f"use_u={truth(t, args['use.u'], 'use.u')}")
    if "type" in args:
        parts.append(f"type={word(args['type'], 'type')}")
    if "ncpus" in args:
        parts.append(f"processes={number(t, args['ncpus'], 'ncpus')}")
    return made(t, "bootMer", fit.code, function.code, *parts)


def as_function(t, node, element, variable):
    """A function of one argument as Python writes it; `info` is its value."""
    value = apply_function(t, node, element)
    if isinstance(node, tree.Name) and value.code == f"{node.name}({element.code})":
        return Value(node.name, "function", info=value)
    return Value(f"lambda {variable}: {value.code}", "function", 2, info=value)


def apply_function(t, node, element, more=()):
    """The value of a function at one argument, whose source is that of `element`."""
    if isinstance(node, tree.Name):
        holder = ".element"
        t.scope[holder] = _variable(element)
        try:
            return expressions.call(t, tree.Call(node, (tree.Arg(None, tree.Name(holder)), *more)))
        finally:
            del t.scope[holder]
    if isinstance(node, tree.Function):
        if not node.params or any(param.value is None for param in node.params[1:]):
            raise Untranslated("a function of several arguments")
        name = node.params[0].name
        before = t.scope.get(name)
        t.scope[name] = _variable(element)
        try:
            return expressions.block_value(t, node.body)
        finally:
            t.scope.pop(name)
            if before is not None:
                t.scope[name] = before
    raise Untranslated("this is not a function that is known here")


def _variable(element):
    return Variable(element.code, element)


# --- means, plain tables --------------------------------------------------------------


def specs(node):
    """specs of emmeans: a formula or names."""
    if isinstance(node, tree.Text):
        return expressions.text(node.value).code
    if isinstance(node, tree.Call) and getattr(node.function, "name", "") == "c" and all(isinstance(arg.value, tree.Text) for arg in node.args):
        return "[" + ", ".join(expressions.text(arg.value.value).code for arg in node.args) + "]"
    if getattr(node, "operator", "") == "~":
        return expressions.formula(node).code
    raise Untranslated("these specs are not known here")


@r("emmeans emtrends", "object specs by var ...")
def emmeans(t, args, name):
    fit = t.fit(args["object"])
    parts = [specs(args["specs"])]
    if name == "emtrends":
        parts.append(word(args["var"], "var"))
    if "by" in args:
        parts.append(f"by={word(args['by'], 'by')}")
    for arg in args["..."]:
        if arg.name == "lmer.df":
            names = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger", "asymptotic": "asymptotic"}
            parts.append(f'ddf="{names.get(arg.value.value, arg.value.value)}"')
        elif arg.name in ("weights", "type", "adjust"):
            parts.append(f"{arg.name}={word(arg.value, arg.name)}")
        elif arg.name == "level":
            parts.append(f"level={number(t, arg.value, 'level')}")
        elif arg.name == "at":
            parts.append(f"at={_at(t, arg.value)}")
        elif arg.name not in ("pbkrtest.limit", "lmerTest.limit", "data"):
            _refused(arg)
    pairwise = getattr(args["specs"], "operator", "") == "~" and isinstance(args["specs"], tree.Binary)
    return made(t, name, fit.code, *parts, kind="emmlist" if pairwise else "emm")


def _at(t, node):
    value = expressions.expression(t, node)
    if value.kind != "list" or value.names is None:
        raise Untranslated("at= is not a list that is written out")
    return "{" + ", ".join(f"{expressions.text(n).code}: {item.literal if item.kind in ('numbers', 'texts') else f'[{item.code}]'}"
                           for n, item in zip(value.names, value.items)) + "}"


@r("pairs contrast test joint_tests", "x method ...")
def of_means(t, args, name):
    value = expressions.expression(t, args["x"])
    if value.kind == "fit" and name == "joint_tests":
        return made(t, "joint_tests", value.code, kind="table")
    if value.kind != "emm":
        raise Untranslated("this is not what emmeans() gives")
    parts = []
    if "method" in args:
        parts.append(word(args["method"], "method"))
    for arg in args["..."]:
        if arg.name not in ("adjust", "by", "simple", "interaction"):
            _refused(arg)
        parts.append(f"{arg.name}={word(arg.value, arg.name)}")
    if name == "test":
        return Value(f"{value.bound(20)}.test({', '.join(parts)})", "table")
    return made(t, name, value.code, *parts, kind="emm")


@r("tidy", "x effects scales conf.int conf.level ddf.method ...")
def tidy(t, args, name):
    parts = []
    if args["..."]:
        _refused(args["..."][0])
    for option in ("effects", "scales", "ddf.method"):
        if option in args:
            parts.append(f"{option.replace('.', '_')}={expressions.expression(t, args[option]).literal}")
    if "conf.int" in args:
        parts.append(f"conf_int={truth(t, args['conf.int'], 'conf.int')}")
    if "conf.level" in args:
        parts.append(f"conf_level={number(t, args['conf.level'], 'conf.level')}")
    return made(t, "tidy", t.fit(args["x"]).code, *parts, kind="table")


@r("augment", "x data")
def augment(t, args, name):
    parts = [t.frame(args["data"]).code] if "data" in args else []
    return made(t, "augment", t.fit(args["x"]).code, *parts, kind="frame", info=Frame())


@r("compare_performance", "...")
def compare_performance(t, args, name):
    return made(t, name, *(t.fit(arg.value).code for arg in args["..."]))


@r("KRmodcomp SATmodcomp PBmodcomp", "largeModel smallModel nsim")
def modcomp(t, args, name):
    parts = [t.fit(args["largeModel"]).code, t.fit(args["smallModel"]).code]
    if name == "PBmodcomp":
        parts += [f"nsim={number(t, args['nsim'], 'nsim')}" if "nsim" in args else "", seed(t)]
    return made(t, name, *parts)


@r("as.data.frame as_tibble as.tibble tibble", "x ...")
def as_data_frame(t, args, name):
    value = expressions.expression(t, args["x"])
    if args["..."]:
        _refused(args["..."][0])
    if value.kind == "groups" and value.info[1] == "ranef" or value.kind == "varcorr":
        return Value(f"{value.bound(20)}.to_frame()", "table")
    if value.kind == "emm":
        return Value(f"{value.bound(20)}.to_frame()", "table")
    if value.kind in ("frame", "table"):
        return value
    raise Untranslated(f"{name}() of this is not known here")


def recycled_sum(t, left, right):
    """fixef(fit) + ranef(fit)$g: R adds the vector down the rows; coef() is what is meant."""
    for fixed, random in ((left, right), (right, left)):
        if (fixed.kind == "series" and random.kind == "table" and isinstance(fixed.info, tuple) and fixed.info[1:] == ("fixef",)
                and isinstance(random.info, tuple) and isinstance(random.info[0], tuple) and random.info[0][1] == "ranef"):
            fit, _, formula = random.info[0]
            if fixed.info[0] != fit or random.info[1] is None:
                return None
            t.changed = True
            t.note("CHANGED (line {line}): R adds the vector of fixed effects down the rows of the random effects, so that a group "
                   "gets another coefficient than its own (unless there is one fixed effect alone); coef() has the sum that is meant.")
            group = expressions.text(random.info[1]).code
            return Value(f"{used(t, 'coef')}({fit})[{group}]", "table", info=((fit, "coef", formula), random.info[1]))
    return None


