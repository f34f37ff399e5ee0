"""Backward elimination of random and fixed terms: lmerTest's step()."""

from dataclasses import dataclass
from html import escape

import numpy as np

from fastlmm_hlm.design.restrict import fixed_columns_only, residual_sum_of_squares
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula.reduce import droppable, marginal_to, without_dot, without_term
from fastlmm_hlm.inference.comparison import require_fit
from fastlmm_hlm.inference.drop1 import F_COLUMNS, f_tests
from fastlmm_hlm.inference.ranova import COLUMNS, random_terms_written_out, reduction_table, single_reductions
from fastlmm_hlm.inference.tails import f_pvalue
from fastlmm_hlm.report.anovatable import AnovaTable

RANDOM_TITLE = "Backward reduced random-effect table:"
FIXED_TITLE = "Backward reduced fixed-effect table:"
LM_COLUMNS = ["Df", "Sum of Sq", "RSS", "AIC", "F value", "Pr(>F)"]


@dataclass(frozen=True)
class StepResult:
    """The tables of a backward elimination and the model it ends with.

    Attributes
    ----------
    random, fixed : AnovaTable
        Terms in the order of their elimination, then those that stay; the column
        Eliminated counts eliminations and is 0 for what stays.
    formula : str
        Of the final model.
    model : LinearMixedModel or None
        None if no random term is left.
    """

    random: object
    fixed: object
    formula: str
    model: object

    def get_model(self):
        """The final model.

        Raises
        ------
        ArgumentError
            If it has no random terms left.
        """
        if self.model is None:
            raise ArgumentError(
                f"get_model: every random term was eliminated; what is left is the linear model '{self.formula}', "
                "which lmer() does not fit."
            )
        return self.model

    def __str__(self):
        return "\n".join([str(self.random), str(self.fixed), f"Model found:\n{self.formula}\n"])

    __repr__ = __str__

    def _repr_html_(self):
        found = f"<p>Model found: <code>{escape(self.formula)}</code></p>"
        return self.random._repr_html_() + self.fixed._repr_html_() + found


def step(fit, alpha_random=0.1, alpha_fixed=0.05, keep=None, reduce_random=True, reduce_fixed=True,
         ddf="Satterthwaite"):
    """Backward elimination of random terms, then of fixed terms.

    At each step the term with the largest p-value above its alpha is left out;
    random terms are tested by `ranova`, fixed terms by F tests as in `drop1`.  All models
    come from the cross-products of the fit.  P-values after a selection are too
    small; the tables describe the search.

    Parameters
    ----------
    fit : LinearMixedModel
    alpha_random, alpha_fixed : float
        Largest p-values of terms that stay.
    keep : str or sequence of str, optional
        Fixed terms that stay, with all terms contained in them.
    reduce_random, reduce_fixed : bool
        Whether to eliminate terms of each part; otherwise it is only tested.
    ddf : {"Satterthwaite", "Kenward-Roger"}

    Returns
    -------
    StepResult
        See `get_model`.

    Raises
    ------
    ArgumentError
        If `keep` names no term of the fixed part, or an alpha is no probability.
    """
    require_fit(fit, "step")
    for name, alpha in (("alpha_random", alpha_random), ("alpha_fixed", alpha_fixed)):
        if not 0.0 <= alpha <= 1.0:
            raise ArgumentError(f"step: {name} = {alpha!r}; expected a probability.")
    terms = fit._spec.fixed_recipe.terms
    keep = [keep] if isinstance(keep, str) else list(keep or [])
    unknown = [label for label in keep if label not in terms.labels]
    if unknown:
        raise ArgumentError(f"step: keep names {', '.join(map(repr, unknown))}; the fixed terms are "
                            f"{', '.join(terms.labels) or 'none'}.")
    kept = marginal_to(terms.terms, keep)
    alpha = alpha_fixed if reduce_fixed else 1.0
    random, model, formula = _reduce_random(fit, alpha_random if reduce_random else 1.0)
    if model is None:
        fixed, formula = _reduce_linear(fit, formula, alpha, kept)
    else:
        fixed, model, formula = _reduce_fixed(model, formula, alpha, kept, ddf)
    return StepResult(random, fixed, str(fit.formula) if model is fit else formula.text, model)


def get_model(result):
    """The final model of `step`."""
    if not isinstance(result, StepResult):
        raise ArgumentError(f"get_model: expected the result of step(), got {type(result).__name__}.")
    return result.get_model()


