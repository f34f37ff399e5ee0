"""The models whose least squares means are compared with lmerTest's.

python -m tests.inference.lsmeans_cases     the cases as JSON, for make_lsmeans_reference.R
"""

import json

from tests.inference.ddf_cases import cases, for_r

NAMES = (
    "cake_factors cake_linear_temp cake_sum_coding carrots_sas ham_sas ham_three_way_unbalanced tvbo_coloursaturation "
    "oats_split_plot machines_factor_slope ergo_helmert cake_ordered"
).split()
PRINTED = ("cake_factors", "carrots_sas", "tvbo_coloursaturation", "ham_sas")

if __name__ == "__main__":
    print(json.dumps([for_r(cases()[name]) | {"printed": name in PRINTED} for name in NAMES]))
