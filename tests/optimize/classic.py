"""The classic models of the mixed-model literature, as criteria."""

import functools

from fastlmm_hlm import datasets
from fastlmm_hlm.formula.frame import build_frame
from reference.models import criterion_of

FORMULAS = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "sleepstudy uncorrelated": ("sleepstudy", "Reaction ~ Days + (Days || Subject)"),
    "Dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)"),
    "Dyestuff2": ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    "Pastes": ("Pastes", "strength ~ 1 + (1 | sample) + (1 | batch)"),
    "Penicillin": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "cake": ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
    "cake slopes": ("cake", "angle ~ recipe * temp + (1 + temp | recipe:replicate)"),
    "Hsb82": ("Hsb82", "mAch ~ cses + (cses | school)"),
}


@functools.cache
def criterion(name, reml=True):
    data, formula = FORMULAS[name]
    return criterion_of(build_frame(formula, datasets.load(data)), reml)[0]
