"""Refusing, before anything is factored, a model that this machine's memory cannot hold."""

import os

from fastlmm_hlm.criterion.coresize import core_size
from fastlmm_hlm.errors import NotEnoughMemoryError, NotEnoughMemoryWarning, warn_user

# Cores below this many bytes, dense, are not looked at.
SMALL = 2**28


def machine_memory():
    """Bytes of memory of this machine, or of its container's limit; None where the system does not say."""
    try:
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                most = min(most, int(file.read()))
        except (OSError, ValueError):
            continue
    return most


def check_memory(products, names, check):
    """Refuse a model whose core does not fit into memory.

    Parameters
    ----------
    products : CrossProducts
    names : list of str
        Of the grouping factors.
    check : {"stop", "warning", "ignore"}

    Raises
    ------
    NotEnoughMemoryError
    """
    order = sum(G.shape[0] * G.shape[1] for G in products.ZtWZ[1:])
    if check == "ignore" or 16.0 * order**2 < SMALL:
        return
    have, core = machine_memory(), core_size(products)
    if have is None or not core.dense or core.bytes < have:
        return
    others = ", ".join(f"{name} ({len(G):,} levels)" for name, G in zip(names[1:], products.ZtWZ[1:]))
    message = (
        f"lmer: {names[0]} ({len(products.ZtWZ[0]):,} levels) and {others} cross so widely that eliminating {names[0]} leaves a full matrix of order "
        f"{core.order:,}, which takes {core.bytes / 2**30:,.0f} GB; this machine has {have / 2**30:,.0f} GB. Put the smaller factor into the fixed "
        "part if it has few levels, nest it (levels that meet only within schools leave a sparse matrix), or fit parts of the data."
    )
    if check == "warning" or not core.certain:
        warn_user(message, NotEnoughMemoryWarning)
        return
    raise NotEnoughMemoryError(f"{message} lmerControl(check_memory='ignore') tries nevertheless.")
