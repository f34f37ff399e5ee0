"""The models whose answers of R are stored."""

from fastlmm_hlm import datasets

MODELS = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy", {}),
    "dyestuff2_singular": ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", {}),
    "cake_ml_sum": ("angle ~ recipe * temp + (1 | recipe:replicate)", "cake", {"REML": False, "contrasts": {"recipe": "contr.sum"}}),
    # The temperature is not centred: lme4's optimizers stop above the optimum.
    "cake_uncentred": ("angle ~ temp + (1 + temp | recipe:replicate)", "cake", {}),
}


def model(name):
    """Formula, data and arguments of one."""
    formula, data, arguments = MODELS[name]
    return formula, datasets.load(data), arguments
