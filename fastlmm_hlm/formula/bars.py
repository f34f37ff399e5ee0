"""Random terms: finding them in a formula and writing each in its plainest form.

(x || g) is split by terms, as lme4 1.1-31 does; (1 | a/b) becomes (1 | b:a)
and (1 | a); (1 | a*b) becomes (1 | a), (1 | b) and (1 | a:b).
"""
from dataclasses import dataclass

from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.syntax import Binary, Call, Constant, Name, Node, Number, Paren, add_up, children, summands, unwrap
from fastlmm_hlm.formula.terms import expand_terms

COVARIANCES = {"us": False, "diag": False, "cs": False, "ar1": True}


@dataclass(frozen=True)
class Bar:
    """One random term (lhs | group).

    Attributes
    ----------
    lhs : Node
    group : Node
        A name, an interaction of names, or a call that gives a factor.
    covariance : str
        "us", "diag", "cs" or "ar1".
    hom : bool
        Whether all columns share one variance.
    """

    lhs: Node
    group: Node
    covariance: str = "us"
    hom: bool = False

    @property
    def group_name(self):
        """The name of the grouping factor as lme4 writes it, e.g. "b:a"."""
        return self.group.text if isinstance(self.group, Name) else deparse(self.group)

    @property
    def text(self):
        """The term as text, e.g. "(Days | Subject)" or "cs(1 + x | g)"."""
        inside = f"{deparse(self.lhs)} | {deparse(self.group)}"
        if self.covariance == "us":
            return f"({inside})"
        hom = "" if self.hom == COVARIANCES[self.covariance] else f", hom = {str(self.hom).upper()}"
        return f"{self.covariance}({inside}{hom})"


def split_bars(rhs):
    """Separate a right side into its fixed part and its random terms.

    Parameters
    ----------
    rhs : Node

    Returns
    -------
    fixed : Node
        The right side without random terms; 1 if nothing else is left.
    random : list of Node
        The random terms as written, without their parentheses.

    Raises
    ------
    FormulaError
        If a bar has no parentheses of its own, stands inside another bar, or
        is subtracted, crossed or nested like a fixed term.
    """
    fixed, random = [], []
    _split(rhs, "+", fixed, random)
    return (add_up(fixed) if fixed else Number(1.0)), random


def _split(node, sign, fixed, random):
    for inner_sign, part in summands(node):
        part_sign = "+" if inner_sign == sign else "-"
        term = as_random_term(part)
        if term is not None:
            if part_sign == "-":
                raise FormulaError(f"the random term {deparse(part)} is subtracted; random terms are added with '+'. Leave it out instead.")
            random.append(term)
        elif isinstance(part, Paren) and _holds_bar(part):
            _split(part.inner, part_sign, fixed, random)
        elif _holds_bar(part):
            raise _misplaced(part)
        else:
            fixed.append((part_sign, part))


def as_random_term(node):
    """Return the random term a node is, or None.

    Parameters
    ----------
    node : Node
        `(x | g)` in its parentheses, or `cs(x | g)` and its kin.

    Returns
    -------
    Binary, Call or None
    """
    if isinstance(node, Paren) and _is_bar(unwrap(node)):
        return unwrap(node)
    if isinstance(node, Call) and node.function.rpartition("::")[2] in COVARIANCES and node.args and _is_bar(unwrap(node.args[0].value)):
        return node
    return None


def _is_bar(node):
    return isinstance(node, Binary) and node.op in ("|", "||")


def _holds_bar(node):
    """Whether a bar stands where R's terms are read, that is outside function calls."""
    if _is_bar(node):
        return True
    if isinstance(node, Call):
        return as_random_term(node) is not None
    if isinstance(node, Binary) and node.op in "+-":
        return any(_holds_bar(part) for _, part in summands(node))
    return any(_holds_bar(child) for child in children(node))


def _misplaced(node):
    if _is_bar(node):
        left, right = deparse(node.left), unwrap(node.right)
        if isinstance(right, Binary) and right.op == "+":
            group = summands(right)[0][1]
            rest = " + ".join(deparse(part) for _, part in summands(right)[1:])
            return FormulaError(f"the random term in '{deparse(node)}' has no parentheses, so {rest} is read as part of its grouping factor. Write ({left} {node.op} {deparse(group)}) + {rest}.")
        return FormulaError(f"the random term '{deparse(node)}' has no parentheses: write ({deparse(node)}), with fixed terms outside.")
    return FormulaError(f"a random term stands inside {deparse(node)}; random terms are added with '+', as in y ~ x + (1 | g).")


