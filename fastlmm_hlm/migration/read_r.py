"""R's own parser: parse() and getParseData() in a process of Rscript."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.migration import tree
from fastlmm_hlm.migration.syntaxerror import RSyntaxError

# One token or expression per line: id, parent, line, column, last line, terminal, token, text as hexadecimal bytes.
PROGRAM = r"""
file <- commandArgs(TRUE)[1]
p <- tryCatch(parse(file, keep.source = TRUE, encoding = "UTF-8"), error = function(e) {
  cat("ERROR ", gsub("\n", "\\\\n", conditionMessage(e)), "\n", sep = ""); quit(status = 0) })
d <- getParseData(p, includeText = NA)
if (is.null(d)) quit(status = 0)
hex <- function(x) paste(format(charToRaw(enc2utf8(x))), collapse = "")
d$text[is.na(d$text)] <- ""
cat(sprintf("%d %d %d %d %d %d %s %s.\n", d$id, d$parent, d$line1, d$col1, d$line2, as.integer(d$terminal),
            d$token, vapply(d$text, hex, "")), sep = "")
"""

BINARY_TOKENS = {
    "'+'", "'-'", "'*'", "'/'", "'^'", "':'", "'~'", "'?'", "GT", "LT", "GE", "LE", "EQ", "NE", "AND", "AND2", "OR", "OR2",
    "SPECIAL", "PIPE", "LEFT_ASSIGN", "RIGHT_ASSIGN", "EQ_ASSIGN",
}


def available():
    """Whether there is an Rscript."""
    return shutil.which("Rscript") is not None


def read(text):
    """The tree of a script.

    Raises
    ------
    RSyntaxError
        With R's message.
    ArgumentError
        If Rscript cannot be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "script.R", Path(folder) / "parse.R"
        source.write_text(text, encoding="utf-8", newline="\n")
        program.write_text(PROGRAM, encoding="utf-8")
        run = subprocess.run(["Rscript", "--vanilla", str(program), str(source)], capture_output=True, text=True, encoding="utf-8")
    if run.returncode:
        raise ArgumentError(f"migrate: Rscript could not read the script: {run.stderr.strip()}")
    if run.stdout.startswith("ERROR "):
        raise _syntax_error(run.stdout[6:].strip())
    return _Reader(run.stdout).script(text)


def _syntax_error(message):
    """R says FILE:LINE:COLUMN: what, then the lines around it."""
    first = message.split("\\n")[0]
    parts = first.split("script.R:", 1)[-1].split(":", 2)
    if len(parts) == 3 and parts[0].isdigit():
        return RSyntaxError(int(parts[0]), parts[2].strip())
    return RSyntaxError(None, first)


class _Reader:
    def __init__(self, table):
        self.rows, self.children, self.comments = {}, {}, []
        for line in table.splitlines():
            key, parent, line1, col, line2, terminal, token, text = line.split(" ")
            row = (int(line1), int(col), int(line2), terminal == "1", token, bytes.fromhex(text[:-1]).decode("utf-8"))
            if token == "COMMENT":
                self.comments.append((row[0], row[1], row[5]))
                continue
            self.rows[int(key)] = row
            self.children.setdefault(int(parent), []).append(int(key))
        for keys in self.children.values():
            keys.sort(key=lambda key: self.rows[key][:2] + (-self.rows[key][2],))

    def script(self, text):
        top = [key for key in self.children.get(0, []) if self.rows[key][4] != "';'"]
        comments = tuple((line, comment) for line, _, comment in sorted(self.comments))
        return tree.Script(tuple(self.node(key) for key in top), comments, tuple(text.split("\n")))

    def token(self, key):
        return self.rows[key][4]

    def text(self, key):
        return self.rows[key][5]

    def node(self, key):
        line, _, end, terminal, token, text = self.rows[key]
        where = {"line": line, "end": end}
        if terminal:
            return self.leaf(key, where)
        kids = [kid for kid in self.children.get(key, []) if self.token(kid) != "';'"]
        tokens = [self.token(kid) for kid in kids]
        if len(kids) == 1:
            return self.node(kids[0])
        first = tokens[0]
        if "NS_GET" in tokens or "NS_GET_INT" in tokens:
            return tree.Name(tree.plain_name(self.text(kids[2])), self.text(kids[0]), **where)
        if first == "'{'":
            return tree.Block(tuple(self.node(kid) for kid in kids[1:-1]), **where)
        if first == "'('":
            return tree.Paren(self.node(kids[1]), **where)
        if first in ("FUNCTION", "'\\\\'"):
            return tree.Function(self.arguments(kids[2:-2]), self.node(kids[-1]), **where)
        if first == "IF":
            return tree.If(self.node(kids[2]), self.node(kids[4]), self.node(kids[6]) if len(kids) > 6 else None, **where)
        if first == "FOR":
            head = self.children[kids[1]]
            return tree.For(tree.plain_name(self.text(head[1])), self.node(head[3]), self.node(kids[2]), **where)
        if first == "WHILE":
            return tree.While(self.node(kids[2]), self.node(kids[4]), **where)
        if first == "REPEAT":
            return tree.While(None, self.node(kids[1]), **where)
        if tokens[1] == "'('":
            return tree.Call(self.node(kids[0]), self.arguments(kids[2:-1]), **where)
        if tokens[1] == "'['":
            return tree.Index(self.node(kids[0]), self.arguments(kids[2:-1]), False, **where)
        if tokens[1] == "LBB":
            return tree.Index(self.node(kids[0]), self.arguments(kids[2:-2]), True, **where)
        if tokens[1] in ("'$'", "'@'"):
            field = self.node(kids[2])
            name = field.value if isinstance(field, tree.Text) else getattr(field, "name", None)
            return tree.Access(self.node(kids[0]), name, tokens[1].strip("'"), **where)
        if len(kids) == 2:
            return tree.Unary(self.text(kids[0]), self.node(kids[1]), **where)
        if len(kids) == 3 and tokens[1] in BINARY_TOKENS:
            return tree.binary(self.text(kids[1]), self.node(kids[0]), self.node(kids[2]), **where)
        raise RSyntaxError(line, f"this piece of R is not known here ({json.dumps(tokens)})")

    def leaf(self, key, where):
        token, text = self.token(key), self.text(key)
        if token == "STR_CONST":
            return tree.Text(tree.text_value(text), **where)
        if token in ("NUM_CONST", "NULL_CONST"):
            return (tree.Constant if text in tree.CONSTANTS else tree.Number)(text, **where)
        if token in ("BREAK", "NEXT"):
            return tree.Jump(text, **where)
        return tree.Name(tree.plain_name(text), **where)

    def arguments(self, kids):
        """Split what stands between brackets at its commas."""
        if not kids:
            return ()
        groups = [[]]
        for kid in kids:
            if self.token(kid) == "','":
                groups.append([])
            else:
                groups[-1].append(kid)
        return tuple(self.argument(group) for group in groups)

    def argument(self, group):
        where = {"line": self.rows[group[0]][0], "end": self.rows[group[-1]][2]} if group else {}
        if not group:
            return tree.Arg(None, None)
        if len(group) > 1 and self.token(group[1]) in ("EQ_SUB", "EQ_FORMALS"):
            name = self.leaf(group[0], {})
            name = name.value if isinstance(name, tree.Text) else name.name
            return tree.Arg(name, self.node(group[2]) if len(group) > 2 else None, **where)
        if self.token(group[0]) == "SYMBOL_FORMALS":
            return tree.Arg(tree.plain_name(self.text(group[0])), None, **where)
        return tree.Arg(None, self.node(group[0]), **where)
