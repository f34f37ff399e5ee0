"""Sites that may not share rows: each sends sums, and the sums give the fit of all rows.

    Study                     what is common: formula, levels, which groups are shared
    site_crossproducts        the sums of one site, saved to a file without rows
    lmer_from_crossproducts   the fit of all sites
"""
from fastlmm_hlm.sites.pooledfit import lmer_from_crossproducts
from fastlmm_hlm.sites.sitefile import SiteCrossProducts
from fastlmm_hlm.sites.study import Study
from fastlmm_hlm.sites.summing import site_crossproducts

__all__ = ["SiteCrossProducts", "Study", "lmer_from_crossproducts", "site_crossproducts"]
