"""lmerTest's examples of its comparison with SAS: F tests and least squares means, from R's data at test time.

The models of Kuznetsova, Brockhoff & Christensen (2017), J. Statist. Softw. 82(13), on carrots, ham and TVbo.
"""

import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from fastlmm_hlm import difflsmeans, emmeans, lmer, ls_means

# numDeriv's second derivatives in lmerTest are good to about 1e-6; p-values amplify what is left.
ACCURACY = 1e-4
MODELS = {
    "carrots": ("Preference ~ sens2 * Homesize + (1 + sens2 | Consumer)", ["Homesize"]),
    "ham": ("Informed.liking ~ Product * Information * Gender + (1 | Product:Consumer) + (1 | Information:Consumer) + (1 | Consumer)",
            ["Product", "Information", "Product:Information"]),
    "TVbo": ("Coloursaturation ~ TVset * Picture + (1 | Assessor) + (1 | Assessor:TVset)", ["TVset", "Picture", "TVset:Picture"]),
}
R_PROGRAM = """
suppressMessages(library(lmerTest)); library(jsonlite)
spec <- fromJSON(commandArgs(TRUE)[1]); folder <- commandArgs(TRUE)[2]
data(list = spec$data, package = "lmerTest"); d <- get(spec$data)
write.csv(d, file.path(folder, "data.csv"), row.names = FALSE)
kinds <- vapply(d, function(x) if (is.factor(x)) "factor" else "number", "")
levels <- lapply(Filter(is.factor, d), base::levels)
fit <- lmer(as.formula(spec$formula), d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5)))
means <- as.data.frame(ls_means(fit, which = spec$terms)); differences <- as.data.frame(difflsmeans(fit, which = spec$terms))
writeLines(toJSON(list(levels = levels, anova = as.data.frame(anova(fit)), terms = attr(terms(fit), "term.labels"), means = means, differences = differences),
                  digits = NA, dataframe = "columns"), file.path(folder, "answers.json"))
"""


@pytest.fixture(scope="module", params=MODELS)
def example(request, tmp_path_factory):
    """Our fit on R's data, and lmerTest's answers."""
    if shutil.which("Rscript") is None:
        if os.environ.get("FASTLMM_REQUIRE_R") == "1":
            pytest.fail("FASTLMM_REQUIRE_R=1, but Rscript is not on the path")
        pytest.skip("Rscript is not installed")
    name = request.param
    formula, terms = MODELS[name]
    folder = tmp_path_factory.mktemp(name)
    spec = json.dumps({"data": name, "formula": formula, "terms": terms})
    run = subprocess.run(["Rscript", "--vanilla", "-e", R_PROGRAM, spec, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    answers = json.loads((folder / "answers.json").read_text())
    data = pd.read_csv(folder / "data.csv", dtype={column: str for column in answers["levels"]})
    for column, levels in answers["levels"].items():
        data[column] = pd.Categorical(data[column], categories=levels)
    return lmer(formula, data), terms, answers


@pytest.mark.parity
def test_f_tests_are_lmertests(example):
    fit, _, answers = example
    ours = fit.anova(type="III")
    for column in ours.columns:
        values = answers["anova"][column]
        np.testing.assert_allclose(ours[column].to_numpy(dtype=float), values, rtol=ACCURACY, atol=1e-12, err_msg=column)


@pytest.mark.parity
def test_least_squares_means_are_lmertests(example):
    fit, terms, answers = example
    tables = [emmeans(fit, term.split(":"), ddf="Satterthwaite").to_frame() for term in terms]
    theirs = answers["means"]
    columns = {"emmean": "Estimate", "SE": "Std. Error", "df": "df", "lower.CL": "lower", "upper.CL": "upper"}
    for ours, name in columns.items():
        found = np.concatenate([table[ours].to_numpy(dtype=float) for table in tables])
        np.testing.assert_allclose(found, theirs[name], rtol=ACCURACY, err_msg=name)


@pytest.mark.parity
@pytest.mark.parametrize("function, name", [(ls_means, "means"), (difflsmeans, "differences")])
def test_the_tables_of_ls_means_and_difflsmeans_are_lmertests(example, function, name):
    fit, terms, answers = example
    ours, theirs = function(fit, terms).to_frame(), answers[name]
    assert ours["term"].tolist() == theirs["term"] and ours["levels"].tolist() == theirs["levels"]
    for column in ours.columns[2:]:
        np.testing.assert_allclose(ours[column], np.array(theirs[column], float), rtol=ACCURACY, atol=1e-6, err_msg=column)
