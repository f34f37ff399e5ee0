"""Marginal means, plain tables, comparisons of two models, and sums of effects."""

from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.calls import made, number, refused, seed, used, word
from fastlmm_hlm.migration.registry import r
from fastlmm_hlm.migration.translation import truth
from fastlmm_hlm.migration.values import Frame, Untranslated, Value


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
            refused(arg)
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
            refused(arg)
        parts.append(f"{arg.name}={word(arg.value, arg.name)}")
    if name == "test":
        return Value(f"{value.bound(20)}.test({', '.join(parts)})", "table")
    return made(t, name, value.code, *parts, kind="emm")


@r("tidy", "x effects scales conf.int conf.level ddf.method ...")
def tidy(t, args, name):
    parts = []
    if args["..."]:
        refused(args["..."][0])
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
        refused(args["..."][0])
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
