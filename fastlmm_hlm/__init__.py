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
from fastlmm_hlm.ingest.prepare import prepare
from fastlmm_hlm.ingest.store import Store
from fastlmm_hlm.migrate import migrate
from fastlmm_hlm.model.cost import cost
from fastlmm_hlm.model.given import make_lmer
from fastlmm_hlm.rbridge.handing import to_r
from fastlmm_hlm.rbridge.reading import from_r, read_rdata, read_rds
from fastlmm_hlm.sites import SiteCrossProducts, Study, lmer_from_crossproducts, site_crossproducts
from fastlmm_hlm.verification.verify import verify
from fastlmm_hlm.model.generics import *  # noqa: F403
from fastlmm_hlm.model.generics import __all__ as _generics

__version__ = "0.1.0"
__all__ = [
    "KRmodcomp", "PBmodcomp", "SATmodcomp", "SiteCrossProducts", "Store", "Study", "cld", "compare_models",
    "compare_performance", "contrast", "cost", "datasets", "errors", "exactLRT", "exactRLRT", "fcompare", "from_r",
    "get_model", "joint_tests", "lmList", "lmer", "lmerControl", "lmer_from_crossproducts", "make_lmer", "migrate",
    "model_table", "pairs", "prepare", "read_rdata", "read_rds", "show_tests", "simulate_formula",
    "site_crossproducts", "to_r", "verify", *_generics,
]
