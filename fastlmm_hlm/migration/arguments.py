"""R's rule for matching arguments: exact names, then parts of names, then places."""

from fastlmm_hlm.migration.values import Untranslated


def match(call_name, args, formals):
    """Arguments by the name of the parameter.

    Parameters
    ----------
    call_name : str
    args : tuple of Arg
    formals : str
        Parameters in R's order, "..." among them where the function has it.

    Returns
    -------
    dict
        Parameter -> Node; "..." -> list of Arg.

    Raises
    ------
    Untranslated
        For an argument that the parameters do not have.
    """
    names = formals.split()
    before = names[:names.index("...")] if "..." in names else names
    found, rest, dots = {}, [], []
    for arg in args:
        if arg.name is None:
            rest.append(arg)
        elif arg.name in names:
            found[arg.name] = arg.value
        else:
            partial = [name for name in before if name.startswith(arg.name)]
            if len(partial) == 1:
                found[partial[0]] = arg.value
            elif "..." in names:
                rest.append(arg)
            else:
                raise Untranslated(f"the argument {arg.name} of {call_name}() is not known here")
    free = [name for name in names if name not in found]
    for arg in rest:
        if arg.name is None and arg.value is None:
            continue
        if free and free[0] != "..." and arg.name is None:
            found[free.pop(0)] = arg.value
        elif "..." in names:
            dots.append(arg)
        else:
            raise Untranslated(f"{call_name}() has more arguments than are known here")
    if dots or "..." in names:
        found["..."] = dots
    return found
