"""Fitting from rows that do not fit into memory: two passes, each a sum over blocks of rows.

    Request      what is asked of the rows: formula, weights, offset, subset, contrasts
    Scan         the first pass: levels, missing values, means, a few rows         -> Plan
    Products     the second pass: cross-products under a Plan                      -> CrossProducts
    one_pass     both in one reading, where the formula allows it
    open_source  blocks of rows from files, databases and functions
"""
from fastlmm_hlm.ingest.plan import Plan
from fastlmm_hlm.ingest.products import Products
from fastlmm_hlm.ingest.request import Request
from fastlmm_hlm.ingest.scan import Scan

__all__ = ["Plan", "Products", "Request", "Scan"]
