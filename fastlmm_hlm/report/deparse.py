"""Formula text on several lines, broken where R's ``deparse`` breaks it.

R rewrites a formula with its own spacing and starts a new line after the
first operator or comma that comes once a line is longer than 60 characters.
Each level of nesting that was broken adds four spaces.  To find these levels
the text is read with R's operator precedences (?Syntax).
"""

import re

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.report.rformat import format_numbers

CUTOFF = 60
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)"
    r"|(?P<name>(?:[^\W\d_]|\.(?!\d))[\w.]*|`[^`]*`)"
    r"|(?P<string>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')"
    r"|(?P<operator>%[^%\s]*%|\*\*|<=|>=|==|!=|&&|\|\||:::|::|\[\[|[-~+*/^:|&<>!$@=,()\[\]]))"
)
STRENGTH = {"=": 1, "~": 2, "||": 3, "|": 3, "&&": 4, "&": 4}
STRENGTH |= dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), 6)
STRENGTH |= {"+": 7, "-": 7, "*": 8, "/": 8, ":": 10, "^": 12}
STRENGTH |= dict.fromkeys(("$", "@", "::", ":::"), 14)
SPECIAL_STRENGTH = 9
UNARY_STRENGTH = {"~": 2, "!": 5, "+": 11, "-": 11}
CLOSING = {"(": ")", "[": "]"}
TIGHT = frozenset({"/", ":", "^", "$", "@", "::", ":::"})
"""Operators that R writes without spaces and after which it never breaks."""


def deparse_lines(text, cutoff=CUTOFF):
    """The lines on which R would print a formula or a call.

    Parameters
    ----------
    text : str
        Formula or call in R syntax.
    cutoff : int
        A line may be broken once it is longer than this.

    Returns
    -------
    list of str
        Text that cannot be read in this way comes back as it is, line by line.
    """
    try:
        tree = _Reader(text).read()
    except FormulaError:
        return text.splitlines() or [""]
    writer = _Writer(cutoff)
    writer.write_tree(tree)
    return writer.finish()


class _Reader:
    """Operator-precedence reader: text to nested tuples (kind, parts...)."""

    def __init__(self, text):
        self.text = text
        self.tokens = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            match = TOKEN.match(text, at)
            if match is None:
                self.fail(at)
            self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        self.next = 0

    def fail(self, at):
        raise FormulaError(
            f"the text {self.text!r} cannot be read from {self.text[at:]!r} on; "
            "an R formula or call was expected. Check the spelling."
        )

    def read(self):
        tree = self.expression(0)
        if self.next != len(self.tokens):
            self.fail(0)
        return tree

    def peek(self):
        return self.tokens[self.next] if self.next < len(self.tokens) else ("end", "")

    def take(self, expected=None):
        kind, word = self.peek()
        if kind == "end" or (expected is not None and word != expected):
            self.fail(0)
        self.next += 1
        return kind, word

    def expression(self, weakest):
        tree = self.operand()
        while True:
            kind, word = self.peek()
            if kind != "operator":
                return tree
            if word == "**":
                word = "^"
            strength = SPECIAL_STRENGTH if word.startswith("%") else STRENGTH.get(word, -1)
            if strength < max(weakest, 0):
                return tree
            self.take()
            from_right = word in ("^", "=")
            if word == "^":
                right = self.power()
            else:
                right = self.expression(strength if from_right else strength + 1)
            tree = ("binary", word, tree, right)

    def power(self):
        if self.peek()[1] in UNARY_STRENGTH:
            return self.operand()
        return self.expression(STRENGTH["^"])

    def operand(self):
        kind, word = self.take()
        if kind == "operator":
            if word in UNARY_STRENGTH:
                return ("unary", word, self.expression(UNARY_STRENGTH[word]))
            if word != "(":
                self.fail(0)
            tree = ("paren", self.expression(0))
            self.take(")")
        elif kind == "number":
            tree = ("word", _number(word))
        elif kind == "string":
            tree = ("word", _quoted(word))
        else:
            tree = ("word", word)
        return self.calls(tree)

    def calls(self, tree):
        while self.peek()[1] in ("(", "[", "[["):
            _, opening = self.take()
            closing = "]" if opening == "[[" else CLOSING[opening]
            arguments = []
            while self.peek()[1] != closing:
                empty = opening != "(" and self.peek()[1] == ","
                arguments.append(("word", "") if empty else self.expression(0))
                if self.peek()[1] != closing:
                    self.take(",")
                    if self.peek()[1] == closing:
                        arguments.append(("word", ""))
            self.take(closing)
            if opening == "[[":
                self.take(closing)
                closing = "]]"
            tree = ("call", tree, opening, closing, arguments)
        return tree


def _number(word):
    if word.endswith("L"):
        return word
    return format_numbers([float(word)], digits=15)[0]


def _quoted(word):
    if word.startswith('"'):
        return word
    return '"' + word[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


class _Writer:
    """Lines under construction, with R's rule for breaking them."""

    def __init__(self, cutoff):
        self.cutoff = cutoff
        self.lines = []
        self.line = ""
        self.indent = 0

    def put(self, text):
        if not self.line and self.lines:
            self.line = "    " * min(self.indent, 4) + "  " * max(0, self.indent - 4)
        self.line += text

    def break_if_long(self, broken):
        """Start a new line if this one is long; True once a node is broken."""
        if len(self.line) <= self.cutoff:
            return broken
        if not broken:
            self.indent += 1
        self.lines.append(self.line)
        self.line = ""
        return True

    def finish(self):
        return [*self.lines, self.line]

    def write_tree(self, tree):
        kind = tree[0]
        if kind == "word":
            self.put(tree[1])
        elif kind == "paren":
            self.put("(")
            self.write_tree(tree[1])
            self.put(")")
        elif kind == "unary":
            self.put(tree[1])
            self.write_tree(tree[2])
        elif kind == "binary":
            self.write_binary(tree)
        else:
            self.write_call(*tree[1:])

    def write_binary(self, tree):
        """A chain such as a + b + c is walked, not recursed into: it may be long."""
        chain = []
        while tree[0] == "binary":
            _, operator, tree, right = tree
            chain.append((operator, right))
        self.write_tree(tree)
        for operator, right in reversed(chain):
            self.put(operator if operator in TIGHT else f" {operator} ")
            breakable = operator not in TIGHT and operator != "=" and not operator.startswith("%")
            broken = self.break_if_long(False) if breakable else False
            self.write_tree(right)
            self.indent -= broken

    def write_call(self, function, opening, closing, arguments):
        self.write_tree(function)
        self.put(opening)
        broken = False
        for k, argument in enumerate(arguments):
            if k > 0:
                self.put(", ")
                broken = self.break_if_long(broken)
            self.write_tree(argument)
        self.indent -= broken
        self.put(closing)
