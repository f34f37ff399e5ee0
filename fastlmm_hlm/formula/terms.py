"""R's algebra of terms: from the right side of a formula to a list of terms.

A term is a set of variables; a variable is a name or a whole call such as
log(x).  The rules are those of ?formula and ?terms.formula: `+ - * / : ^ %in%`
combine lists of terms, equal terms count once, terms are ordered by the
number of their variables, and within one term the variables stand in the
order in which the formula first mentions them.
"""
from dataclasses import dataclass

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.syntax import Binary, Call, Constant, Name, Number, Text, Unary, summands, unwrap

_ALGEBRA = {"+", "-", "*", "/", ":", "^", "%in%"}


@dataclass(frozen=True)
class TermList:
    """The terms of one right side.

    Attributes
    ----------
    variables : dict of str to Node
        Every variable by its text, in the order of the formula, offsets included.
    terms : tuple of tuple of str
        The variables of each term, in R's order of terms.
    intercept : bool
    offsets : tuple of Node
        The expressions inside offset().
    """

    variables: dict
    terms: tuple
    intercept: bool
    offsets: tuple = ()

    @property
    def labels(self):
        """Term labels such as "a:b", as attr(terms, "term.labels")."""
        return [":".join(term) for term in self.terms]


def expand_terms(node, dot=None, first=()):
    """Expand the right side of a formula by R's rules.

    Parameters
    ----------
    node : Node
        The right side, without random terms.
    dot : list of str or None
        The columns that `.` stands for; None when there are no data to ask.
    first : iterable of str
        Names that come before all others when the variables of a term are
        put in order, such as the response.

    Returns
    -------
    TermList

    Raises
    ------
    FormulaError
        For numbers other than 0 and 1, powers that are not whole numbers, a
        `.` without data, bars without parentheses and offsets in interactions.
    """
    expansion = _Expansion(dot, first)
    terms = expansion.encode(node)
    terms = sorted(dict.fromkeys(terms), key=lambda term: term.bit_count())
    names = list(expansion.order)
    kept, offsets = [], []
    for term in terms:
        members = tuple(name for i, name in enumerate(names) if term >> i & 1)
        offset_members = [m for m in members if is_offset(expansion.nodes[m])]
        if not offset_members:
            kept.append(members)
        elif len(members) == 1:
            offsets.append(offset_expression(expansion.nodes[members[0]]))
        else:
            raise FormulaError(f"{offset_members[0]} is part of the interaction {':'.join(members)}; an offset enters a model by '+' only.")
    return TermList(expansion.nodes, tuple(kept), expansion.intercept, tuple(offsets))


def is_offset(node):
    """Tell whether a variable is a call of offset()."""
    return isinstance(node, Call) and node.function.rpartition("::")[2] == "offset"


def offset_expression(node):
    """Return what stands inside offset()."""
    if len(node.args) != 1:
        raise FormulaError(f"{deparse(node)} has {len(node.args)} arguments; offset() takes one expression.")
    return node.args[0].value


class _Expansion:
    """The walk over one right side; a term is an int whose bits are variables."""

    def __init__(self, dot, first):
        self.dot = dot
        self.order = {name: i for i, name in enumerate(first)}
        self.nodes = {}
        self.intercept = True
        self.removing = False

    def variable(self, node):
        text = deparse(node)
        self.order.setdefault(text, len(self.order))
        self.nodes.setdefault(text, node)
        return [1 << self.order[text]]

    def encode(self, node):
        node = unwrap(node)
        if isinstance(node, Binary) and node.op in "+-" or isinstance(node, Unary) and node.op in "+-":
            return self.encode_sum(node)
        if isinstance(node, Binary) and node.op in _ALGEBRA:
            if node.op == "^":
                return self.encode_power(node)
            return self.combine(node.op, self.encode(node.left), self.encode(node.right))
        if isinstance(node, Name) and node.text == ".":
            return self.encode_dot()
        if isinstance(node, Number):
            return self.encode_number(node)
        if isinstance(node, (Text, Constant)):
            raise FormulaError(f"{deparse(node)} is not a variable; a formula is made of columns, functions of them, 0 and 1.")
        if isinstance(node, Binary) and node.op in ("|", "||"):
            raise FormulaError(f"the random term {deparse(node)} needs parentheses of its own: write ({deparse(node)}).")
        if isinstance(node, (Binary, Unary)) and node.op == "~":
            raise FormulaError(f"'~' stands inside {deparse(node)}; a formula has one '~'.")
        return self.variable(node)

    def encode_sum(self, node):
        total = {}
        for sign, part in summands(node):
            if sign == "+":
                total.update(dict.fromkeys(self.encode(part)))
            else:
                self.removing = not self.removing
                for term in self.encode(part):
                    total.pop(term, None)
                self.removing = not self.removing
        return list(total)

    def encode_number(self, node):
        if node.value not in (0, 1):
            raise FormulaError(f"the number {deparse(node)} stands in the formula as a term; only 1 (intercept) and 0 (no intercept) can. For arithmetic write I(...).")
        self.intercept = (node.value == 1) != self.removing
        return []

    def encode_dot(self):
        if self.dot is None:
            raise FormulaError("'.' stands for the other columns of the data and can only be used in the fixed part.")
        return [term for name in self.dot for term in self.variable(Name(name))]

    def encode_power(self, node):
        power = unwrap(node.right)
        if not isinstance(power, Number) or power.value != int(power.value) or not 1 <= power.value <= 20:
            raise FormulaError(f"in {deparse(node)} the power is {deparse(power)}; '^' between terms takes a whole number from 1 up. For arithmetic write I({deparse(node)}).")
        base = self.encode(node.left)
        terms = base
        for _ in range(int(power.value) - 1):
            longer = list(dict.fromkeys(a | b for a in base for b in terms))
            if set(longer) == set(terms):
                break
            terms = longer
        return terms

    @staticmethod
    def combine(op, left, right):
        both = [a | b for a in left for b in right]
        if op == "*":
            return [*left, *right, *both]
        if op == ":":
            return both
        if op == "/":
            within = 0
            for term in left:
                within |= term
            return [*left, *(within | b for b in right)]
        within = 0
        for term in right:
            within |= term
        return [a | within for a in left]


def full_dummy_factors(terms, factors, intercept):
    """Find which factors of which terms are coded by all their dummy columns.

    R's rule: a factor in a term is coded by contrasts if the term without that
    factor (its margin) is part of an earlier term, or empty; by full dummies
    otherwise.  Without an intercept the first factor of the model has full
    dummies as well.

    Parameters
    ----------
    terms : sequence of tuple of str
        In the order of the model, as from `expand_terms`.
    factors : set of str
        The variables that are factors.
    intercept : bool

    Returns
    -------
    list of set of str
        For each term the factors with full dummies.
    """
    full, earlier = [], []
    first_factor_pending = not intercept
    for term in terms:
        members = frozenset(term)
        dummies = set()
        for name in term:
            if name not in factors:
                continue
            margin = members - {name}
            if margin and not any(margin <= other for other in earlier):
                dummies.add(name)
            if first_factor_pending:
                dummies.add(name)
                first_factor_pending = False
        full.append(dummies)
        earlier.append(members)
    return full
