"""Whether the sums of several sites belong together."""

from fastlmm_hlm.errors import DataError


def check_agreement(opened):
    """The sites in the order of their names.

    Parameters
    ----------
    opened : list of (path or object, SiteCrossProducts)

    Returns
    -------
    list of SiteCrossProducts

    Raises
    ------
    DataError
        Naming both files and what differs.
    """
    opened = sorted(opened, key=lambda pair: pair[1].site)
    for (a, first), (b, second) in zip(opened[:-1], opened[1:]):
        if first.site == second.site:
            raise DataError(f"{_shown(a, first)} and {_shown(b, second)} are both of site '{first.site}'; give each site once, and each its own name.")
    sums = {}
    for item, site in opened:
        if site.checksum in sums:
            other = sums[site.checksum]
            raise DataError(f"{_shown(item, site)} and {_shown(*other)} hold the same sums, so the same rows would count twice; is one a copy under another name?")
        sums[site.checksum] = item, site
    item, first = opened[0]
    for other, site in opened[1:]:
        _compare(first, site, _shown(item, first), _shown(other, site))
    _check_levels([site for _, site in opened])
    return [site for _, site in opened]


def _shown(item, site):
    return f"the sums of site '{site.site}'" if item is site else f"'{item}'"


def _compare(first, other, a, b):
    ours, theirs = first.study.as_dict(), other.study.as_dict()
    for name in ours:
        if name != "REML" and ours[name] != theirs[name]:
            raise DataError(f"{a} and {b} were made for different studies: {name} is {_said(ours[name])} in the first and {_said(theirs[name])} in the second; all sites need the same study file.")
    for text, kind in first.header["variables"].items():
        if kind != other.header["variables"].get(text):
            raise DataError(f"{a} and {b} do not fit together: '{text}' is {_kind(kind)} at site '{first.site}' and {_kind(other.header['variables'].get(text))} at site '{other.site}'; give the column one type at all sites.")
    for name, what in (("x_names", "columns of X"), ("state", "constants of transforms")):
        if first.header[name] != other.header[name]:
            raise DataError(f"{a} and {b} do not fit together: their {what} are {_said(first.header[name])} and {_said(other.header[name])}; use the same study and the same release at all sites.")
    shapes = [[(factor["name"], sorted(zip(factor["terms"], factor["columns"]))) for factor in sorted(site.header["factors"], key=lambda f: f["name"])] for site in (first, other)]
    if shapes[0] != shapes[1]:
        raise DataError(f"{a} and {b} do not fit together: their random effects are {shapes[0]} and {shapes[1]}.")


def _said(value):
    return "not given" if value in (None, {}, []) else repr(value)


def _kind(kind):
    return {"truth": "logical", "factor": "a factor", "number": "numeric"}.get((kind or {}).get("kind"), str(kind))


def _check_levels(sites):
    """Refuse declared levels without rows: a fit in memory has no column for them."""
    for name, levels in sites[0].study.factors.items():
        own = [site.header["predictors"].get(name) for site in sites]
        if any(v is None or v["levels"] is None for v in own):
            continue
        found = {level for v in own for level in v["levels"]}
        for level in levels:
            if level not in found:
                raise DataError(f"no row of any site has the level '{level}' of '{name}', so it has no coefficient; make the study without it, and the sums again.")
