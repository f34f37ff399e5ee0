"""The stored criteria against the definition, written out with SciPy's sparse matrices.

This checks both sides without either optimizer: that the formula is read as R
reads it, and that the criterion in the reference is the one that is meant.
"""

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from fastlmm_hlm.formula.frame import build_frame
from parity.cases import all_cases

# lme4 itself loses about nine digits where a predictor is a calendar year.
TOLERANCE = 1e-6


def criterion(frame, theta, reml, columns):
    """-2 log likelihood, profiled over beta and sigma, and restricted if reml (Bates et al. 2015, sec. 3)."""
    n, p = len(frame.y), len(columns)
    w = np.ones(n) if frame.weights is None else frame.weights
    y = np.sqrt(w) * (frame.y if frame.offset is None else frame.y - frame.offset)
    # X = QR: the fit is the same in the basis Q, and log|RX| differs by log|R|.
    Q, R = np.linalg.qr(np.sqrt(w)[:, None] * frame.X[:, columns])
    y = y - Q @ (Q.T @ y)
    ZL = sparse.diags(np.sqrt(w)) @ sparse.hstack(list(spherical_columns(frame, theta)))
    M = splu((ZL.T @ ZL + sparse.identity(ZL.shape[1])).tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
             options={"SymmetricMode": True})
    ZQ, Zy = ZL.T @ Q, ZL.T @ y
    C = np.eye(p) - ZQ.T @ M.solve(ZQ)
    c = -ZQ.T @ M.solve(Zy)
    pwrss = y @ y - Zy @ M.solve(Zy) - c @ np.linalg.solve(C, c)
    ldL2 = np.log(np.abs(M.U.diagonal())).sum()
    ldRX2 = np.linalg.slogdet(C)[1] + 2.0 * np.log(np.abs(np.diag(R))).sum()
    degrees = n - p if reml else n
    return ldL2 + reml * ldRX2 + degrees * (1.0 + np.log(2.0 * np.pi * pwrss / degrees)) - np.log(w).sum()


def spherical_columns(frame, theta):
    """Z_k lambda_k of each term, shape (n, levels * columns)."""
    start = 0
    for term in frame.random:
        n, size = term.Z.shape
        template = np.zeros((size, size))
        column, row = np.triu_indices(size)
        template[row, column] = theta[start : start + row.size]
        start += row.size
        place = term.codes[:, None] * size + np.arange(size)
        rows = np.repeat(np.arange(n), size)
        yield sparse.csr_matrix(((term.Z @ template).ravel(), (rows, place.ravel())), shape=(n, len(term.levels) * size))
    assert start == len(theta)


def parameters():
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.is_slow else []) for case in all_cases()]


@pytest.mark.parametrize("case", parameters())
def test_the_stored_criteria_follow_from_the_definition(case):
    reference = case.reference()
    arguments = {name: value for name, value in case.arguments().items() if name != "REML"}
    frame = build_frame(case.formula, case.frame(), **arguments)
    assert len(frame.y) == reference["nobs"]
    assert [term.names for term in frame.random] == [term["terms"] for term in reference["cnms"]]
    columns = [frame.x_names.index(name) for name in reference["fixef"]["names"]]
    points = [*reference["at"], {"theta": reference["theta"], "criterion": reference["criterion"]}]
    for point in points:
        assert criterion(frame, point["theta"], case.REML, columns) == pytest.approx(point["criterion"], abs=TOLERANCE, rel=0)
