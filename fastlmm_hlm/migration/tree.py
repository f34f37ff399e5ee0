"""The syntax tree of an R script, the same from every parser.

Lines are positions in the source and do not count when trees are compared.
"""

from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Node:
    """A piece of R: first and last line in the script."""

    line: int = field(default=0, compare=False, kw_only=True)
    end: int = field(default=0, compare=False, kw_only=True)

    def children(self):
        """Nodes directly below this one."""
        for part in fields(self):
            value = getattr(self, part.name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Node):
                    yield item

    def walk(self):
        """This node and all below it."""
        yield self
        for child in self.children():
            yield from child.walk()


@dataclass(frozen=True)
class Name(Node):
    name: str
    package: str | None = None


@dataclass(frozen=True)
class Number(Node):
    """A number; `text` is what the script says (2, 2L, 1e3)."""

    text: str

    @property
    def value(self):
        """int or float; a number without a fraction is an int, as it prints in R."""
        text = self.text.rstrip("L")
        number = int(text, 16) if text.lower().startswith("0x") else float(text)
        return int(number) if number == int(number) and abs(number) < 1e15 else number


@dataclass(frozen=True)
class Text(Node):
    value: str


@dataclass(frozen=True)
class Constant(Node):
    """TRUE, FALSE, NULL, NA, Inf, NaN."""

    name: str


@dataclass(frozen=True)
class Arg(Node):
    """An argument, or a parameter with its default; an empty one has no value."""

    name: str | None
    value: Node | None


@dataclass(frozen=True)
class Call(Node):
    function: Node
    args: tuple = ()


@dataclass(frozen=True)
class Index(Node):
    """x[...] or, doubled, x[[...]]."""

    object: Node
    args: tuple
    double: bool


@dataclass(frozen=True)
class Access(Node):
    """x$name or x@name."""

    object: Node
    name: str
    operator: str


@dataclass(frozen=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(frozen=True)
class Binary(Node):
    """Arithmetic, comparisons, formulas (~, |) and pipes."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Assign(Node):
    """target <- value, whichever way it is written; `outer` for <<-."""

    target: Node
    value: Node
    outer: bool = False


@dataclass(frozen=True)
class Function(Node):
    params: tuple
    body: Node


@dataclass(frozen=True)
class Block(Node):
    body: tuple


@dataclass(frozen=True)
class Paren(Node):
    inner: Node


@dataclass(frozen=True)
class If(Node):
    condition: Node
    then: Node
    otherwise: Node | None = None


@dataclass(frozen=True)
class For(Node):
    variable: str
    sequence: Node
    body: Node


@dataclass(frozen=True)
class While(Node):
    """while; without a condition: repeat."""

    condition: Node | None
    body: Node


@dataclass(frozen=True)
class Jump(Node):
    """break or next."""

    word: str


@dataclass(frozen=True)
class Script:
    """Statements, comments as (line, text), and the lines of the source."""

    statements: tuple
    comments: tuple = field(compare=False)
    lines: tuple = field(compare=False)


CONSTANTS = {"TRUE", "FALSE", "NULL", "NA", "NA_integer_", "NA_real_", "NA_character_", "Inf", "NaN"}
LEFT_ASSIGN, RIGHT_ASSIGN = {"<-", "<<-", "=", ":="}, {"->", "->>"}


def plain_name(text):
    """A name without its backticks."""
    return text[1:-1].replace("\\`", "`") if text.startswith("`") else text


def binary(operator, left, right, **where):
    """A Binary or, for an arrow, an Assign."""
    if operator in RIGHT_ASSIGN:
        return Assign(right, left, outer=operator == "->>", **where)
    if operator in LEFT_ASSIGN - {":="}:
        return Assign(left, right, outer=operator == "<<-", **where)
    return Binary(operator, left, right, **where)


ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def text_value(source):
    """The value of a string constant of R, with its escapes or raw."""
    if source[0] in "rR":
        body = source[2:-1].lstrip("-")
        dashes = len(source[2:-1]) - len(body)
        return body[1:len(body) - dashes - 1]
    body, out, k = source[1:-1], [], 0
    while k < len(body):
        if body[k] != "\\":
            out.append(body[k])
            k += 1
            continue
        letter = body[k + 1]
        if letter in "xuU":
            braced = body[k + 2:k + 3] == "{"
            start = k + 2 + braced
            stop = start
            while stop < len(body) and stop - start < {"x": 2, "u": 4, "U": 8}[letter] and body[stop] in "0123456789abcdefABCDEF":
                stop += 1
            out.append(chr(int(body[start:stop], 16)))
            k = stop + braced
        else:
            out.append(ESCAPES.get(letter, letter))
            k += 2
    return "".join(out)
