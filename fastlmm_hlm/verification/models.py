"""Several models at once, from a table in TOML.

    [[model]]
    id = "growth"
    formula = "score ~ year + (year | school)"
    data = "scores.csv"                  # beside the TOML file, or an absolute path
    REML = false                         # and weights, offset, subset, contrasts, na_action, ddf, tolerances as in verify()
"""

import pathlib
import tomllib

from fastlmm_hlm.errors import ArgumentError

OPTIONS = {"REML": bool, "weights": str, "offset": str, "subset": str, "contrasts": dict, "na_action": str, "ddf": str, "tolerances": dict}
NEEDED = ("id", "formula", "data")


def read_models(path):
    """The models of a TOML file.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    list of dict
        With id, formula, data (a path) and the arguments that `verify` takes.

    Raises
    ------
    ArgumentError
        If the file is no TOML, or a model lacks something, has something unknown, or shares its id.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            table = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ArgumentError(f"{path}: this is not TOML ({error}).") from None
    models = table.get("model")
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise ArgumentError(f"{path}: no model is there; expected tables [[model]] with {', '.join(NEEDED)}.")
    seen = set()
    return [_checked(model, number, path, seen) for number, model in enumerate(models, start=1)]


def _checked(model, number, path, seen):
    who = f"{path}: model {model.get('id', number)!r}"
    for name in NEEDED:
        if not isinstance(model.get(name), str):
            raise ArgumentError(f"{who} has {'no ' + name if name not in model else f'{name} = {model[name]!r}'}; {', '.join(NEEDED)} must be text.")
    for name, value in model.items():
        if name not in NEEDED and name not in OPTIONS:
            raise ArgumentError(f"{who} has {name!r}; the keys are {', '.join((*NEEDED, *OPTIONS))}.")
        if name in OPTIONS and not isinstance(value, OPTIONS[name]):
            raise ArgumentError(f"{who} has {name} = {value!r}; expected {OPTIONS[name].__name__}.")
    if model["id"] in seen:
        raise ArgumentError(f"{path}: the id {model['id']!r} is used twice; give each model its own.")
    seen.add(model["id"])
    return model | {"data": str(pathlib.Path(path).parent / model["data"])}
