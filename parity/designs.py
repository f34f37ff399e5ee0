"""Models and data drawn at random, for the comparison with lme4.

A draw is a seed and a list of choices; the data follow from both.  So a draw can be repeated, and made smaller by
leaving out choices or rows while everything else stays as it was.
"""

import dataclasses
import functools
import json
import pathlib

import numpy as np
import pandas as pd

from parity.cases import Case
from parity.simulate import column_types

FACTOR_LEVELS = {"f": ["p", "q", "r"], "o": ["low", "mid", "high"], "h": [f"h{i}" for i in range(1, 31)]}
ORDERED = {"o"}
# Terms of the fixed part; each may stand beside any other.
FIXED = ("x", "z", "year", "f", "o", "t", "x:f", "x:t", "f:t", "poly(z, 2)", "I(x^2)", "log(w)", "scale(year)", "twice", "big")
# Terms of the random part by the columns they group on; at most one is drawn of each.
RANDOM = {
    "g": ("(1 | g)", "(x | g)", "(x || g)", "(0 + x | g)", "(1 | g) + (0 + z | g)", "(f | g)", "(0 + f | g)", "(year | g)",
          "(x + z | g)", "(x * t | g)", "(0 + dummy(t, 'u') | g)", "(poly(x, 2) | g)", "(scale(year) | g)", "(big | g)",
          "(1 | g) + (0 + t | g)", "(x:t | g)"),
    "h": ("(1 | h)", "(z | h)", "(0 + t | h)", "(x || h)", "(year || h)", "(x + f | h)"),
    "a": ("(1 | a/b)", "(1 | a) + (1 | a:b)", "(x | a/b)", "(x | a) + (1 | a:b)", "(1 | a:b)", "(z || a)", "(1 | b)"),
}
# Random effects that cannot be told apart, whatever the data.
OVERLAPPING = {"(1 | g) + (0 + t | g)"}


@dataclasses.dataclass(frozen=True)
class Draw:
    """One model with its data.

    Attributes
    ----------
    seed : tuple of int
    fixed, random : tuple of str
        Terms of the formula.
    intercept : bool
    REML : bool
    weights, offset, subset : str or None
    contrasts : dict or None
    missing : bool
        Whether every column has gaps.
    share : float
        The rows kept, from the first on.
    """

    seed: tuple
    fixed: tuple
    random: tuple
    intercept: bool = True
    REML: bool = True
    weights: str | None = None
    offset: str | None = None
    subset: str | None = None
    contrasts: dict | None = None
    missing: bool = False
    share: float = 1.0

    @property
    def formula(self):
        return "y ~ " + " + ".join(["1" if self.intercept else "0", *self.fixed, *self.random])

    @property
    def identified(self):
        return not OVERLAPPING & set(self.random)

    def data(self):
        """The rows, DataFrame."""
        frame = draw_data(self.seed)
        frame = frame.iloc[: max(int(self.share * len(frame)), 1)]
        return frame.mask(gaps(self.seed, frame.shape)) if self.missing else frame

    def smaller(self):
        """Draws with one choice or some rows less, the simplest first."""
        for name in ("fixed", "random"):
            terms = getattr(self, name)
            for i in range(len(terms)):
                left = terms[:i] + terms[i + 1 :]
                if left or (name == "fixed" and self.intercept):
                    made = dataclasses.replace(self, **{name: left})
                    yield made if "f" in made.fixed else dataclasses.replace(made, contrasts=None)
        for name in ("weights", "offset", "subset", "contrasts"):
            if getattr(self, name) is not None:
                yield dataclasses.replace(self, **{name: None})
        if self.missing:
            yield dataclasses.replace(self, missing=False)
        if not self.intercept:
            yield dataclasses.replace(self, intercept=True)
        for share in (0.5, 0.75, 0.9):
            if self.share * share > 0.05:
                yield dataclasses.replace(self, share=self.share * share)

    def written(self, folder):
        """The draw as a case, its data written to a folder.

        Parameters
        ----------
        folder : pathlib.Path

        Returns
        -------
        DrawnCase
        """
        frame, levels = self.data(), dict(FACTOR_LEVELS)
        types = column_types(frame, levels)
        for name in ORDERED:
            types[name] = types[name] | {"ordered": True}
        frame.to_csv(folder / "drawn.csv", index=False, na_rep="NA")
        (folder / "types.json").write_text(json.dumps({"drawn": types}))
        return DrawnCase(
            "-".join(map(str, self.seed)), "drawn", self.formula, self.REML, self.weights, self.offset, self.subset,
            self.contrasts, identified=self.identified, where=folder,
        )


