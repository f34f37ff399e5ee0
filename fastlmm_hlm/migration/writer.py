"""The Python script: statements in R's order, with its comments and blank lines, and marks where R stays."""

import ast
import textwrap
from dataclasses import replace

from fastlmm_hlm.migration import assignments, expressions, tree
from fastlmm_hlm.migration.statements import Own, statement
from fastlmm_hlm.migration.values import Broken, Frame, Untranslated, Value, Variable

# Calls that may change any variable of the session, or change their argument in place.
CHANGES_ALL = {"source", "load", "eval", "evalq", "assign", "attach", "rm", "sys.source", "list2env", "makeActiveBinding", "delayedAssign"}


class Writer:
    """Translates one script.

    Attributes
    ----------
    chunks : list of list of str
        Lines by statement; a function's are filled in when it is called.
    marks : list of (line, reason)
    """

    def __init__(self, t, script):
        self.t, self.script, self.chunks, self.marks = t, script, [], []
        self.comments = {}
        for line, text in script.comments:
            self.comments.setdefault(line, text)
        self.functions, self.depth, self.unsafe = [], 0, {}
        self.translated = self.changed = 0
        t.writer, t.script = self, script

    # --- top level -----------------------------------------------------------------

    def run(self):
        """Translate all statements."""
        last = 0
        for node in self.script.statements:
            self.chunks.append(self.between(last, node.line))
            lines = self.one(node)
            self.chunks.append(lines)
            ends_line = not any(other.line == node.end for other in self.script.statements if other is not node and other.line >= node.line
                                and other.end >= node.end and self.script.statements.index(other) > self.script.statements.index(node))
            if ends_line and lines and node.end in self.comments and not any(f.chunk is lines for f in self.functions):
                self.trailing(lines, node)
            last = max(last, node.end)
        self.chunks.append(self.between(last, len(self.script.lines) + 1))
        self.finish_functions()

    def one(self, node):
        """Lines of a top-level statement, or its mark."""
        t = self.t
        saved = t.snapshot()
        try:
            t.notes, t.loads, t.changed = [], [], False
            lines = statement(t, node, self, top=True)
            heads = self.inside(node) + said(t.notes, node.line)
            if any(f.chunk is lines for f in self.functions):
                return lines
            compiles(lines)
            self.translated += 1
            self.changed += t.changed
            return t.loads + heads + lines
        except Untranslated as why:
            t.restore(saved)
            self.break_names(node)
            return self.mark(node, str(why))

    def mark(self, node, reason):
        self.marks.append((node.line, reason))
        source = self.script.lines[node.line - 1:node.end]
        return [*said([f"NOT TRANSLATED (line {node.line}): {reason}"], node.line), *(f"#     {line.rstrip()}" for line in source)]

    def finish_functions(self):
        for function in self.functions:
            if function.kinds is not None:
                self.translated += 1
            else:
                reason = function.failed or "it is not called where its arguments are known, so their kinds are not"
                function.chunk[:] = self.mark(function.statement, reason)

    # --- what a statement leaves undone -------------------------------------------------

    def break_names(self, node):
        """Variables and columns that R has changed and Python has not."""
        t = self.t
        for part in _outside_functions(node):
            if isinstance(part, tree.Assign):
                self.break_target(part.target, node.line)
            elif isinstance(part, tree.For):
                self.break_name(part.variable, node.line)
            elif isinstance(part, tree.Binary) and part.operator == ":=":
                for name in _names(node):
                    self.break_known(name, node.line)
            elif isinstance(part, tree.Call) and isinstance(part.function, tree.Name):
                word = part.function.name
                if word in CHANGES_ALL:
                    for name in list(t.scope):
                        self.break_known(name, node.line)
                elif word.startswith("set") and part.args and isinstance(part.args[0].value, tree.Name):
                    self.break_known(part.args[0].value.name, node.line)
                elif word == "data":
                    for arg in part.args:
                        if arg.name is None and isinstance(arg.value, (tree.Name, tree.Text)):
                            self.break_name(getattr(arg.value, "name", None) or arg.value.value, node.line)
                elif word == "options" and any(arg.name == "contrasts" for arg in part.args):
                    self.t.contrasts = "of options() that are not known here"
        for part in node.walk():
            if isinstance(part, tree.Assign) and part.outer:
                self.break_target(part.target, node.line)

    def break_target(self, target, line):
        name = assignments.base_name(target)
        if name is None:
            return
        column = _column_of(target)
        known = self.t.scope.get(name)
        if column is not None and isinstance(known, Variable) and known.value.kind == "frame":
            facts = known.value.info
            broken = {**facts.broken, column: line}
            self.t.scope[name] = replace(known, value=replace(known.value, info=replace(facts, broken=broken)))
        else:
            self.break_name(name, line)

    def break_name(self, name, line):
        self.t.scope[name] = Broken(line)

    def break_known(self, name, line):
        if name in self.t.scope:
            self.break_name(name, line)

    # --- blocks -----------------------------------------------------------------------------

    def block(self, node):
        """Lines of a block, or of the one statement in its place."""
        self.depth += 1
        try:
            lines, last = [], node.line
            body = node.body if isinstance(node, tree.Block) else (node,)
            for part in body:
                if isinstance(node, tree.Block):
                    lines += self.between(last, part.line) if part.line > last else []
                lines += self.nested(part)
                last = part.end
            if isinstance(node, tree.Block):
                lines += [line for line in self.between(last, node.end) if line]
            return lines
        finally:
            self.depth -= 1

    def nested(self, node):
        t = self.t
        outer, t.notes = t.notes, []
        lines = statement(t, node, self, top=False)
        heads = self.inside(node) + said(t.notes, node.line)
        t.notes = outer
        lines = heads + lines
        if node.end in self.comments and lines and not isinstance(node, (tree.If, tree.For, tree.While, tree.Block)):
            self.trailing(lines, node)
        return lines

    def function_body(self, node):
        """Lines of a function's body, and the Value it returns."""
        body = node.body if isinstance(node, tree.Block) else (node,)
        self.depth += 1
        try:
            lines, last = [], node.line
            for part in body[:-1]:
                lines += self.between(last, part.line) if part.line > last else []
                if _has_return(part):
                    raise Untranslated("return() before the end of a function")
                lines += self.nested(part)
                last = part.end
            if not body:
                raise Untranslated("an empty function")
            lines += self.between(last, body[-1].line) if body[-1].line > last else []
            ending, value = self.returned(body[-1])
            return lines + ending, value
        finally:
            self.depth -= 1

    def returned(self, node):
        """The last statement of a function gives its value."""
        t = self.t
        if isinstance(node, tree.Call) and getattr(node.function, "name", "") == "return":
            node = node.args[0].value
        if isinstance(node, tree.If) and isinstance(node.then, tree.Block):
            raise Untranslated("a function that ends with if { } else { }")
        if isinstance(node, (tree.For, tree.While)):
            return statement(t, node, self, top=False), Value("", "none", visible=False)
        if isinstance(node, tree.Assign):
            lines = statement(t, node, self, top=False)
            name = assignments.base_name(node.target)
            if not isinstance(node.target, tree.Name):
                raise Untranslated("a function that ends with a change of a part")
            value = t.read(t.scope[name])
            return [*lines, f"return {value.code}"], replace(value, visible=False)
        value = expressions.expression(t, node)
        if value.kind == "statement":
            return value.code.split("\n"), Value("", "none", visible=False)
        if value.kind == "mask":
            raise Untranslated("a function that gives a condition")
        code = value.literal if value.kind in ("numbers", "texts") else value.code
        trail = self.comments.get(node.end, "")
        facts = value.info
        if isinstance(facts, Frame):
            facts = Frame(broken=facts.broken, texts_are_factors=True)
        elif value.kind in ("column", "series", "groups", "summary", "emm") or isinstance(facts, (str, tuple)):
            facts = None
        elif value.kind == "fit":
            facts = replace(facts, formula=None)
        kind = "result" if value.kind in ("column", "groups", "summary") else value.kind
        return [f"return {code}" + (f"  {trail}" if trail else "")], replace(value, info=facts, kind=kind)

    def check(self, lines):
        compiles(lines)

    def define(self, name, node):
        """A function of the script; its lines come with its first call."""
        if self.depth:
            raise Untranslated("a function within a function or a block")
        outer = [part for part in node.walk() if isinstance(part, tree.Assign) and part.outer]
        if outer:
            for part in outer:
                self.unsafe[assignments.base_name(part.target)] = node.line
            raise Untranslated("the function changes variables outside with <<-")
        function = Own(name, node, self, [])
        function.statement = next(part for part in self.script.statements if any(piece is node for piece in part.walk()))
        self.functions.append(function)
        self.t.assign(name, Value("", "function", info=function))
        return function.chunk

    # --- comments and blank lines ----------------------------------------------------------------

    def between(self, last, line):
        """Comments and single blank lines strictly between two lines; a comment after { too."""
        out = []
        for number in range(last + 1, line):
            if number in self.comments:
                out.append(self.comments[number])
            elif number <= len(self.script.lines) and not self.script.lines[number - 1].strip() and (not out or out[-1]):
                out.append("")
        return out

    def inside(self, node):
        """Comments within a statement of several lines that is not a block; they go above it."""
        blocks = [part for part in node.walk() if isinstance(part, tree.Block)]
        if blocks or isinstance(node, (tree.If, tree.For, tree.While)):
            return []
        return [self.comments[line] for line in range(node.line, node.end) if line in self.comments]

    def trailing(self, lines, node):
        comment = self.comments[node.end]
        if len(lines[-1]) + len(comment) < 118 and not lines[-1].startswith("#"):
            lines[-1] += f"  {comment}"
        elif not lines[-1].startswith("#     "):
            lines.insert(0, comment)


