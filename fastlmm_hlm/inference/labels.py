"""Names that R gives to things."""

import re

# Words that R cannot use as names.
RESERVED = frozenset(
    "if else repeat while function for next break TRUE FALSE NULL Inf NaN NA NA_integer_ NA_real_ NA_character_ in".split()
)


def make_unique(names):
    """R's make.unique: a repeated name gets .1, .2, ... unless that is taken.

    >>> make_unique(["Subject", "Subject", "id"])
    ['Subject', 'Subject.1', 'id']
    """
    seen, out, counts = set(names), [], {}
    used = set()
    for name in names:
        if name not in used:
            out.append(name)
            used.add(name)
            continue
        k = counts.get(name, 1)
        while f"{name}.{k}" in seen or f"{name}.{k}" in used:
            k += 1
        counts[name] = k + 1
        out.append(f"{name}.{k}")
        used.add(f"{name}.{k}")
    return out


def make_names(names):
    """R's make.names: what is not a letter, digit, dot or underscore becomes a dot.

    >>> make_names(["b:a", "2nd", ".1", "if"])
    ['b.a', 'X2nd', 'X.1', 'if.']
    """
    out = []
    for name in names:
        if not re.match(r"[^\W\d_]|\.(?!\d)", name):
            name = "X" + name
        name = re.sub(r"[^\w.]", ".", name)
        out.append(name + "." if name in RESERVED else name)
    return out


def varcorr_names(factors):
    """lme4's names of the terms in VarCorr: those of the factors, made into R names where one has several terms.

    >>> varcorr_names(["b:a", "a"]), varcorr_names(["h", "h", "b:a"])
    (['b:a', 'a'], ['h', 'h.1', 'b.a'])
    """
    return list(factors) if len(set(factors)) == len(factors) else make_unique(make_names(factors))
