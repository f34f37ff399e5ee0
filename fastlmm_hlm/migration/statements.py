"""Statements: assignments, loops, branches, functions, and what is printed."""

from dataclasses import dataclass, replace

from fastlmm_hlm.migration import assignments, expressions, tree
from fastlmm_hlm.migration.arguments import match
from fastlmm_hlm.migration.values import Broken, Column, Frame, List, Untranslated, Value, Variable

INDENT = "    "


def statement(t, node, level, top):
    """Lines of Python for one statement.

    Parameters
    ----------
    t : Translation
    node : Node
    level : Writer
        Writes blocks, with their comments.
    top : bool
        At top level, where R prints values.

    Returns
    -------
    list of str
    """
    if isinstance(node, tree.Assign):
        if isinstance(node.target, tree.Name) and isinstance(node.value, tree.Assign):
            inner = statement(t, node.value, level, top)
            return inner + statement(t, replace(node, value=node.value.target), level, top)
        return assignments.assign(t, node)
    if isinstance(node, tree.If):
        return branch(t, node, level)
    if isinstance(node, tree.For):
        return loop(t, node, level)
    if isinstance(node, tree.While):
        test = "True" if node.condition is None else expressions.condition(t, node.condition).code
        return [f"while {test}:", *body(t, node.body, level, loop=True)]
    if isinstance(node, tree.Jump):
        return ["continue" if node.word == "next" else "break"]
    if isinstance(node, tree.Block):
        return level.block(node)
    if isinstance(node, tree.Binary) and node.operator in ("%>%", "|>"):
        return statement(t, expressions.piped(node), level, top)
    if isinstance(node, tree.Call) and getattr(node.function, "name", None) == "if":
        raise Untranslated("this call is not known here")
    value = expressions.expression(t, node)
    if value.kind == "statement":
        return value.code.split("\n") if value.code else []
    if top and value.visible:
        return [printed(t, value)]
    return [value.code]


def printed(t, value):
    """print() of a value, as R does at top level."""
    if value.kind == "mask":
        raise Untranslated("a condition on all rows would be printed")
    if value.kind == "function":
        raise Untranslated("R would print the source of a function")
    if value.kind == "frame":
        t.whole_frame(value)
    return f"print({value.code})"


def body(t, node, level, loop=False):
    """Indented lines of a block; variables keep their kinds from one round of a loop to the next."""
    before = dict(t.scope)
    lines = level.block(node)
    if loop:
        for name, old in before.items():
            new = t.scope.get(name)
            if isinstance(old, Variable) and isinstance(new, Variable) and _kind(old.value) != _kind(new.value):
                raise Untranslated(f"{name} changes its kind in the loop")
    return [f"{INDENT}{line}" if line else "" for line in (lines or ["pass"])]


def _kind(value):
    """What must not change from round to round."""
    facts = value.info
    if isinstance(facts, Frame):
        return value.kind, tuple(facts.broken)
    return value.kind, facts.kind if isinstance(facts, Column) else None


def branch(t, node, level):
    test = expressions.condition(t, node.condition)
    before = dict(t.scope)
    lines = [f"if {test.code}:", *body(t, node.then, level)]
    after_then = dict(t.scope)
    t.scope = dict(before)
    if isinstance(node.otherwise, tree.If):
        rest = branch(t, node.otherwise, level)
        lines += [f"el{rest[0]}", *rest[1:]]
    elif node.otherwise is not None:
        lines += ["else:", *body(t, node.otherwise, level)]
    t.scope = _merged(after_then, t.scope, node.line)
    return lines


def _merged(one, other, line):
    """Variables after a branch: what both sides agree on."""
    merged = {}
    for name in {**one, **other}:
        sides = [side[name] for side in (one, other) if name in side]
        if any(isinstance(side, Broken) for side in sides):
            merged[name] = next(side for side in sides if isinstance(side, Broken))
        elif len({_kind(side.value) for side in sides}) > 1:
            merged[name] = Broken(line)
        elif len(sides) == 2 and sides[0].value.info != sides[1].value.info:
            merged[name] = replace(sides[0], value=replace(sides[0].value, info=_common(*(side.value for side in sides))))
        else:
            merged[name] = sides[0]
    return merged


def _common(one, other):
    """Facts that hold on both sides of a branch."""
    if isinstance(one.info, Frame):
        same = {name: kind for name, kind in one.info.columns.items() if other.info.columns.get(name, 0) == kind}
        return Frame(same, False, {**one.info.broken, **other.info.broken}, one.info.texts_are_factors or other.info.texts_are_factors)
    if one.kind == "fit":
        return type(one.info)(None, one.info.tested and other.info.tested)
    if isinstance(one.info, List):
        return replace(one.info, known={})
    return None