def compiles(lines):
    """Refuse a statement that Python cannot read."""
    try:
        ast.parse("\n".join(lines))
    except SyntaxError as error:
        raise Untranslated(f"Python has no way to write this ({error.msg})") from None


def said(notes, line):
    """Notes as comments of at most 110 letters a line."""
    return [row for note in notes for row in textwrap.wrap(
        note.replace("{line}", str(line)), 110, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)]


def _outside_functions(node):
    if isinstance(node, tree.Function):
        return
    yield node
    for child in node.children():
        yield from _outside_functions(child)


def _names(node):
    return {part.name for part in node.walk() if isinstance(part, tree.Name)}


def _column_of(target):
    """The column that d$x, d[["x"]], d[, "x"], d$x[i], levels(d$x) name; None if it may be any."""
    if isinstance(target, tree.Access):
        return target.name if isinstance(target.object, tree.Name) else _column_of(target.object)
    if isinstance(target, tree.Index):
        if not isinstance(target.object, tree.Name):
            return _column_of(target.object)
        last = target.args[-1].value if target.args else None
        return last.value if isinstance(last, tree.Text) else None
    if isinstance(target, tree.Call) and getattr(target.function, "name", "") in ("levels", "contrasts", "attr") and target.args:
        return _column_of(target.args[0].value) if not isinstance(target.args[0].value, tree.Name) else None
    return None


def _has_return(node):
    return any(isinstance(part, tree.Call) and getattr(part.function, "name", "") == "return" for part in node.walk())


