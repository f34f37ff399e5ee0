"""From the text of a formula to its tokens, by R's lexical rules."""
import re
from dataclasses import dataclass

from fastlmm_hlm.formula.syntax import pointed_error

_SPACE = re.compile(r"(?:[ \t\r\n\f\u00a0]|#[^\n]*)+")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAME = re.compile(r"(?:[^\W\d_]|\.(?![0-9]))[\w.]*")
_OPERATOR = re.compile(r"%[^%\n]*%|\*\*|<=|>=|==|!=|&&|\|\||:::?|\|>|<-|->|:=|[-+*/^:~|&!<>(),=]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'", "`": "`", " ": " "}

RESERVED = {"if", "else", "repeat", "while", "function", "for", "next", "break", "in"}
CONSTANTS = {"TRUE", "FALSE", "NULL", "NA", "Inf", "NaN"}

_REFUSED = {
    "$": "'$' takes a column out of another object; name the column itself, the data are given by data=.",
    "@": "'@' is not available in formulas; name a column of the data.",
    "[": "indexing with [ ] is not available in formulas; make the column in the data first and name it here.",
    "]": "']' has no place in a formula.",
    "{": "'{' has no place in a formula.",
    "}": "'}' has no place in a formula.",
    ";": "';' has no place in a formula; a formula is one expression.",
    "\\": "functions cannot be defined inside a formula.",
    "?": "'?' has no place in a formula.",
    "_": "a name cannot start with '_' in R; put such a column in backticks, as in `_x`.",
}


@dataclass(frozen=True)
class Token:
    """One token: its kind (name, number, integer, text, constant, op, end), value and place."""

    kind: str
    value: object
    pos: int
    quoted: bool = False


def tokenize(text):
    """Split a formula into tokens.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of Token
        Ends with a token of kind "end".

    Raises
    ------
    FormulaError
        At a character that R's grammar of formulas does not know, an
        unfinished string, or syntax such as `x[1]` and `d$x`.
    """
    tokens, pos = [], 0
    while True:
        space = _SPACE.match(text, pos)
        pos = space.end() if space else pos
        if pos >= len(text):
            tokens.append(Token("end", "end of the formula", len(text)))
            return tokens
        token, pos = _next_token(text, pos)
        tokens.append(token)


def _next_token(text, pos):
    char = text[pos]
    if char in "'\"`":
        value, end = _read_quoted(text, pos, char)
        if char == "`" and not value:
            raise pointed_error(text, pos, "a name in backticks is empty; put the column's name between them.")
        return Token("name" if char == "`" else "text", value, pos, quoted=True), end
    number = _NUMBER.match(text, pos)
    if number:
        return _number_token(text, pos, number)
    name = _NAME.match(text, pos)
    if name:
        word = name.group()
        if word in RESERVED:
            raise pointed_error(text, pos, f"'{word}' is a word of the R language; a column of that name goes in backticks, as in `{word}`.")
        if word.startswith("NA_"):
            word = "NA"
        return Token("constant" if word in CONSTANTS else "name", word, pos), name.end()
    operator = _OPERATOR.match(text, pos)
    if operator:
        return Token("op", operator.group(), pos), operator.end()
    if char in _REFUSED:
        raise pointed_error(text, pos, _REFUSED[char])
    raise pointed_error(text, pos, f"the character {char!r} has no meaning in a formula; put unusual column names in backticks.")


def _number_token(text, pos, match):
    end, digits = match.end(), match.group()
    value = float(int(digits, 16)) if digits[:2] in ("0x", "0X") else float(digits)
    kind = "number"
    if text[end : end + 1] == "L":
        kind, end = "integer", end + 1
        if value != int(value) if abs(value) < 2.0**63 else True:
            raise pointed_error(text, pos, f"{digits}L is not a whole number.")
    if end < len(text) and (text[end].isalnum() or text[end] in "._"):
        raise pointed_error(text, pos, f"a name cannot start with a digit; put a column called {_word_at(text, pos)!r} in backticks.")
    return Token(kind, value, pos), end


def _word_at(text, pos):
    return re.match(r"[\w.]+", text[pos:]).group()


def _read_quoted(text, pos, quote):
    out, i = [], pos + 1
    while i < len(text):
        char = text[i]
        if char == quote:
            return "".join(out), i + 1
        if char == "\\":
            escape = text[i + 1 : i + 2]
            if escape not in _ESCAPES or not escape:
                raise pointed_error(text, i, f"the escape '\\{escape}' is not known; write '\\\\' for a backslash.")
            out.append(_ESCAPES[escape])
            i += 2
        else:
            out.append(char)
            i += 1
    raise pointed_error(text, pos, f"the quote {quote} is opened here and never closed.")
