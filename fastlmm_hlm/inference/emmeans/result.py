"""Linear functions of the fixed effects with labels: what emmeans, contrast and emtrends return."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.inference.emmeans.adjust import check_adjust
from fastlmm_hlm.inference.emmeans.contrasts import ADJUSTMENTS, coefficients
from fastlmm_hlm.inference.emmeans.joint import joint_test
from fastlmm_hlm.inference.emmeans.labels import row_labels
from fastlmm_hlm.inference.emmeans.specs import check_names
from fastlmm_hlm.inference.emmeans.summary import estimable, summary_table


@dataclass(frozen=True)
class EmmGrid:
    """Estimates L beta with their labels.

    Attributes
    ----------
    labels : DataFrame, m rows
        Levels of each row; the columns in `by` make separate tables.
    levels : dict of str to tuple
        Levels in order, of each column of `labels`.
    by : list of str
    linfct : ndarray, shape (m, p_all)
        L, with a column for each column of the formula (`x_names`).
    offset : ndarray, shape (m,)
        Added to L beta.
    method : object
        Standard errors and degrees of freedom; see `fastlmm_hlm.inference.ddf`.
    beta : ndarray, shape (p_all,)
        Zero where a column was dropped.
    kept : ndarray of int
        Columns that were estimated.
    x_names : list of str
    null_basis : ndarray, shape (p_all, d)
        Dependencies among the columns; L must be orthogonal to them to be estimable.
    estimate : str
        Name of the column of estimates.
    messages, notes : list of str
        Lines below and above the table.
    infer : (bool, bool)
        Whether intervals and tests are shown.
    level, adjust, type, null, side : see `emmeans` and `test`
    transformation : Transformation or None
    family : int or None
        Means that a "tukey" family compares.
    ratio_names : list of str or None
        Names of the contrasts as ratios, "A / B", for responses that are logarithms.
    terms : list of tuple of str
        Predictors of each term of the model.
    nesting : dict of str to tuple of str
    """

    labels: pd.DataFrame
    levels: dict
    by: list
    linfct: np.ndarray
    offset: np.ndarray
    method: object
    beta: np.ndarray
    kept: np.ndarray
    x_names: list
    null_basis: np.ndarray
    estimate: str = "emmean"
    messages: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    infer: tuple = (True, False)
    level: float = 0.95
    adjust: str = "none"
    type: str = "link"
    null: float = 0.0
    side: int = 0
    transformation: object = None
    family: int | None = None
    ratio_names: list | None = None
    terms: list = field(default_factory=list)
    nesting: dict = field(default_factory=dict)

    answers_generics = True

    # --- numbers -------------------------------------------------------------------

    def __len__(self):
        return len(self.linfct)

    @property
    def names(self):
        """Columns of labels that do not make separate tables."""
        return [name for name in self.labels.columns if name not in self.by]

    def vcov(self):
        """Covariance of the estimates, DataFrame (m, m); NaN where not estimable."""
        L = self.linfct[:, self.kept]
        V = L @ self.method.vcov @ L.T
        bad = ~estimable(self.linfct, self.null_basis)
        V[bad], V[:, bad] = np.nan, np.nan
        index = row_labels(self.labels, list(self.labels.columns), self.levels)
        return pd.DataFrame(V, index=index, columns=index)

    def to_frame(self):
        """The table as a DataFrame with emmeans' column names; prints as R prints it."""
        return self.summary()

    # --- tables --------------------------------------------------------------------

    def summary(self, infer=None, level=None, adjust=None, type=None, null=None, side=None):
        """Estimates, standard errors, and intervals or tests.

        Parameters
        ----------
        infer : (bool, bool), optional
            Whether to give intervals and tests.
        level : float, optional
        adjust : str, optional
            Adjustment for several estimates: "tukey", "sidak", "bonferroni", "holm", "hochberg",
            "hommel", "fdr", "BY", "scheffe", "dunnettx", "mvt", "none".
        type : {"link", "response"}, optional
        null : float, optional
            Value tested, on the scale of the model.
        side : {"two-sided", ">", "<"}, optional

        Returns
        -------
        EmmTable
            A DataFrame.

        Raises
        ------
        ArgumentError
            For an unknown option.
        """
        given = {"infer": infer, "level": level, "adjust": adjust, "type": type, "null": null, "side": side}
        return summary_table(self.with_options(**given))

    def confint(self, level=None, adjust=None, **options):
        """Intervals, EmmTable; options as for `summary`."""
        return self.summary(infer=(True, False), level=level, adjust=adjust, **options)

    def test(self, null=None, adjust=None, side=None, joint=False, **options):
        """Tests of each estimate against `null`, or of all together.

        Parameters
        ----------
        null : float, optional
        adjust : str, optional
        side : {"two-sided", ">", "<"}, optional
        joint : bool
            One F test per group instead.

        Returns
        -------
        EmmTable
        """
        if joint:
            return joint_test(self.with_options(null=null))
        return self.summary(infer=(False, True), null=null, adjust=adjust, side=side, **options)

    def with_options(self, **options):
        """The same estimates with other options of `summary`."""
        return replace(self, **{name: value for name, value in _checked(options).items() if value is not None})

    # --- contrasts -------------------------------------------------------------------

    def contrast(self, method="eff", by=None, adjust=None, interaction=None, reverse=False, ref=None, simple=None):
        """Contrasts of the estimates within each group.

        Parameters
        ----------
        method : str or dict
            "pairwise", "revpairwise", "trt.vs.ctrl", "trt.vs.ctrlk", "eff", "del.eff", "consec",
            "mean_chg", "poly", "helmert", "identity", or a dict of name -> coefficients.
        by : str or list of str, optional
            Other groups than those of the table; ``[]`` for none.
        adjust : str, optional
        interaction : str, dict or list of str, optional
            Contrasts of contrasts: one method for all factors, or one for each.
        reverse : bool
            Differences the other way round.
        ref : int or str, optional
            Control level of "trt.vs.ctrl".
        simple : str or "each", optional
            Factor whose levels are compared within all others.

        Returns
        -------
        EmmGrid, or EmmList for ``simple="each"``
        """
        if adjust is not None:
            check_adjust(adjust, "contrast")
        if simple is not None:
            return self._simple(simple, method=method, adjust=adjust, reverse=reverse, ref=ref)
        groups = self.by if by is None else [by] if isinstance(by, str) else list(by)
        check_names(groups, list(self.labels.columns), "contrast", "by = {!r} is no column of these estimates")
        grid = replace(self, by=groups)
        names = grid.names
        if interaction is not None:
            return grid._interaction(interaction, names, adjust)
        rows, labels, ratios, family = [], [], [], 0
        for own in grid.groups():
            row_names = row_labels(self.labels.iloc[own], names, self.levels)
            contrast_names, C = coefficients(method, row_names, "contrast", reverse=reverse, ref=ref)
            ratios += coefficients(method, row_names, "contrast", reverse=reverse, ref=ref, between=" / ")[0]
            family = max(family, len(own))
            rows.append(_expand(C, own, len(self)))
            labels.append(_contrast_labels({"contrast": contrast_names}, self.labels.iloc[own], groups))
        asked = adjust or ADJUSTMENTS.get(method if isinstance(method, str) else "", "none")
        pairwise = isinstance(method, str) and method in ("pairwise", "revpairwise", "tukey")
        made = grid._contrasted(np.vstack(rows), pd.concat(labels, ignore_index=True), asked, family if pairwise else None)
        return replace(made, ratio_names=ratios)

    def pairs(self, by=None, reverse=False, adjust=None, simple=None):
        """Pairwise differences; arguments as for `contrast`."""
        return self.contrast("pairwise", by=by, adjust=adjust, reverse=reverse, simple=simple)

    def cld(self, level=0.95, letters=None, adjust=None, sort=True, reverse=False):
        """Letters: estimates that share one do not differ; see `fastlmm_hlm.inference.emmeans.cld`."""
        from fastlmm_hlm.inference.emmeans.letters import compact_letters

        return compact_letters(self, level, letters, adjust, sort, reverse)

    def _simple(self, simple, **how):
        columns = list(self.labels.columns)
        if simple == "each":
            names = self.names
            return EmmList({f"simple contrasts for {name}": self.contrast(by=[c for c in columns if c != name], **how) for name in names})
        chosen = [simple] if isinstance(simple, str) else list(simple)
        check_names(chosen, columns, "contrast", "simple = {!r} is no column of these estimates")
        return self.contrast(by=[c for c in columns if c not in chosen], **how)

    def _interaction(self, interaction, names, adjust):
        methods = [interaction] * len(names) if isinstance(interaction, (str, dict)) else list(interaction)
        if len(methods) != len(names):
            raise ArgumentError(f"contrast: interaction has {len(methods)} methods for the {len(names)} factors {', '.join(names)}; give one, or one for each.")
        rows, labels = [], []
        for own in self.groups():
            if len(own) != int(np.prod([len(self.levels[name]) for name in names])):
                raise ArgumentError("contrast: interaction contrasts need all combinations of the factors, and some do not exist here.")
            C, shown_names = np.ones((1, 1)), {}
            for name, method in zip(names, methods, strict=True):
                own_names, D = coefficients(method, row_labels(pd.DataFrame({name: list(self.levels[name])}), [name], self.levels), "contrast")
                shown_names = {key: old * len(own_names) for key, old in shown_names.items()}
                shown_names[f"{name}_{method if isinstance(method, str) else 'custom'}"] = [n for n in own_names for _ in range(len(C))]
                C = np.kron(D, C)
            rows.append(_expand(C, own, len(self)))
            labels.append(_contrast_labels(shown_names, self.labels.iloc[own], self.by))
        return self._contrasted(np.vstack(rows), pd.concat(labels, ignore_index=True), adjust or "none", None)

    def _contrasted(self, C, labels, adjust, family):
        """The linear functions C times these ones."""
        transformation, messages = self.transformation, list(self.messages)
        if transformation is not None:
            if transformation.gives_ratios and np.abs(C.sum(axis=1)).max() < 1e-9:
                transformation = transformation.ratios()
            else:
                messages.append(f"Note: contrasts are still on the {transformation.label} scale ")
                transformation = None
        levels = {name: self.levels.get(name) or tuple(dict.fromkeys(labels[name])) for name in labels.columns}
        return replace(
            self, labels=labels, levels=levels, linfct=C @ self.linfct, offset=C @ self.offset, estimate="estimate",
            messages=messages, notes=[], infer=(False, True), adjust=adjust, null=0.0, family=family,
            transformation=transformation, ratio_names=None,
        )

    def groups(self):
        """Row numbers of each group."""
        if not self.by:
            return [np.arange(len(self))]
        keys = list(map(tuple, self.labels[self.by].to_numpy(dtype=object).tolist()))
        found = {}
        for i, key in enumerate(keys):
            found.setdefault(key, []).append(i)
        return [np.array(rows) for rows in found.values()]

    # --- showing -----------------------------------------------------------------------

    def plot(self, ax=None, level=None, adjust=None, **look):
        """Estimates with their intervals, one row each, matplotlib Axes."""
        from fastlmm_hlm.report.plot_emm import plot_intervals

        return plot_intervals(self.confint(level=level, adjust=adjust), ax=ax, **look)

    def plot_interaction(self, x, trace=None, ax=None, **look):
        """Estimates over the levels of x, a line for each combination of the others, matplotlib Axes."""
        from fastlmm_hlm.report.plot_emm import plot_interaction

        return plot_interaction(self.confint(), x, trace, ax=ax, **look)

    def __str__(self):
        return "".join(f"{note}\n" for note in self.notes) + str(self.summary())

    __repr__ = __str__

    def _repr_html_(self):
        from html import escape

        return "".join(f"<p>{escape(note)}</p>\n" for note in self.notes) + self.summary()._repr_html_()