@dataclasses.dataclass(frozen=True)
class DrawnCase(Case):
    """A case whose data lie in a folder of its own."""

    where: pathlib.Path = pathlib.Path()

    @property
    def folder(self):
        return self.where


def draw(seed, number):
    """The draw with this seed and number.

    Returns
    -------
    Draw
    """
    random = np.random.default_rng([seed, number])

    def maybe(share, value):
        return value if random.random() < share else None

    families = random.permutation(list(RANDOM))[: random.choice([1, 2, 3], p=[0.45, 0.4, 0.15])]
    fixed = tuple(random.permutation(FIXED)[: random.integers(0, 5)].tolist())
    return Draw(
        seed=(seed, number),
        fixed=fixed,
        random=tuple(str(random.choice(RANDOM[name])) for name in families),
        intercept=bool(random.random() < 0.85) or not fixed,
        REML=bool(random.random() < 0.65),
        weights=maybe(0.25, "w"),
        offset=maybe(0.15, "off"),
        subset=maybe(0.1, "keep == 1"),
        contrasts=maybe(0.4, {"f": str(random.choice(["contr.sum", "contr.helmert"]))}) if "f" in fixed else None,
        missing=bool(random.random() < 0.2),
    )


@functools.lru_cache(maxsize=4)
def draw_data(seed):
    """The rows that belong to a seed, all columns filled.

    y follows a model with effects of every column and group, some with standard deviation zero, whatever formula is
    fitted; so fitted models are sometimes right, sometimes too small, sometimes too large and singular.
    """
    random = np.random.default_rng([*seed, 1])
    n = int(random.choice([40, 90, 200, 500, 1200], p=[0.1, 0.25, 0.35, 0.2, 0.1]))
    m = int(random.integers(4, max(5, n // 6)))
    size = random.dirichlet(np.full(m, random.choice([0.6, 3.0, 50.0])))
    g = random.choice(m, size=n, p=size)
    h = random.integers(0, int(random.integers(3, 31)), size=n)
    a = random.integers(0, int(random.integers(3, 12)), size=n)
    b = random.integers(0, int(random.integers(2, 5)), size=n)
    x, z = np.round(random.standard_normal(n), 3), np.round(random.gamma(2.0, 3.0, size=n), 3)
    year = random.integers(2008, 2023, size=n)
    f, o, t = random.integers(0, 3, size=n), random.integers(0, 3, size=n), random.integers(0, 2, size=n)
    w = np.round(random.gamma(4.0, 0.3, size=n) + 0.05, 3)

    def effects(levels, columns):
        """Correlated effects of the columns for each level; each has a chance of not varying."""
        sd = random.gamma(1.5, 0.5, size=columns) * (random.random(columns) < 0.75)
        root = np.tril(random.standard_normal((columns, columns)))
        root /= np.linalg.norm(root, axis=1, keepdims=True)
        return random.standard_normal((levels, columns)) @ (sd[:, None] * root).T

    moving = np.column_stack([np.ones(n), x, (z - 6.0) / 4.0, (year - 2015) / 4.0, f == 1, t])
    y = moving @ random.standard_normal(6)
    for codes in (g, h, a, a * 8 + b):
        y = y + (moving * effects(codes.max() + 1, 6)[codes]).sum(axis=1) * float(random.choice([0.0, 0.5, 1.0]))
    y = y + random.gamma(2.0, 0.5) * random.standard_normal(n) / np.sqrt(w)
    frame = pd.DataFrame({
        "y": np.round(y + random.choice([0.0, 5.0, 50.0]), 5), "x": x, "z": z, "year": year, "twice": np.round(2 * x + 1, 3),
        "big": np.round(1e5 + 2e3 * random.standard_normal(n), 1),
        "f": np.array(FACTOR_LEVELS["f"])[f], "o": np.array(FACTOR_LEVELS["o"])[o], "t": np.array(["s", "u"])[t],
        "g": np.char.add("g", g.astype(str)), "h": np.array(FACTOR_LEVELS["h"])[h], "a": np.char.add("a", a.astype(str)),
        "b": b + 1, "w": w, "off": np.round(random.standard_normal(n), 3), "keep": (random.random(n) < 0.8).astype(int),
    })
    return frame


def gaps(seed, shape):
    """Where values are missing, booleans; columns keep and b stay whole."""
    return np.random.default_rng([*seed, 2]).random(shape) < 0.02
