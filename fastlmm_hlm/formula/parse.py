"""The parser: R's operator precedence by binding powers (Pratt, 1973).

From loosest to tightest, as in R's ?Syntax:
    ~   | ||   & &&   !   == != < > <= >=   + -   * /   %in%   :   unary + -   ^
All associate to the left except ^; comparisons do not chain.
"""
from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.syntax import Argument, Binary, Call, Constant, Name, Number, Paren, Text, Unary, pointed_error
from fastlmm_hlm.formula.tokens import tokenize

_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
INFIX = {"~": 10, "|": 20, "||": 20, "&": 30, "&&": 30, **dict.fromkeys(_COMPARISONS, 50),
         "+": 60, "-": 60, "*": 70, "/": 70, "%in%": 80, "%%": 80, "%/%": 80, ":": 90, "^": 110}
PREFIX = {"~": 10, "!": 40, "-": 100, "+": 100}
_DEEPEST = 60

_REFUSED = {
    "<-": "'<-' assigns; a formula cannot assign. Write '< -' with a space to compare with a negative number.",
    "->": "'->' assigns; a formula cannot assign.",
    ":=": "':=' has no place in a formula.",
    "|>": "the pipe '|>' is not available in formulas; write f(x) instead of x |> f().",
    "=": "'=' has no place here; a formula puts '~' between response and predictors, and '==' compares.",
}


def parse_expression(text):
    """Parse the text of a formula, or of an expression in a formula.

    Parameters
    ----------
    text : str

    Returns
    -------
    Node

    Raises
    ------
    FormulaError
        If the text is not an R formula; the message has a caret under the
        token that cannot be understood.
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is text such as 'y ~ x + (1 | g)', not {type(text).__name__}.")
    if not text.strip():
        raise FormulaError("the formula is empty; write something like 'y ~ x + (1 | g)'.")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text):
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0
        self.depth = 0

    @property
    def token(self):
        return self.tokens[self.at]

    def advance(self):
        token = self.tokens[self.at]
        self.at += 1
        return token

    def error(self, token, message):
        return pointed_error(self.text, token.pos, message)

    def is_op(self, *values):
        return self.token.kind == "op" and self.token.value in values

    def parse(self):
        if self.token.kind == "end":
            raise self.error(self.token, "the formula is empty; write something like 'y ~ x + (1 | g)'.")
        node = self.expression(0)
        if self.token.kind != "end":
            raise self.unexpected(self.token)
        return node

    def unexpected(self, token):
        if token.kind == "op" and token.value in _REFUSED:
            return self.error(token, _REFUSED[token.value])
        if token.kind == "op" and token.value == ")":
            return self.error(token, "this ')' closes nothing; remove it or add the '(' that is missing.")
        if token.kind == "op" and token.value == ",":
            return self.error(token, "',' separates arguments of a function and has no place here.")
        if token.kind == "op" and token.value == "(":
            return self.error(token, "'(' follows a value with no operator between them; write '+', '*' or ':' before it.")
        if token.kind == "op" and token.value.startswith("%"):
            return self.error(token, f"the operator {token.value} is not available; formulas know %in%, %% and %/%.")
        if token.kind == "op":
            return self.error(token, f"{token.value!r} has no place here.")
        shown = f"{token.value:g}" if isinstance(token.value, float) else token.value
        return self.error(token, f"{shown!r} follows another value with no operator between them; write '+', '*' or ':' between two terms.")

    def expression(self, power):
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(self.token, f"the formula is nested more than {_DEEPEST} levels deep; make some of it columns of the data.")
        left = self.prefix()
        while self.token.kind == "op":
            token = self.token
            op = "^" if token.value == "**" else token.value
            if op not in INFIX or INFIX[op] < power:
                break
            self.advance()
            right = self.expression(INFIX[op] if op == "^" else INFIX[op] + 1)
            left = Binary(op, left, right, pos=token.pos)
            if op in _COMPARISONS and self.is_op(*_COMPARISONS):
                raise self.error(self.token, f"comparisons cannot be chained; write 'a {op} b & b {self.token.value} c'.")
        self.depth -= 1
        return left

    def prefix(self):
        token = self.advance()
        if token.kind == "name":
            if self.is_op("::", ":::"):
                return self.package_call(token)
            if self.is_op("("):
                return self.call(token.value, token)
            return Name(token.value, pos=token.pos)
        if token.kind in ("number", "integer"):
            return Number(token.value, token.kind == "integer", pos=token.pos)
        if token.kind == "text":
            return Text(token.value, pos=token.pos)
        if token.kind == "constant":
            return Constant(token.value, pos=token.pos)
        if token.kind == "op" and token.value == "(":
            inner = self.expression(0)
            self.close(token)
            return Paren(inner, pos=token.pos)
        if token.kind == "op" and token.value in PREFIX:
            return Unary(token.value, self.expression(PREFIX[token.value]), pos=token.pos)
        if token.kind == "end":
            before = self.tokens[self.at - 2] if self.at > 1 else token
            raise self.error(token, f"the formula ends after {before.value!r}, where another term was expected.")
        if token.value in INFIX or token.value == "**":
            raise self.error(token, f"{token.value!r} needs a term on its left.")
        if token.value == ")":
            raise self.error(token, "a term was expected before this ')'.")
        raise self.unexpected(token)

    def package_call(self, package):
        self.advance()
        function = self.advance()
        if function.kind != "name" or not self.is_op("("):
            raise self.error(function, f"a function call was expected after '{package.value}::'.")
        return self.call(f"{package.value}::{function.value}", package)

    def close(self, opening):
        if not self.is_op(")"):
            if self.token.kind == "end":
                raise self.error(opening, "this '(' is never closed; add the missing ')'.")
            raise self.unexpected(self.token)
        self.advance()

    def call(self, function, name):
        opening = self.advance()
        args = []
        if not self.is_op(")"):
            args.append(self.argument())
            while self.is_op(","):
                self.advance()
                args.append(self.argument())
        self.close(opening)
        return Call(function, tuple(args), pos=name.pos)

    def argument(self):
        token, following = self.token, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        name = None
        if token.kind in ("name", "text") and following.kind == "op" and following.value == "=":
            name = token.value
            self.advance()
            self.advance()
        if self.is_op(",", ")"):
            raise self.error(self.token, "an argument is missing here.")
        return Argument(name, self.expression(0), pos=token.pos)
