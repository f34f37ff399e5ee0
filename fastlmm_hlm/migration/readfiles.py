"""What a data file says of its columns, if it is there when the script is translated."""

import re

import pandas as pd

from fastlmm_hlm.migration import expressions
from fastlmm_hlm.migration.values import Frame

# Names that R leaves as they are; read.csv makes others so (make.names).
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._]")


def make_name(name):
    """R's make.names for one name."""
    word = NOT_IN_NAMES.sub(".", name)
    if not re.match(r"[A-Za-z]|\.(?![0-9])", word):
        word = f"X{word}"
    return f"{word}." if word in {"if", "else", "for", "in", "while", "function", "next", "break", "repeat", "TRUE", "FALSE", "NULL"} else word


def read_facts(t, file, separator, missing, args, factors, mangles, tidyverse):
    """Facts of a file, and what is to be added to the call that reads it."""
    path = None if file is None or t.folder is None else t.folder / file
    if path is None or not path.is_file() or "skip" in args:
        if mangles:
            t.note("NOTE (line {line}): the file was not there when this was translated. R turns names of columns such as `a b` "
                   "into a.b, and keeps empty texts as a value; pandas does neither.")
        return Frame(texts_are_factors=factors), ""
    frame = pd.read_csv(path, sep=separator, na_values=missing, keep_default_na=False,
                        decimal=getattr(args.get("dec"), "value", "."))
    tail, columns = "", {}
    renamed = {name: make_name(name) for name in frame.columns if mangles and make_name(name) != name}
    if renamed:
        pairs = ", ".join(f"{expressions.text(old).code}: {expressions.text(new).code}" for old, new in renamed.items())
        tail += f".rename(columns={{{pairs}}})"
    raw = pd.read_csv(path, sep=separator, keep_default_na=False, dtype=str)
    texts = []
    for name in frame.columns:
        new, values = renamed.get(name, name), frame[name]
        if pd.api.types.is_bool_dtype(values):
            columns[new] = "bool"
        elif pd.api.types.is_numeric_dtype(values):
            columns[new] = "number"
        else:
            columns[new] = "factor" if factors else "text"
            texts.append(new)
            if not tidyverse and (raw[name] == "").any():
                t.note(f"NOTE (line {{line}}): {new} has empty fields, which are a value of their own in R and missing here.")
    if factors and texts:
        tail += ".astype({" + ", ".join(f'{expressions.text(name).code}: "category"' for name in texts) + "})"
    return Frame(columns, complete=True, texts_are_factors=factors), tail
