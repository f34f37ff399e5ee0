"""Linear mixed models for Python: lme4's formulas, numbers and tables."""

from fastlmm_hlm import datasets, errors
from fastlmm_hlm.api import lmer, lmerControl
from fastlmm_hlm.inference.emmeans import contrast, joint_tests, pairs
from fastlmm_hlm.inference.performance import compare_performance
from fastlmm_hlm.inference.showtests import show_tests
from fastlmm_hlm.model.generics import *  # noqa: F403
from fastlmm_hlm.model.generics import __all__ as _generics

__version__ = "0.1.0"
__all__ = ["compare_performance", "contrast", "datasets", "errors", "joint_tests", "lmer", "lmerControl", "pairs", "show_tests", *_generics]
