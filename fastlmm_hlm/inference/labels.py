"""Names that R gives to things."""


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
