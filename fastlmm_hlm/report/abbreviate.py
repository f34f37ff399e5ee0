"""Names shortened as R's ``abbreviate`` does, for tables of correlations.

The rules of R's help page ?abbreviate: leave out lower-case vowels, then
lower-case letters, then anything, each time from the end, but never the first
character of a word; lengthen those that would no longer be unique.
"""

VOWELS = frozenset("aeiou")


def _starts_word(chars, i):
    return i == 0 or chars[i - 1].isspace()


def _ends_word(chars, i):
    return not chars[i - 1].isspace() and (i + 1 == len(chars) or chars[i + 1].isspace())


def _is_lower_vowel(char):
    return char in VOWELS


def _is_lower(char):
    return char.islower()


def _is_anything(char):
    return not char.isspace()


def shorten(name, length):
    """One name cut down to `length` characters where the rules allow it.

    Parameters
    ----------
    name : str
        Without spaces at the ends.
    length : int

    Returns
    -------
    str
        Without spaces, or the name itself if it is short enough.
    """
    if len(name) <= length:
        return name
    chars = list(name)

    def long_enough():
        return sum(not char.isspace() for char in chars) <= length

    steps = (
        (_is_lower_vowel, True),
        (_is_lower_vowel, False),
        (_is_lower, True),
        (_is_lower, False),
        (_is_anything, False),
    )
    for may_go, only_word_ends in steps:
        for i in range(len(chars) - 1, 0, -1):
            if long_enough():
                break
            if not may_go(chars[i]) or _starts_word(chars, i):
                continue
            if only_word_ends and not _ends_word(chars, i):
                continue
            del chars[i]
    if len(chars) > length:
        chars = [char for char in chars if not char.isspace()]
    return "".join(chars)


def abbreviate(names, minlength=4):
    """Shorten names to at least `minlength` characters, keeping them distinct.

    Parameters
    ----------
    names : sequence of str
    minlength : int

    Returns
    -------
    list of str
        In the order of `names`; names that differ only in spaces at the ends
        get equal abbreviations.
    """
    names = [name.strip() for name in names]
    distinct = list(dict.fromkeys(names))
    longest = max(map(len, distinct), default=0)
    short = {name: shorten(name, minlength) for name in distinct}
    for length in range(minlength + 1, longest + 1):
        owners = {}
        for name in distinct:
            owners.setdefault(short[name], []).append(name)
        clashing = [name for group in owners.values() if len(group) > 1 for name in group]
        if not clashing:
            break
        for name in clashing:
            short[name] = shorten(name, length)
    return [short[name] for name in names]
