"""Exact tests of one variance component: RLRsim's exactRLRT() and exactLRT()."""

from dataclasses import dataclass, field

import numpy as np

from fastlmm_hlm.design.restrict import linear_model_criterion
from fastlmm_hlm.errors import ArgumentError
from fastlmm_hlm.formula import parse_formula
from fastlmm_hlm.inference.comparison import check_same_response, require_fit
from fastlmm_hlm.inference.spectral import merged, simulated_statistics, spectrum_of_residuals
from fastlmm_hlm.report.html import table_html
from fastlmm_hlm.report.rformat import format_numbers

# A statistic below this is zero: the variance is estimated on its boundary.
NOTHING = 1e-8


@dataclass(frozen=True)
class ExactTest:
    """A test of one variance component by simulation of the exact null distribution.

    Attributes
    ----------
    name : {"RLRT", "LRT"}
    statistic : float
    p_value : float
        Share of the simulated values above the statistic.
    se : float
        Monte-Carlo standard error of the p-value.
    nsim : int
        Simulated values; 0 where the statistic is zero and none were needed.
    sample : ndarray (nsim,)
        The simulated values.
    """

    name: str
    statistic: float
    p_value: float
    se: float
    nsim: int
    sample: np.ndarray = field(repr=False)

    @property
    def method(self):
        """What was done, in RLRsim's words."""
        return f"simulated finite sample distribution of {self.name}."

    def __str__(self):
        based = f"(p-value based on {self.nsim} simulated values)"
        if self.name == "RLRT":
            title = f"\t{self.method}\n\t\n\t{based}"
        else:
            title = f"\t{self.method} {based}".replace(f"{self.nsim} simulated", f"{self.nsim}\n\tsimulated")
        statistic = format_numbers([self.statistic], 5)[0]
        return f"\n{title}\n\ndata:  \n{self.name} = {statistic}, p-value {self._p_text()}\n\n"

    __repr__ = __str__

    def _repr_html_(self):
        note = f"p-value based on {self.nsim} simulated values"
        words = [format_numbers([self.statistic], 5)[0], self._p_text().removeprefix("= ")]
        return table_html([self.name, "p-value"], [words], self.method[0].upper() + self.method[1:], None, [note])

    def _p_text(self):
        if self.p_value == 0:
            return f"< {1 / self.nsim:.2g}"
        return f"= {format_numbers([self.p_value], 4)[0]}"


def exactRLRT(m, mA=None, m0=None, nsim=10_000, seed=None):  # noqa: N802, N803 - RLRsim's names
    """Exact restricted likelihood ratio test that one variance is zero.

    The null distribution of the statistic is simulated from the eigenvalues of
    Z'P0Z (Crainiceanu & Ruppert 2004), which come from cross-products: no rows are
    needed.  With one variance component give the fit alone.  With several,
    `m` holds only the component that is tested, `mA` all of them and `m0` all others
    (Greven, Crainiceanu, Kuechenhoff & Peters 2008).

    Parameters
    ----------
    m : LinearMixedModel
        With one random term of one column, such as (1 | g) or (0 + x | g).
    mA, m0 : LinearMixedModel, optional
        The full model and the model without the component.
    nsim : int
        Values to simulate.
    seed : int, optional

    Returns
    -------
    ExactTest

    Raises
    ------
    ArgumentError
        If `m` has more than one variance component, or only one of `mA` and `m0` is given.

    Notes
    -----
    Fits by maximum likelihood are fitted again by REML first.  More than 2,000
    different values of the diagonal of Z'WZ are put into bins of nearly equal ones.
    """
    require_fit(m, "exactRLRT")
    nsim, seed = _simulation(nsim, seed, "exactRLRT")
    _one_variance(m, "exactRLRT", "give m with only the term that is tested, mA with all terms and m0 without it")
    if (mA is None) != (m0 is None):
        raise ArgumentError("exactRLRT: with several variance components both mA and m0 are needed.")
    if mA is None:
        statistic = linear_model_criterion(m._products, True) - m._with_criterion(True).REMLcrit()
    else:
        for other, name in ((mA, "mA"), (m0, "m0")):
            require_fit(other, f"exactRLRT: {name}")
            check_same_response(m, other, f"exactRLRT: m and {name}")
        if mA.npar != m0.npar + 1:
            raise ArgumentError(f"exactRLRT: mA has {mA.npar} parameters and m0 {m0.npar}; expected one more in mA.")
        statistic = m0._with_criterion(True).REMLcrit() - mA._with_criterion(True).REMLcrit()
    mu, counts = spectrum_of_residuals(*_projected(m._products))
    free = m._products.n - m._products.p
    return _test("RLRT", statistic, nsim, seed, lambda rng: simulated_statistics(mu, counts, mu, counts, free, free,
                                                                                 rng, nsim))


