"""From a syntax tree back to text, spelled as R's deparse() spells it.

Column names such as `poly(x, 2)1` begin with this text, so it must be R's.
"""
import math
import re

from fastlmm_hlm.formula.parse import INFIX, PREFIX
from fastlmm_hlm.formula.syntax import Binary, Call, Constant, Name, Number, Paren, Text, Unary
from fastlmm_hlm.formula.tokens import CONSTANTS, RESERVED

_SYNTACTIC = re.compile(r"(?:[^\W\d_]|\.(?![0-9]))[\w.]*\Z")
_TIGHT = {"^", ":", "/", "%%", "%/%"}
_ATOM = 1000


def quote_name(name):
    """Write a variable as R would: in backticks when it is not a plain name."""
    if _SYNTACTIC.match(name) and name not in RESERVED and name not in CONSTANTS and not name.startswith("NA_"):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r").replace("\0", "\\0") + "`"


def number_text(value):
    """Write a number as R's as.character() does: 15 digits, the shorter of fixed and scientific.

    Parameters
    ----------
    value : float

    Returns
    -------
    str
        "1e+05" for 100000, "123456" for 123456, "0.1" for 0.1.
    """
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.14e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = int(exponent)
    scientific = f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    digits = len(mantissa.lstrip("-").replace(".", ""))
    fixed = f"{value:.{max(0, digits - 1 - power)}f}"
    return fixed if len(fixed) <= len(scientific) else scientific


def deparse(node):
    """Write a tree as R's deparse() writes the same expression, on one line.

    Parameters
    ----------
    node : Node

    Returns
    -------
    str
    """
    return _write(node)[0]


def _write(node):
    """Return the text and how tightly it binds."""
    if isinstance(node, Name):
        return quote_name(node.text), _ATOM
    if isinstance(node, Number):
        return (str(int(node.value)) + "L" if node.integer else number_text(node.value)), _ATOM
    if isinstance(node, Text):
        return _quote_string(node.value), _ATOM
    if isinstance(node, Constant):
        return node.text, _ATOM
    if isinstance(node, Paren):
        return f"({deparse(node.inner)})", _ATOM
    if isinstance(node, Call):
        return f"{_function_text(node.function)}({', '.join(_argument_text(a) for a in node.args)})", _ATOM
    if isinstance(node, Unary):
        power = PREFIX[node.op]
        text, inner = _write(node.operand)
        return node.op + (text if inner >= power else f"({text})"), power
    return _write_infix(node)


def _write_infix(node):
    spine = []
    while isinstance(node, Binary):
        spine.append(node)
        node = node.left
    text, left_power = _write(node)
    for binary in reversed(spine):
        power = INFIX[binary.op]
        right, right_power = _write(binary.right)
        text = text if _left_fits(binary.op, left_power, power) else f"({text})"
        right_fits = right_power >= power if binary.op == "^" else right_power > power
        right = right if right_fits or _is_prefix(binary.right, power) else f"({right})"
        text = f"{text}{binary.op}{right}" if binary.op in _TIGHT else f"{text} {binary.op} {right}"
        left_power = power
    return text, left_power


def _left_fits(op, left_power, power):
    if op == "^" or op in ("==", "!=", "<", ">", "<=", ">="):
        return left_power > power
    return left_power >= power


def _is_prefix(node, power):
    return isinstance(node, Unary) and node.op in "+-" and power > PREFIX[node.op]


def _function_text(function):
    package, separator, name = function.rpartition("::")
    return quote_name(package) + "::" + quote_name(name) if separator else quote_name(function)


def _argument_text(argument):
    value = deparse(argument.value)
    return value if argument.name is None else f"{quote_name(argument.name)} = {value}"


def _quote_string(value):
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"), ("\0", "\\0")):
        value = value.replace(plain, escaped)
    return f'"{value}"'
