"""The state of a translation: variables, imports, what R's session remembers, and what is said about it."""

import json
from dataclasses import replace
from pathlib import Path

import fastlmm_hlm
from fastlmm_hlm import datasets
from fastlmm_hlm.migration import expressions, tree
from fastlmm_hlm.migration.names import python_name
from fastlmm_hlm.migration.values import ATOM, Broken, Column, Frame, Untranslated, Value, Variable

PICTURES = {
    "ggplot": "plot_averages(fit) draws the averages of groups, plot_lines(fit, \"x\") their lines",
    "plot": "plot_residuals(fit) draws the residuals, plot_averages(fit) and plot_lines(fit, \"x\") the groups",
    "dotplot": "dotplot(ranef(fit)) draws the effects of groups with their intervals",
    "qqmath": "plot_ranef_qq(fit) draws the effects of groups against normal quantiles",
    "xyplot": "plot_lines(fit, \"x\") draws the lines of groups",
}
DRAWING = {"hist", "boxplot", "qqnorm", "qqline", "abline", "lines", "points", "legend", "par", "barplot", "curve", "png", "pdf",
           "dev.off", "ggsave", "bwplot", "densityplot", "histogram", "pairs.panels", "layout", "mtext", "axis", "text"}
RANDOM = {"rnorm", "runif", "rbinom", "rpois", "sample", "rexp", "rgamma", "sample_n", "rt", "rchisq"}
NOT_YET = {"glmer": "generalized models are not supported yet", "glmer.nb": "generalized models are not supported yet",
           "nlmer": "nonlinear models are not supported", "lme": "nlme's lme() has another syntax; write it as lmer()",
           "lm": "use statsmodels for models without random effects", "glm": "use statsmodels for models without random effects"}
KINDS = {"factor": "factor", "ordered": "ordered", "integer": "number", "number": "number", "logical": "bool", "text": "text"}


