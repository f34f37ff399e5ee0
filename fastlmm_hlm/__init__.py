"""Linear mixed models for Python: lme4's formulas, numbers and tables."""

from importlib import import_module

from fastlmm_hlm import datasets, errors
from fastlmm_hlm.api import lmer, lmerControl
from fastlmm_hlm.model.generics import *  # noqa: F403
from fastlmm_hlm.model.generics import __all__ as _generics

__version__ = "0.1.0"

# Module -> names, loaded when first asked for.
_LATER = {
    "inference.comparison": "compare_models",
    "inference.denovo": "simulate_formula",
    "inference.emmeans": "cld contrast joint_tests pairs",
    "inference.lmlist": "lmList",
    "inference.modcomp": "KRmodcomp SATmodcomp",
    "inference.modeltable": "model_table",
    "inference.pbmodcomp": "PBmodcomp",
    "inference.performance": "compare_performance",
    "inference.powertests": "fcompare",
    "inference.rlrt": "exactLRT exactRLRT",
    "inference.showtests": "show_tests",
    "inference.step": "get_model",
    "ingest.prepare": "prepare",
    "ingest.store": "Store",
    "migration": "migrate",
    "model.cost": "cost",
    "model.given": "make_lmer",
    "rbridge.handing": "to_r",
    "rbridge.reading": "from_r read_rdata read_rds",
    "sites": "SiteCrossProducts Study lmer_from_crossproducts site_crossproducts",
    "verification.verify": "verify",
}
_MODULE_OF = {name: module for module, names in _LATER.items() for name in names.split()}
__all__ = sorted({"datasets", "errors", "lmer", "lmerControl", *_MODULE_OF, *_generics})


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *_MODULE_OF]
