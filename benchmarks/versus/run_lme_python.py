"""Fit one case with lme-python (the Rust engine lme-rs).

It takes polars frames without conversion; grouping factors are integers, factors
among the predictors are text.  Products in a random-effects term cannot be parsed
(version 0.2.7), so `maximal` gets its product as a column.
"""

from importlib.metadata import version

import lme_python
import polars as pl
import stopwatch

OWN_FORMULA = {"maximal": "y ~ a * b + (1 + a + b + ab | subject) + (1 + a + b + ab | item)"}


def load(job):
    data = pl.read_csv(job["data"])
    if job["case"] == "maximal":
        data = data.with_columns(ab=pl.col("a") * pl.col("b"))
    fixed = job["formula"].split("(")[0]
    predictors = [factor for factor in job["factors"] if factor in fixed]
    return data.with_columns(pl.col(factor).cast(pl.String) for factor in predictors)


def fit(data, job):
    control = lme_python.FitControl(**job["options"]) if job["options"] else None
    return lme_python.lmer(OWN_FORMULA.get(job["case"], job["formula"]), data, job["REML"], control=control)


def describe(fitted, job):
    varcomp, residual = {}, None
    for group, first, second, value, _ in fitted.var_corr:
        if group == "Residual":
            residual = value
            continue
        names, cells = varcomp.setdefault(group, ([], {}))
        if first == second:
            names.append(r_name(first))
        cells[r_name(first), r_name(second)] = cells[r_name(second), r_name(first)] = value
    return {
        "criterion": fitted.reml_criterion if job["REML"] else fitted.deviance,
        "fixef": dict(zip(map(r_name, fitted.fixed_names), fitted.coefficients, strict=True)),
        "varcomp": {
            group: {"names": names, "cov": [[cells[a, b] for b in names] for a in names]}
            for group, (names, cells) in varcomp.items()
        },
        "residual": residual,
        "evaluations": fitted.iterations or 0,
        "remark": "" if fitted.converged else "it reports that it did not converge",
    }


def r_name(name):
    """The column `ab`, and "a:b:" as this version writes products, as R writes them."""
    return {"ab": "a:b"}.get(name, name.rstrip(":"))


stopwatch.run(f"lme-python {version('lme_python')}", load, fit, describe)