def _reduce_random(fit, alpha):
    """Eliminate random terms.

    Returns
    -------
    table : AnovaTable
    fit : LinearMixedModel or None
    formula : Formula
    """
    formula = random_terms_written_out(fit)
    here, gone, values = fit, [], []
    while True:
        made = single_reductions(here, formula)
        table = reduction_table(here, made, [])
        if not gone:
            values.append(("<none>", np.nan, table.iloc[0]))
        p = np.nan_to_num(table["Pr(>Chisq)"].to_numpy()[1:], nan=-1.0)
        worst = int(p.argmax())
        if not p[worst] > alpha:
            values += [(r.label, 0.0, table.iloc[k]) for k, r in enumerate(made, start=1)]
            break
        gone.append(made[worst].label)
        values.append((made[worst].label, float(len(gone)), table.iloc[worst + 1]))
        here, formula = made[worst].fit, made[worst].formula
        if here is None:
            break
    if here is fit:
        formula = without_dot(str(fit.formula), fit._spec.fixed_recipe.terms)
    return _eliminated(values, COLUMNS, [RANDOM_TITLE, ""]), here, formula


def _eliminated(values, columns, heading):
    """The table of (label, number of its elimination, statistics)."""
    made = {"Eliminated": [number for _, number, _ in values]}
    made |= {name: [float(row[name]) for _, _, row in values] for name in columns}
    return AnovaTable.make(made, [label for label, _, _ in values], heading)


def _reduce_fixed(fit, formula, alpha, kept, ddf):
    """Eliminate fixed terms of a mixed model by F tests.

    Returns
    -------
    table : AnovaTable
    model : LinearMixedModel
    formula : Formula
    """
    here, values, count = fit, [], 0
    while True:
        tests = f_tests(here, None, ddf)
        candidates = [label for label in tests.index if label not in kept]
        p = tests.loc[candidates, "Pr(>F)"].to_numpy() if candidates else np.zeros(0)
        worst = int(np.nan_to_num(p, nan=-1.0).argmax()) if len(p) else 0
        if not len(p) or not p[worst] > alpha:
            values += [(label, 0.0, tests.loc[label]) for label in tests.index]
            break
        count += 1
        values.append((candidates[worst], float(count), tests.loc[candidates[worst]]))
        formula = without_term(formula, candidates[worst])
        here = here._submodel(formula)
    heading = [FIXED_TITLE, f"Degrees of freedom method: {_method_name(ddf)} ", ""]
    return _eliminated(values, F_COLUMNS, heading), here, formula


def _method_name(ddf):
    from fastlmm_hlm.inference.ddf import canonical_name

    return canonical_name(ddf, "step")


def _reduce_linear(fit, formula, alpha, kept):
    """Eliminate terms of the linear model that is left without random terms.

    Returns
    -------
    table : AnovaTable
    formula : Formula
    """
    recipe, products = fit._spec.fixed_recipe, fit._products
    place = {int(column): j for j, column in enumerate(fit._kept_columns)}
    columns = {label: [place[j] for j in np.flatnonzero(recipe.assign == k) if j in place]
               for k, label in enumerate(recipe.terms.labels, start=1)}
    sets = dict(zip(recipe.terms.labels, recipe.terms.terms))
    left, values, count = list(recipe.terms.labels), [], 0
    intercept = [place[j] for j in np.flatnonzero(recipe.assign == 0) if j in place]
    while True:
        here = intercept + [j for label in left for j in columns[label]]
        tests = {left[i]: _linear_test(products, fit._x_centring, here, columns[left[i]])
                 for i in droppable([sets[label] for label in left])}
        candidates = [label for label in tests if label not in kept]
        worst = max(candidates, key=lambda label: tests[label]["Pr(>F)"], default=None)
        if worst is None or not tests[worst]["Pr(>F)"] > alpha:
            values += [(label, 0.0, test) for label, test in tests.items()]
            break
        count += 1
        values.append((worst, float(count), tests[worst]))
        left.remove(worst)
        formula = without_term(formula, worst)
    return _eliminated(values, LM_COLUMNS, [FIXED_TITLE]), formula


def _linear_test(products, centring, columns, dropped):
    """F test of some columns of a linear model, as R's drop1 of lm."""
    n = products.n
    smaller = sorted(set(columns) - set(dropped))
    rss, more = (residual_sum_of_squares(fixed_columns_only(products, centring, kept))[0]
                 for kept in (sorted(columns), smaller))
    df, residual = len(dropped), n - len(columns)
    F = (more - rss) / df / (rss / residual)
    return {"Df": df, "Sum of Sq": more - rss, "RSS": more, "AIC": n * np.log(more / n) + 2 * len(smaller),
            "F value": F, "Pr(>F)": f_pvalue(F, df, residual)}
