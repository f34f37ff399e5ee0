"""What all sites must have in common, in a small file that a coordinator sends round."""

import hashlib
import json
import pathlib

from fastlmm_hlm.errors import ArgumentError, DataError, UnknownColumnError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.formula.deparse import deparse
from fastlmm_hlm.formula.kinds import level_text
from fastlmm_hlm.formula.parse import parse_expression
from fastlmm_hlm.formula.parts import make_plan
from fastlmm_hlm.formula.syntax import Constant, Name, Number, Unary, column_names, walk
from fastlmm_hlm.ingest.request import Request
from fastlmm_hlm.ingest.wholedata import whole_calls

FORMAT, VERSION = "fastlmm_hlm study", 1


class Study:
    """A model that several sites fit together without sharing rows.

    Parameters
    ----------
    formula : str
        As for `lmer`; without ``.`` on its right side.
    factors : dict of str to list, optional
        Levels, in order, of every column of text or categories among the predictors:
        ``{"sex": ["F", "M"]}``.  The first one is the reference of treatment contrasts.
    ordered : sequence of str
        Those of them that are ordered factors.
    shared : sequence of str
        Grouping columns whose levels mean the same at every site, such as a teacher who works in two
        districts.  Levels of all others belong to their site: school "1" of site "north" is "north:1".
    weights, offset, subset : str, optional
        Columns or expressions in columns, as for `lmer`.
    contrasts : dict of str to str, optional
        Codings of factors, such as ``{"sex": "contr.sum"}``.
    REML : bool

    Raises
    ------
    FormulaError
        If the formula cannot be read.
    ArgumentError
        For a part of the formula that one site alone cannot know, saying what to write instead.

    Examples
    --------
    >>> from fastlmm_hlm import Study
    >>> study = Study("score ~ days * sex + (1 + days | school)", factors={"sex": ["F", "M"]})
    >>> study.grouping
    ['school']
    """

    def __init__(self, formula, factors=None, *, ordered=(), shared=(), weights=None, offset=None, subset=None, contrasts=None, REML=True):  # noqa: N803
        if not isinstance(REML, bool):
            raise ArgumentError(f"Study: REML = {REML!r}; expected True or False.")
        self.formula, self.REML = parse_formula(formula), REML
        if any(isinstance(node, Name) and node.text == "." for node in walk(self.formula.fixed_node)):
            raise ArgumentError(f"Study: '{self.formula.text}' has a '.', which stands for other columns at every site; write the columns out.")
        self.request = Request(self.formula, weights, offset, subset, dict(contrasts) if contrasts else None)
        self.parts = make_plan(self.formula, [])
        self.factors = {str(name): _levels(name, levels) for name, levels in (factors or {}).items()}
        self.ordered, self.shared = sorted(_names("ordered", ordered)), sorted(_names("shared", shared))
        self._check_names()
        self._check_calls()

    @property
    def grouping(self):
        """Grouping columns, in the order of the formula."""
        return [node.text for node in self.parts.groups.values() if isinstance(node, Name)]

    @property
    def own(self):
        """Grouping columns whose levels belong to their site."""
        return [name for name in self.grouping if name not in self.shared]

    def _nodes(self):
        arguments = [getattr(self.request, role) for role in ("weights", "offset", "subset")]
        return [self.formula.response_node, *self.parts.nodes.values(), *self.parts.terms.offsets, *(parse_expression(a) for a in arguments if a)]

    def _check_names(self):
        for text, node in self.parts.groups.items():
            if not isinstance(node, Name):
                raise ArgumentError(f"Study: the grouping factor {text} is an expression; make the column at every site, and name it in the formula.")
        used = {name for node in self._nodes() for name in column_names(node)}
        for name in self.shared:
            if name not in self.grouping:
                raise UnknownColumnError(f"Study: shared has '{name}', which is no grouping column of '{self.formula.text}'; there are {', '.join(self.grouping)}.")
        for name in self.own:
            if name in used or name in self.factors:
                raise ArgumentError(
                    f"Study: '{name}' is a grouping factor and also a predictor or declared factor. As a predictor its values mean the same at every site, "
                    f"so its groups are shared: shared=['{name}']; or make a copy of the column for one of the two."
                )
        for role, names in (("factors", self.factors), ("contrasts", self.request.contrasts or {})):
            for name in names:
                if name not in used:
                    raise UnknownColumnError(f"Study: {role} has '{name}', which is no predictor of '{self.formula.text}'; predictors are {', '.join(sorted(used)) or 'none'}.")
        for name, coding in (self.request.contrasts or {}).items():
            if not isinstance(coding, str):
                raise ArgumentError(f"Study: contrasts of '{name}' are {type(coding).__name__}; a study file holds names such as 'contr.sum'.")
        for name in self.ordered:
            if name not in self.factors:
                raise ArgumentError(f"Study: ordered has '{name}', whose levels are not given; give them, as in factors={{'{name}': ['low', 'high']}}.")

    def _check_calls(self):
        for node in self._nodes():
            for call in whole_calls(deparse(node), node):
                name = call.node.function.rpartition("::")[2]
                given = {a.name: a.value for a in call.node.args}
                if name == "scale" and all(_is_constant(given.get(key)) for key in ("center", "scale")):
                    continue
                raise ArgumentError(f"Study: {call.text} depends on the rows of all sites, and every site sees its own alone. {_instead(name, call)}")

    # --- rows -----------------------------------------------------------------------------

    def prepare(self, data, site):
        """The rows of one site as the fit of all sites knows them.

        Parameters
        ----------
        data : data frame
        site : str
            Name of the site.

        Returns
        -------
        pandas.DataFrame
            Declared factors with the levels of the study; levels of grouping factors with the
            site's name and a colon before them, but for those that are shared.

        Raises
        ------
        DataError
            For a level that the study does not have.
        """
        from fastlmm_hlm.sites.prepared import prepared_frame

        return prepared_frame(self, data, checked_site(site))

    # --- the file --------------------------------------------------------------------------

    def as_dict(self):
        """What a study file holds, as plain lists and texts."""
        r = self.request
        return {
            "format": FORMAT, "version": VERSION, "formula": self.formula.text, "factors": self.factors, "ordered": self.ordered,
            "shared": self.shared, "weights": r.weights, "offset": r.offset, "subset": r.subset, "contrasts": r.contrasts, "REML": self.REML,
        }

    @classmethod
    def of(cls, record, where="the record"):
        """The study of what `as_dict` gave.

        Raises
        ------
        DataError
        """
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DataError(f"{where} is no study of fastlmm_hlm; make one with Study(...).save(path).")
        if record.get("version") != VERSION:
            raise DataError(f"{where} has version {record.get('version')} of the study format and this fastlmm_hlm reads version {VERSION}; use the same release everywhere.")
        arguments = {name: value for name, value in record.items() if name not in ("format", "version")}
        try:
            return cls(**arguments)
        except TypeError as error:
            raise DataError(f"{where} is a damaged study ({error}); ask for it again.") from error

    def save(self, path):
        """Write the study as JSON.

        Parameters
        ----------
        path : path

        Returns
        -------
        pathlib.Path
        """
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"
        try:
            pathlib.Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise DataError(f"Study.save: '{path}' cannot be written ({error}).") from error
        return pathlib.Path(path)

    @classmethod
    def load(cls, path):
        """The study of a file.

        Parameters
        ----------
        path : path

        Returns
        -------
        Study

        Raises
        ------
        DataError
            If it is missing, damaged, or of another version.
        """
        try:
            record = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"Study.load: '{path}' cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"Study.load: '{path}' is no study of fastlmm_hlm, or is damaged ({error}).") from error
        return cls.of(record, f"'{path}'")

    @property
    def digest(self):
        """Text that is the same for equal studies; REML, which the sums do not depend on, is left out."""
        record = {name: value for name, value in self.as_dict().items() if name != "REML"}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other):
        return isinstance(other, Study) and self.as_dict() == other.as_dict()

    __hash__ = None

    def __repr__(self):
        more = "".join(f", {name}={value!r}" for name, value in self.as_dict().items() if name not in ("format", "version", "formula", "REML") and value)
        return f"Study({self.formula.text!r}{more}{'' if self.REML else ', REML=False'})"


