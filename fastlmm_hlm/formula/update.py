"""Changing a formula as R's update() does."""
from fastlmm_hlm.errors import FormulaError
from fastlmm_hlm.formula.bars import as_random_term
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.formula import Formula, parse_formula
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.syntax import Argument, Binary, Call, Name, Paren, Unary, add_up, summands, unwrap, walk
from fastlmm_hlm.formula.terms import expand_terms, is_offset


def update_formula(old, new):
    """Change a formula: `.` stands for what was there.

    The right side is simplified by the algebra of terms.  Random terms and
    offsets take part as wholes: they can be added and removed, and are left
    alone where `.` is multiplied.

    Parameters
    ----------
    old : str or Formula
    new : str or Formula
        Such as ". ~ . + x", "log(.) ~ .", ". ~ . - (1 | g)".

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        If the new text is no formula, or removes a random term or offset that
        the old formula does not have.
    """
    old = parse_formula(old)
    node = parse_expression(new.text if isinstance(new, Formula) else new)
    if not isinstance(node, (Binary, Unary)) or node.op != "~":
        raise FormulaError(f"'{deparse(node)}' has no '~'; write for example '. ~ . + x'.")
    right = node.operand if isinstance(node, Unary) else node.right
    if isinstance(node, Unary) or old.response_node is None:
        left = old.response_node if isinstance(node, Unary) else node.left
    else:
        left = replace_dot(node.left, old.response_node)
    if any(isinstance(part, Name) and part.text == "." for part in walk(old.fixed_node)):
        raise FormulaError(f"'{old.text}' holds '.', which stands for columns of its data; write the columns out before changing the formula.")
    wholes = _Wholes()
    before = wholes.hide(old.rhs_node)
    known = dict(wholes.by_name)
    after = wholes.hide(right)
    wholes.check_removals(right, known, old)
    terms = expand_terms(replace_dot(after, Paren(before)), first=() if left is None else (deparse(left),))
    body = wholes.text(terms)
    return Formula(f"~{body}" if left is None else f"{deparse(left)} ~ {body}")


class _Wholes:
    """Random terms and offsets, hidden behind names that no formula can hold."""

    def __init__(self):
        self.by_name = {}

    def hide(self, node):
        """Put a name in the place of each random term and offset of a sum."""
        whole = self._whole(node)
        if whole is not None:
            return Name(self._name(whole))
        if isinstance(node, (Binary, Unary)) and node.op in "+-":
            return add_up([(sign, self.hide(part)) for sign, part in summands(node)]) if _is_sum(node) else node
        return Paren(self.hide(node.inner)) if isinstance(node, Paren) else node

    @staticmethod
    def _whole(node):
        term = as_random_term(node)
        if term is not None:
            return deparse(term) if isinstance(term, Call) else f"({deparse(term)})"
        return deparse(node) if is_offset(node) else None

    def _name(self, text):
        name = f"\0{text}"
        self.by_name[name] = text
        return name

    def check_removals(self, right, known, old):
        """Refuse to remove what is not there."""
        for sign, part in summands(unwrap(right)):
            text = self._whole(part)
            if sign == "-" and text is not None and f"\0{text}" not in known:
                have = ", ".join(known.values()) or "none"
                raise FormulaError(f"{text} cannot be removed from '{old.text}'; its random terms and offsets are: {have}.")

    def text(self, terms):
        """Write the simplified right side."""
        names = {deparse(Name(name)): text for name, text in self.by_name.items()}
        labels, offsets = [], []
        for members in terms.terms:
            if len(members) == 1 and members[0] in names:
                text = names[members[0]]
                (offsets if text.startswith("offset(") else labels).append(text)
            elif not any(name in names for name in members):
                labels.append(":".join(members))
        parts = labels + offsets
        if not parts:
            return "1" if terms.intercept else "0"
        return " + ".join(parts) + ("" if terms.intercept else " - 1")


def _is_sum(node):
    return len(summands(node)) > 1 or isinstance(node, Unary)


def replace_dot(node, replacement):
    """Put another node wherever `.` stands."""
    if isinstance(node, Name):
        return replacement if node.text == "." else node
    if isinstance(node, Binary) and node.op in "+-":
        return add_up([(sign, replace_dot(part, replacement)) for sign, part in summands(node)])
    if isinstance(node, Binary):
        return Binary(node.op, replace_dot(node.left, replacement), replace_dot(node.right, replacement))
    if isinstance(node, Unary):
        return Unary(node.op, replace_dot(node.operand, replacement))
    if isinstance(node, Paren):
        return Paren(replace_dot(node.inner, replacement))
    if isinstance(node, Call):
        return Call(node.function, tuple(Argument(a.name, replace_dot(a.value, replacement)) for a in node.args))
    return node