class EmmList(dict):
    """Several tables by name: ``.emmeans`` (or ``.emtrends``) and ``.contrasts``; prints as R's emm_list."""

    @classmethod
    def of(cls, name, means, method):
        """The means, and contrasts of them."""
        contrasts = means.contrast(method)
        return cls({name: means, "contrasts": contrasts})

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"there is no table {name!r}; there are {', '.join(self)}")

    def __str__(self):
        notes = list(dict.fromkeys(note for table in self.values() for note in table.notes))
        text = "".join(f"{note}\n" for note in notes)
        for name, table in self.items():
            head = name if name.isidentifier() else f"`{name}`"
            text += f"${head}\n{replace(table, notes=[])}\n"
        return text

    __repr__ = __str__

    def _repr_html_(self):
        from html import escape

        return "".join(f"<h4>{escape(name)}</h4>\n{table._repr_html_()}" for name, table in self.items())


def _expand(C, own, total):
    """Coefficients for the rows of one group as coefficients for all rows."""
    wide = np.zeros((len(C), total))
    wide[:, own] = C
    return wide


def _contrast_labels(columns, group, by):
    """Labels of the contrasts of one group."""
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns.items()})
    for name in by:
        frame[name] = pd.Series([group[name].iloc[0]] * len(frame), index=frame.index)
    return frame


SIDES = {"two-sided": 0, "=": 0, "both": 0, 0: 0, ">": 1, "right": 1, 1: 1, "<": -1, "left": -1, -1: -1}


def _checked(options):
    """Options of a summary under their own names and types."""
    out = dict(options)
    if out.get("adjust") is not None:
        out["adjust"] = check_adjust(out["adjust"], "summary")
    if out.get("level") is not None and not 0 < out["level"] < 1:
        raise ArgumentError(f"summary: level = {out['level']!r}; it must lie between 0 and 1, such as 0.95.")
    if out.get("type") is not None and out["type"] not in ("link", "response"):
        raise ArgumentError(f"summary: type = {out['type']!r}; use 'link' or 'response'.")
    if out.get("side") is not None:
        if out["side"] not in SIDES:
            raise ArgumentError(f"summary: side = {out['side']!r}; use 'two-sided', '>' or '<'.")
        out["side"] = SIDES[out["side"]]
    if out.get("infer") is not None:
        out["infer"] = (bool(out["infer"]),) * 2 if isinstance(out["infer"], bool) else tuple(map(bool, out["infer"]))
    return out