def checked_site(site):
    """The name of a site.

    Raises
    ------
    ArgumentError
    """
    if not isinstance(site, str) or not site.strip():
        raise ArgumentError(f"site = {site!r}; give the name of the site, as in site='district 7'.")
    return site


def _names(role, names):
    if isinstance(names, str):
        raise ArgumentError(f"Study: {role} = {names!r}; give a list, as in {role}=[{names!r}].")
    return [str(name) for name in names]


def _levels(name, levels):
    if isinstance(levels, str) or not hasattr(levels, "__iter__"):
        raise ArgumentError(f"Study: factors has {levels!r} for '{name}'; give the list of its levels, as in {{'{name}': ['F', 'M']}}.")
    texts = [level_text(level) for level in levels]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise ArgumentError(f"Study: the levels of '{name}' are {texts}; a factor needs two or more different ones.")
    return texts


def _is_constant(node):
    if isinstance(node, Unary):
        node = node.operand
    return isinstance(node, Number) or isinstance(node, Constant) and node.text == "FALSE"


def _instead(name, call):
    x = column_names(call.node)[0] if column_names(call.node) else "x"
    if name == "scale":
        return f"Agree on the numbers: scale({x}, center = 50, scale = 10)."
    if name == "poly":
        return f"Agree on a centre: poly({x} - 50, 2, raw = TRUE) spans the same curves."
    if name in ("bs", "ns"):
        return f"Agree on the knots: {name}({x}, knots = c(...), Boundary.knots = c(..., ...))."
    if name in ("factor", "as.factor", "ordered", "as.ordered"):
        return f"Write {x} alone and give its levels: factors={{'{x}': [...]}}."
    return "Agree on its value and write the number, or make the column at every site by the same rule."