class Translation:
    """Everything that a statement may depend on or change.

    Attributes
    ----------
    scope : dict
        R's name -> Variable or Broken.
    masking : list of Value
        Data frames whose columns are meant by bare names, as in with() and subset(); the last one counts.
    imports : set of str
        pd, np, datasets, and names of fastlmm_hlm.
    notes, loads : list of str
        What is to be said above the statement, and data sets to be loaded before it.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder is not None else None
        self.scope, self.masking, self.imports, self.notes, self.loads = {}, [], set(), [], []
        self.libraries, self.contrasts, self.seed = set(), None, None
        self.assumed, self.own, self.changed = set(), {}, False
        self.taken = {*fastlmm_hlm.__all__}

    # --- undoing what a statement that fails has begun ---------------------------

    def snapshot(self):
        return (dict(self.scope), list(self.masking), set(self.imports), set(self.libraries), self.contrasts, self.seed,
                set(self.assumed), self.changed)

    def restore(self, saved):
        (self.scope, self.masking, self.imports, self.libraries, self.contrasts, self.seed, self.assumed,
         self.changed) = (saved[0], *saved[1:])
        self.notes, self.loads = [], []

    # --- variables ----------------------------------------------------------------

    def assign(self, name, value):
        """Make a variable; gives its Python name."""
        if name in self.writer.unsafe:
            raise Untranslated(f"{name} is changed by <<- in a function (line {self.writer.unsafe[name]})")
        known = self.scope.get(name)
        python = known.python if isinstance(known, Variable) else self.python_name(name)
        self.scope[name] = Variable(python, replace(value, code=python, prec=ATOM, visible=True, items=None, names=None)
                                    if value.kind != "mask" else value)
        return python

    def python_name(self, name):
        if name not in self.own:
            self.own[name] = python_name(name, self.taken)
            self.taken.add(self.own[name])
        return self.own[name]

    def read(self, variable):
        value = variable.value
        info = value.info
        if isinstance(info, Column) and info.frame != variable.python:
            info = Column(info.frame, None, info.kind)
        return replace(value, code=variable.python, prec=ATOM, info=info)

    def column_in_scope(self, name):
        """A bare name inside with(), subset() and their kin."""
        if not self.masking:
            return None
        frame = self.masking[-1]
        facts = frame.info
        if name in facts.columns or name in facts.broken:
            from fastlmm_hlm.migration.indexing import column

            return column(self, frame, name)
        if facts.complete or name in expressions.TRUTH:
            return None
        if name in self.scope:
            raise Untranslated(f"{name} may be a column or the variable of that name")
        return Value(f"{frame.bound(ATOM)}[{expressions.text(name).code}]", "column", info=Column(frame.code, name, None))

    def whole_frame(self, frame):
        """Refuse what shows or keeps a column that Python has not got."""
        for name, line in frame.info.broken.items():
            raise Untranslated(f"it needs the column {name} of {frame.code}, which is not translated (line {line})")
        return frame

    def frame(self, node, whole=True):
        """A data frame, or a refusal."""
        value = expressions.expression(self, node)
        if value.kind not in ("frame", "table") or (value.kind == "table" and whole is None):
            raise Untranslated("this is not a data frame that is known here")
        if value.kind == "table":
            return replace(value, kind="frame", info=Frame())
        return self.whole_frame(value) if whole else value

    def fit(self, node):
        """A fitted model, or a refusal."""
        value = expressions.expression(self, node)
        if value.kind != "fit":
            raise Untranslated("this is not a fitted model that is known here")
        return value

    # --- data of packages -----------------------------------------------------------

    def shipped(self, name):
        """A data set of lme4 or mlmRev, by its bare name, if the package is attached."""
        if name not in datasets.available() or not self.libraries & {"lme4", "lmerTest", "mlmRev", "afex"}:
            return None
        self.imports.add("datasets")
        python = self.assign(name, Value("", "frame", info=shipped_facts(name)))
        self.loads.append(f'{python} = datasets.load("{name}")')
        return self.read(self.scope[name])

    # --- what is said -----------------------------------------------------------------

    def note(self, sentence):
        if sentence not in self.notes:
            self.notes.append(sentence)

    def assume(self, column, what):
        """Say once what kind of column is taken for granted."""
        if column.info.name is not None and (column.info.frame, column.info.name) not in self.assumed:
            self.assumed.add((column.info.frame, column.info.name))
            self.note(f"NOTE (line {{line}}): {column.code} is taken for {what}; the data could not be looked at.")

    def note_missing_rows(self, mask):
        """[ ] keeps a row of NAs where the condition is missing."""
        if mask.info.missing:
            self.note("NOTE (line {line}): where the condition is missing R gives a row of NA; here the row is left out.")

    def why_unknown(self, function):
        name, package = function.name, function.package
        if name in NOT_YET:
            return NOT_YET[name]
        if name in PICTURES:
            return f"a picture; {PICTURES[name]}"
        if name in DRAWING or name.startswith(("geom_", "scale_", "theme", "stat_", "facet_")):
            return f"a picture; {PICTURES['plot']}"
        if name in RANDOM:
            return "random numbers, which cannot be those of R"
        return f"{package + '::' if package else ''}{name}() is not known here"

    # --- functions of the script -------------------------------------------------------

    def call_own(self, name, known, node):
        if isinstance(known, Broken):
            raise Untranslated(f"it needs {name}(), which is not translated (line {known.line})")
        if known.value.kind != "function" or not hasattr(known.value.info, "call"):
            raise Untranslated(f"{name} is not a function that is known here")
        return known.value.info.call(self, known.python, node)


def shipped_facts(name):
    """Facts of a data set of the package."""
    types = json.loads((datasets.FOLDER / "types.json").read_text(encoding="utf-8"))[name]
    columns = {}
    for column, kind in types.items():
        columns[column] = "ordered" if kind.get("ordered") else KINDS.get(kind["type"], kind["type"])
    return Frame(columns, complete=True)


def truth(t, node, what):
    """TRUE or FALSE as an argument."""
    value = expressions.expression(t, node)
    if value.code not in ("True", "False"):
        raise Untranslated(f"{what} is not TRUE or FALSE here")
    return value.code == "True"


def literal_text(node):
    """The value of a text constant, or of a bare name; None for anything else."""
    if isinstance(node, tree.Text):
        return node.value
    return node.name if isinstance(node, tree.Name) else None
