"""Linear mixed models for Python: lme4's formulas, numbers and tables."""

from fastlmm_hlm import datasets, errors
from fastlmm_hlm.api import lmer, lmerControl
from fastlmm_hlm.inference.comparison import compare_models
from fastlmm_hlm.inference.denovo import simulate_formula
from fastlmm_hlm.inference.emmeans import cld, contrast, joint_tests, pairs
from fastlmm_hlm.inference.lmlist import lmList
from fastlmm_hlm.inference.modcomp import KRmodcomp, SATmodcomp
from fastlmm_hlm.inference.modeltable import model_table
from fastlmm_hlm.inference.pbmodcomp import PBmodcomp
from fastlmm_hlm.inference.performance import compare_performance
from fastlmm_hlm.inference.powertests import fcompare
from fastlmm_hlm.inference.rlrt import exactLRT, exactRLRT
from fastlmm_hlm.inference.showtests import show_tests
from fastlmm_hlm.inference.step import get_model
from fastlmm_hlm.migrate import migrate
from fastlmm_hlm.model.given import make_lmer
from fastlmm_hlm.model.generics import *  # noqa: F403
from fastlmm_hlm.model.generics import __all__ as _generics

__version__ = "0.1.0"
__all__ = [
    "KRmodcomp", "PBmodcomp", "SATmodcomp", "cld", "compare_models", "compare_performance", "contrast", "datasets",
    "errors", "exactLRT", "exactRLRT", "fcompare", "get_model", "joint_tests", "lmList", "lmer", "lmerControl",
    "make_lmer", "migrate", "model_table", "pairs", "show_tests", "simulate_formula", *_generics,
]
