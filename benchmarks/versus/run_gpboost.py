"""Fit one case with gpboost: maximum likelihood, grouping factors with random intercepts.

Its own frame is a matrix of predictors and one of grouping factors, made before the clock starts.
By default it approximates determinant and gradient by random vectors; the option
"matrix_inversion_method" goes to the model, the others to the optimizer.
"""

from importlib.metadata import version

import gpboost
import numpy as np
import pandas as pd
import stopwatch

METHOD = "matrix_inversion_method"
MODELS = {
    "insteval": ("y", {"service1": "service"}, ["s", "d", "dept"]),
    "nested": ("score", {"x1": "x1", "x2": "x2"}, ["school", "class"]),
    "crossed": ("y", {"x": "x"}, ["student", "teacher"]),
    "valueadded": ("score", {"grade": "grade"}, ["student", "teacher", "school"]),
}


def load(job):
    response, fixed, groups = MODELS[job["case"]]
    data = pd.read_csv(job["data"], engine="pyarrow")
    X = np.column_stack([np.ones(len(data)), data[list(fixed.values())].to_numpy(float)])
    return data[response].to_numpy(float), X, data[groups].to_numpy()


def fit(data, job):
    y, X, groups = data
    options = dict(job["options"])
    method = {METHOD: options.pop(METHOD)} if METHOD in options else {}
    model = gpboost.GPModel(group_data=groups, likelihood="gaussian", num_parallel_threads=job["threads"], **method)
    return model.fit(y, X=X, params=options)


def describe(fitted, job):
    _, fixed, groups = MODELS[job["case"]]
    residual, *variances = np.asarray(fitted.get_cov_pars(), dtype=float).ravel()
    coefficients = np.asarray(fitted.get_coef(), dtype=float).ravel()
    return {
        "criterion": 2 * float(fitted.get_current_neg_log_likelihood()),
        "fixef": dict(zip(["(Intercept)", *fixed], coefficients.tolist(), strict=True)),
        "varcomp": {
            group: {"names": ["(Intercept)"], "cov": [[float(value)]]}
            for group, value in zip(groups, variances, strict=True)
        },
        "residual": float(residual),
        "remark": "" if METHOD in job["options"] else "its likelihood is a stochastic approximation",
    }


stopwatch.run(f"gpboost {version('gpboost')}", load, fit, describe)