def loop(t, node, level):
    """for over a sequence, a vector or a list."""
    source = expressions.expression(t, node.sequence)
    if source.kind == "numbers":
        counted = source.info == "range" or isinstance(source.info, tuple)
        element, over = Value("", "number", info="position" if counted and "-1)" not in source.code else None), source.literal
    elif source.kind == "texts":
        element, over = Value("", "text"), source.literal
    elif source.kind == "list" and source.info.element is not None:
        element = source.info.element
        over = source.code if source.info.keys == "places" else f"{source.bound(20)}.values()"
    else:
        raise Untranslated("a loop over this is not known here")
    name = t.assign(node.variable, element)
    return [f"for {name} in {over}:", *body(t, node.body, level, loop=True)]


# --- functions ------------------------------------------------------------------------


@dataclass
class Own:
    """A function of the script.  It is translated at its first call, which shows the kinds of its arguments."""

    name: str
    node: tree.Function
    writer: object
    chunk: list
    kinds: tuple | None = None
    result: Value | None = None
    failed: str | None = None
    outside: dict | None = None          # variables of the session that it reads, as they were
    running: bool = False

    def call(self, t, python, node):
        formals = " ".join(param.name for param in self.node.params)
        given = match(self.name, node.args, formals)
        values = {name: expressions.expression(t, value) for name, value in given.items() if name != "..."}
        code = []
        positional = True
        for param in self.node.params:
            if param.name not in values:
                positional = False
                if param.value is None:
                    raise Untranslated(f"{self.name}() is called without {param.name}")
                continue
            value = values[param.name]
            text = value.literal if value.kind in ("numbers", "texts") else value.code
            code.append(text if positional else f"{t.python_name(param.name)}={text}")
        self.translate(t, values)
        return replace(self.result, code=f"{python}({', '.join(code)})", prec=20, items=None, names=None)

    def translate(self, t, values):
        """Write the function for arguments of these kinds; once."""
        for param in self.node.params:
            if param.name == "...":
                raise Untranslated(f"{self.name}() hands arguments on with ...")
            if param.name not in values and param.value is not None:
                values = {**values, param.name: expressions.expression(t, param.value)}
        kinds = tuple(sorted((name, _kind(value)) for name, value in values.items()))
        if self.failed:
            raise Untranslated(f"it needs {self.name}(), which is not translated (line {self.node.line}): {self.failed}")
        if self.running:
            raise Untranslated(f"{self.name}() calls itself")
        if self.kinds is not None:
            if kinds != self.kinds:
                raise Untranslated(f"{self.name}() is called with other kinds of arguments than before")
            for name, kind in self.outside.items():
                now = t.scope.get(name)
                if not isinstance(now, Variable) or _kind(now.value) != kind:
                    raise Untranslated(f"{self.name}() reads {name}, which has changed its kind or is not translated since")
            return
        self.running = True
        outer, t.scope = t.scope, dict(t.scope)
        masking, t.masking = t.masking, []
        notes, t.notes = t.notes, []
        try:
            lines = self._define(t, values)
        except Untranslated as why:
            self.failed = str(why)
            raise Untranslated(f"it needs {self.name}(), which is not translated (line {self.node.line}): {why}") from None
        finally:
            self.running = False
            t.scope, t.masking = outer, masking
            own_notes, t.notes = t.notes, notes
        from fastlmm_hlm.migration.writer import said

        read = {node.name for node in self.node.body.walk() if isinstance(node, tree.Name)} - {param.name for param in self.node.params}
        self.outside = {name: _kind(t.scope[name].value) for name in read if isinstance(t.scope.get(name), Variable)}
        self.kinds = kinds
        self.chunk[:] = [*said(own_notes, self.node.line), *lines]

    def _define(self, t, values):
        heads = []
        for param in self.node.params:
            value = values[param.name]
            facts = value.info
            if isinstance(facts, Frame):
                facts = Frame(broken=facts.broken, texts_are_factors=True)
            elif value.kind == "fit":
                facts = type(facts)(None, facts.tested)
            elif isinstance(facts, Column):
                facts = Column(param.name, None, facts.kind)
            elif value.kind == "formula" or not isinstance(facts, (List, Frame)):
                facts = None
            t.scope.pop(param.name, None)
            name = t.assign(param.name, replace(value, info=facts))
            default = ""
            if param.value is not None:
                default = "=" + expressions.expression(t, param.value).code
            heads.append(name + default)
        copied = [t.scope[param.name].python for param in self.node.params
                  if values[param.name].kind in ("frame", "list") and _changes(self.node.body, param.name)]
        lines, self.result = self.writer.function_body(self.node.body)
        python = t.python_name(self.name)
        self.writer.check([f"def {python}():", *(f"{INDENT}{line}" if line else "" for line in lines)])
        return [f"def {python}({', '.join(heads)}):", *(f"{INDENT}{name} = {name}.copy()" for name in copied),
                *(f"{INDENT}{line}" if line else "" for line in lines)]


def _changes(body, name):
    """Whether a function changes its argument in place (in R: its own copy)."""
    return any(isinstance(node, tree.Assign) and not isinstance(node.target, tree.Name)
               and assignments.base_name(node.target) == name for node in body.walk())
