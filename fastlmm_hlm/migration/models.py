"""Calls that fit models, and fit them again."""

from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.calls import made
from fastlmm_hlm.migration.deparse import deparse, function_names, names_in
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import Fit, Untranslated, Value, Variable

OPTIMIZERS = {"bobyqa": "bobyqa", "Nelder_Mead": "nelder_mead"}


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
        if option in args and not is_null(args[option]):
            parts.append(f"{option}={_expression_text(t, args[option], data, option)}")
    parts += _contrasts(t, args, formula, data)
    if "na.action" in args:
        parts += _na_action(args["na.action"])
    if "start" in args and not is_null(args["start"]):
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


def is_null(node):
    return isinstance(node, tree.Constant) and node.name == "NULL"


def _expression_text(t, node, data, option):
    """weights, offset and subset are expressions in the columns; the formula language reads them."""
    check_columns(t, Value("", "formula", info=node), data)
    if any(isinstance(part, (tree.Access, tree.Index)) for part in node.walk()):
        raise Untranslated(f"{option} with $ or brackets; name the column alone")
    return expressions.text(deparse(node)).code


def _contrasts(t, args, formula, data):
    if "contrasts" in args and not is_null(args["contrasts"]):
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