def plain_bars(term):
    """Write one random term as bars with one grouping factor each.

    Parameters
    ----------
    term : Binary or Call
        As `split_bars` returns it.

    Returns
    -------
    list of Bar
        In lme4's order: innermost factor of a nesting first.

    Raises
    ------
    FormulaError
        For a nested bar, a grouping expression that cannot be one factor, or
        arguments that the covariance structure does not have.
    """
    covariance, hom = "us", False
    shown = deparse(term)
    if isinstance(term, Call):
        covariance = term.function.rpartition("::")[2]
        hom = _hom_argument(term, covariance)
        term = unwrap(term.args[0].value)
    if _nests_bar(term.left) or _nests_bar(term.right):
        raise FormulaError(f"the random term {shown} has a bar inside a bar; give each its own parentheses, as in (1 | a) + (1 | b).")
    if term.op == "||" and covariance != "us":
        raise FormulaError(f"{shown} joins '||' with {covariance}(); use one bar, the structure says the rest.")
    groups = _expand_group(term.right, shown)
    sides = _split_double_bar(term.left) if term.op == "||" else [term.left]
    return [Bar(unwrap(side), group, covariance, hom) for side in sides for group in groups]


def _nests_bar(node):
    """Whether a bar stands in a side of a bar, outside function calls."""
    stack = [node]
    while stack:
        node = stack.pop()
        if _is_bar(node) or as_random_term(node) is not None:
            return True
        if not isinstance(node, Call):
            stack.extend(children(node))
    return False


def _hom_argument(call, covariance):
    hom = COVARIANCES[covariance]
    for argument in call.args[1:]:
        value = unwrap(argument.value)
        truth = {"TRUE": True, "FALSE": False, "T": True, "F": False}.get(getattr(value, "text", None))
        if argument.name not in (None, "hom") or len(call.args) > 2 or truth is None or not isinstance(value, (Constant, Name)):
            raise FormulaError(f"{deparse(call)} has an argument that {covariance}() does not know; it takes a bar and hom = TRUE or FALSE.")
        if covariance == "us" and truth:
            raise FormulaError(f"{deparse(call)} asks for equal variances in an unstructured covariance; use cs(..., hom = TRUE).")
        hom = truth
    return hom


def _split_double_bar(lhs):
    terms = expand_terms(lhs)
    sides = [Number(1.0)] if terms.intercept else []
    for term in terms.terms:
        product = terms.variables[term[0]]
        for name in term[1:]:
            product = Binary(":", product, terms.variables[name])
        sides.append(Binary("+", Number(0.0), product))
    if not sides:
        raise FormulaError(f"the left side of ({deparse(lhs)} || ...) is empty; write (1 | g) for a random intercept.")
    return sides


def _expand_group(node, shown):
    """Return the grouping factors that a grouping expression stands for."""
    node = unwrap(node)
    if isinstance(node, Binary) and node.op == "/":
        outer, right = node.left, node.right
        within = _expand_group(outer, shown)
        inner = _single_factor(right, shown)
        return [Binary(":", inner, within[0]), *within]
    if isinstance(node, Binary) and node.op == "*":
        left, right = _single_factor(node.left, shown), _single_factor(node.right, shown)
        return [left, right, Binary(":", left, right)]
    return [_single_factor(node, shown)]


def _single_factor(node, shown):
    node = unwrap(node)
    if isinstance(node, Name) and node.text != ".":
        return node
    if isinstance(node, Binary) and node.op in (":", "%in%"):
        return Binary(":", _single_factor(node.left, shown), _single_factor(node.right, shown))
    if isinstance(node, Call):
        return node
    if isinstance(node, Binary) and node.op in "+-":
        raise FormulaError(f"the grouping factor of ({shown}) is the sum {deparse(node)}; a random term has one grouping factor. Write one term for each, as in (1 | a) + (1 | b), or (1 | a:b) for their combinations.")
    if isinstance(node, (Number, Constant)):
        raise FormulaError(f"the grouping factor of ({shown}) is the constant {deparse(node)}; name a column that tells the groups apart.")
    raise FormulaError(f"the grouping factor of ({shown}) is {deparse(node)}; it must be a column, a:b, a/b or a*b, or a function that gives a factor.")


def group_components(node):
    """Return the parts of an interaction of grouping factors, outermost level first.

    Parameters
    ----------
    node : Node

    Returns
    -------
    list of Node
    """
    node = unwrap(node)
    if isinstance(node, Binary) and node.op == ":":
        return [*group_components(node.left), *group_components(node.right)]
    return [node]


def refuse_duplicates(bars):
    """Refuse random terms that would estimate the same variance twice.

    Parameters
    ----------
    bars : list of Bar

    Raises
    ------
    FormulaError
        If two terms of one grouping factor share an intercept or a slope, as
        (1 | g) + (1 | g) or (x | g) + (1 | g).
    """
    seen = {}
    for bar in bars:
        key = frozenset(deparse(part) for part in group_components(bar.group))
        terms = expand_terms(bar.lhs)
        columns = ["the intercept"] if terms.intercept else []
        columns += [f"the slope of {label}" for label in terms.labels]
        if not columns:
            raise FormulaError(f"the random term {bar.text} has no columns; write (1 | {bar.group_name}) for a random intercept.")
        if terms.offsets:
            raise FormulaError(f"the random term {bar.text} has an offset; offsets belong to the fixed part.")
        for column in columns:
            other = seen.setdefault((key, column), bar)
            if other is not bar:
                raise FormulaError(
                    f"{other.text} and {bar.text} both hold {column} for {bar.group_name}; their variances cannot be told apart. "
                    f"Keep one of them, or write (0 + x | {bar.group_name}) for a slope without its intercept."
                )
