"""What is known of a translated expression: its Python source, how tightly it binds, and what it will be."""

from dataclasses import dataclass, field, replace

# How tightly Python binds.
ATOM, POWER, SIGN, TIMES, PLUS, AND, OR, COMPARE, NOT, BOTH, EITHER, CHOICE = 20, 15, 14, 12, 11, 9, 8, 7, 6, 5, 4, 3


class Untranslated(Exception):
    """Why a statement stays in R."""


@dataclass(frozen=True)
class Value:
    """A translated expression.

    Attributes
    ----------
    code : str
    kind : str
        number, text, bool, none: one of them.  numbers, texts, bools: a NumPy array or a list of Python.
        column: a column of a data frame.  series: values with names.  mask: a condition on rows.
        frame: a data frame.  table: a result with named rows and columns.  fit, groups (ranef, coef), varcorr,
        summary, emmeans, emmlist.  formula.  list: of values.  function.  result: only to be printed.
    items : tuple of Value, or None
        Elements, if the script writes them out; `names` their names.
    info
        Facts that belong to the kind: Frame, Fit, Mask, List, Column, ...
    visible : bool
        Whether R prints it at top level.
    """

    code: str
    kind: str
    prec: int = ATOM
    items: tuple | None = None
    names: tuple | None = None
    info: object = None
    visible: bool = True

    def bound(self, prec):
        """Source, in parentheses if it binds less tightly than its place needs."""
        return self.code if self.prec >= prec else f"({self.code})"

    @property
    def literal(self):
        """Elements as a list of Python."""
        return "[" + ", ".join(item.code for item in self.items) + "]" if self.items is not None else self.code


@dataclass(frozen=True)
class Frame:
    """A data frame: kinds of its columns (number, text, factor, ordered, bool), all of them if `complete`."""

    columns: dict = field(default_factory=dict)
    complete: bool = False
    broken: dict = field(default_factory=dict)     # columns that R changes and Python does not: line
    texts_are_factors: bool = False

    def kind_of(self, column):
        return self.columns.get(column)

    def with_column(self, column, kind):
        left = {name: line for name, line in self.broken.items() if name != column}
        return replace(self, columns={**self.columns, column: kind}, broken=left)


@dataclass(frozen=True)
class Column:
    """Where a column is from: the source of its frame, its name, and its kind."""

    frame: str
    name: str | None
    kind: str | None


@dataclass(frozen=True)
class Mask:
    """A condition: where it is surely false, where it is missing (sources), both as Values or None if never."""

    no: Value
    missing: tuple = ()


@dataclass(frozen=True)
class Fit:
    """A fitted model: its formula, if it is written out, whether lmerTest made it, its data frame, what that held
    when it was fitted, and the contrasts of options() at that time."""

    formula: object = None
    tested: bool = False
    data: str | None = None
    held: object = field(default=None, compare=False)
    contrasts: str | None = None


@dataclass(frozen=True)
class List:
    """A list: one Value that stands for all elements, how elements are found (names, numbers, places)."""

    element: Value | None
    keys: str
    known: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A variable that R has and Python has not."""

    line: int


@dataclass(frozen=True)
class Variable:
    """A variable: its name in Python and what it holds."""

    python: str
    value: Value
