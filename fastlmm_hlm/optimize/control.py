"""Choices about the optimizer and the checks around it."""

from dataclasses import dataclass
from numbers import Integral, Real

from fastlmm_hlm.errors import ArgumentError

OPTIMIZERS = ("newton", "bfgs", "lbfgs", "bobyqa", "nelder_mead", "sbplx", "cobyla")
RANK_CHECKS = ("message+drop.cols", "silent.drop.cols", "warn+drop.cols", "stop.deficient")
FACTORIZATIONS = ("auto", "block", "cholmod")
MEMORY_CHECKS = ("stop", "warning", "ignore")
SINGULAR_CHECKS = ("message", "warning", "ignore", "stop")


@dataclass(frozen=True)
class Control:
    """See `lmerControl`."""

    optimizer: str = "newton"
    max_evaluations: int | None = None
    tolerance: float | None = None
    check_rankX: str = "message+drop.cols"
    check_conv_singular: str = "message"
    singular_tolerance: float = 1e-4
    factorization: str = "auto"
    threads: int | None = None
    block_rows: int | None = None
    check_memory: str = "stop"

    def __post_init__(self):
        for name, allowed in (
            ("optimizer", OPTIMIZERS),
            ("check_rankX", RANK_CHECKS),
            ("check_conv_singular", SINGULAR_CHECKS),
            ("factorization", FACTORIZATIONS),
            ("check_memory", MEMORY_CHECKS),
        ):
            if getattr(self, name) not in allowed:
                raise ArgumentError(
                    f"lmerControl: {name} = {getattr(self, name)!r} is not known; use one of "
                    + ", ".join(repr(word) for word in allowed)
                    + "."
                )
        count = self.max_evaluations
        if count is not None and not (isinstance(count, Integral) and count >= 1):
            raise ArgumentError(f"lmerControl: max_evaluations = {count!r}; it must be at least 1.")
        if self.threads is not None and not (isinstance(self.threads, Integral) and self.threads >= 1):
            raise ArgumentError(f"lmerControl: threads = {self.threads!r}; expected a whole number, at least 1.")
        if self.tolerance is not None and not (isinstance(self.tolerance, Real) and 0 < self.tolerance < 1):
            raise ArgumentError(f"lmerControl: tolerance = {self.tolerance!r}; it must lie between 0 and 1.")
        if self.block_rows is not None and not (isinstance(self.block_rows, Integral) and self.block_rows >= 1):
            raise ArgumentError(f"lmerControl: block_rows = {self.block_rows!r}; expected a whole number, at least 1.")
        singular = self.singular_tolerance
        if not (isinstance(singular, Real) and 0 <= singular < 1):
            raise ArgumentError(f"lmerControl: singular_tolerance = {singular!r}; it must lie between 0 and 1.")

    def __repr__(self):
        given = [f"{k}={v!r}" for k, v in vars(self).items() if v != Control.__dataclass_fields__[k].default]
        return f"lmerControl({', '.join(given)})"


def lmerControl(  # noqa: N802 - lme4's name
    optimizer="newton",
    *,
    max_evaluations=None,
    tolerance=None,
    check_rankX="message+drop.cols",
    check_conv_singular="message",
    singular_tolerance=1e-4,
    factorization="auto",
    threads=None,
    block_rows=None,
    check_memory="stop",
):
    """Settings of the fit.

    Parameters
    ----------
    optimizer : {"newton", "bfgs", "lbfgs", "bobyqa", "nelder_mead", "sbplx", "cobyla"}
        "newton" (default) uses the exact gradient and average information and
        needs some 5 evaluations; "bfgs" and "lbfgs" use the gradient (SciPy's); "bobyqa", "nelder_mead",
        "sbplx" and "cobyla" are NLopt's derivative-free methods, as in lme4.
    max_evaluations : int, optional
        Evaluations of the criterion after which to give up (200 for newton,
        bfgs and lbfgs, 100,000 for the others).
    tolerance : float, optional
        Newton: predicted decrease of the criterion at which to stop (1e-11).
        bfgs and lbfgs: largest component of the gradient (1e-7).
        Derivative-free methods: relative change of the criterion (1e-14).
    check_rankX : {"message+drop.cols", "warn+drop.cols", "silent.drop.cols", "stop.deficient"}
        What to do about linearly dependent columns of X.
    check_conv_singular : {"message", "warning", "ignore", "stop"}
        What to do about a singular fit.
    singular_tolerance : float
        A random-effects covariance counts as singular when a standard deviation
        along some direction of its (standardized) columns is below this many sigma.
    factorization : {"auto", "block", "cholmod"}
        How the random-effects system is factored: "block" eliminates the grouping
        factor with most levels in closed form and factors what is left, "cholmod"
        gives all of it to CHOLMOD.  "auto" is "block".
    threads : int, optional
        Threads of the loops over rows and levels; by default the cores this
        process may use.  The results do not depend on it, to the last bit.
    block_rows : int, optional
        Rows read at a time from a file or another source; some 260,000 by default.
    check_memory : {"stop", "warning", "ignore"}
        What to do about a model whose grouping factors cross so widely that the matrix they leave does
        not fit into the memory of this machine.

    Returns
    -------
    Control
    """
    return Control(optimizer, max_evaluations, tolerance, check_rankX, check_conv_singular, singular_tolerance,
                   factorization, threads, block_rows, check_memory)