def exactLRT(m, m0=None, nsim=10_000, seed=None):  # noqa: N802 - RLRsim's name
    """Exact likelihood ratio test that one variance, and maybe some fixed effects, are zero.

    Parameters
    ----------
    m : LinearMixedModel
        With one random term of one column.
    m0 : str, optional
        Fixed part of the null model, such as "y ~ 1"; by default that of `m`, and then
        `exactRLRT` has more power.
    nsim : int
    seed : int, optional

    Returns
    -------
    ExactTest

    Raises
    ------
    ArgumentError
        If `m` has more than one variance component, or m0 is not nested in it.
    """
    require_fit(m, "exactLRT")
    nsim, seed = _simulation(nsim, seed, "exactLRT")
    _one_variance(m, "exactLRT", "it can test one variance component only")
    null, dropped = m._products, 0
    if m0 is not None:
        smaller = m._submodel(_null_formula(m, m0), False)
        if not set(smaller.fixef().index) <= set(m.fixef().index):
            raise ArgumentError(f"exactLRT: the fixed part of {m0!r} is not contained in that of '{m.formula}'.")
        null, dropped = smaller._products, len(m.fixef()) - len(smaller.fixef())
    statistic = linear_model_criterion(null, False) - m._with_criterion(False).deviance()
    products = m._products
    mu, counts = spectrum_of_residuals(*_projected(products))
    d = products.ZtWZ[0].ravel()
    xi, xi_counts = merged(*np.unique(d, return_counts=True))
    n = products.n
    return _test("LRT", statistic, nsim, seed, lambda rng: simulated_statistics(mu, counts, xi, xi_counts, n,
                                                                                n - products.p, rng, nsim, dropped))


def _null_formula(m, m0):
    """The formula with the fixed part of m0 and the random part of m."""
    asked = parse_formula(m0)
    own = parse_formula(str(m.formula))
    if asked.bars:
        raise ArgumentError(f"exactLRT: m0 = {m0!r} has random terms; give the fixed part alone.")
    if asked.response not in (None, own.response):
        raise ArgumentError(f"exactLRT: m0 has the response {asked.response}, the model {own.response}.")
    fixed = asked.fixed_text.partition("~")[2].strip()
    return f"{own.response} ~ {fixed} + {own.random_texts[0]}"


def _one_variance(m, caller, advice):
    """Refuse a model with more than one variance component.

    Raises
    ------
    ArgumentError
    """
    sizes = [term.covariance.size for term in m._terms]
    if len(sizes) != 1 or sizes[0] != 1 or len(m._terms[0].names) != 1:
        terms = ", ".join(term.text for term in m._terms)
        raise ArgumentError(f"{caller}: the model has {sum(sizes)} parameters of random effects ({terms}), expected one "
                            f"variance; {advice}.")


def _projected(products):
    """d, (q,), and U, (q, p), with Z'P0Z = diag(d) - U U'; levels without any Z are left out."""
    p = products.p
    d = products.ZtWZ[0].ravel()
    used = d > 0
    if not p:
        return d[used], np.zeros((int(used.sum()), 0))
    ZtWX = products.ZtWXy[0][used, 0, :p]
    XtX = products.XyWXy[:p, :p]
    scale = 1.0 / np.sqrt(np.diagonal(XtX))
    L = np.linalg.cholesky(XtX * np.outer(scale, scale))
    return d[used], np.linalg.solve(L, (ZtWX * scale).T).T


def _simulation(nsim, seed, caller):
    if not isinstance(nsim, (int, np.integer)) or nsim < 1:
        raise ArgumentError(f"{caller}: nsim = {nsim!r}; expected a whole number, at least 1.")
    try:
        return int(nsim), np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: seed = {seed!r}; expected a whole number >= 0 or None.") from None


def _test(name, statistic, nsim, rng, simulate):
    statistic = max(float(statistic), 0.0)
    if statistic < NOTHING:
        return ExactTest(name, 0.0, 1.0, 0.0, 0, np.empty(0))
    sample = simulate(rng)
    p = float((sample > statistic).mean())
    return ExactTest(name, statistic, p, float(np.sqrt(p * (1 - p) / nsim)), nsim, sample)
