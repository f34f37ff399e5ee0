"""Model formulas in R's language, and the arrays they ask for.

    Formula, parse_formula, update_formula    text -> Formula
    build_frame                               Formula + data -> ModelFrame
    DesignSpec                                the same matrices from new data
"""
from fastlmm_hlm.formula.formula import Formula, parse_formula
from fastlmm_hlm.formula.frame import ModelFrame, RandomTermFrame, build_frame
from fastlmm_hlm.formula.spec import DesignSpec
from fastlmm_hlm.formula.update import update_formula

__all__ = ["DesignSpec", "Formula", "ModelFrame", "RandomTermFrame", "build_frame", "parse_formula", "update_formula"]
