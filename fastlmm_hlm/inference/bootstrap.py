"""Model-based bootstrap of a fitted model: lme4's bootMer.

Replicate i is simulated from the i-th child of the seed and fitted by Newton steps
side by side with others; the result does not depend on how many are side by side, or
in how many processes.
"""

import multiprocessing
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from numbers import Integral

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import ArgumentError, FastlmmError, FastlmmWarning, warn_user
from fastlmm_hlm.inference.boot_intervals import boot_intervals
from fastlmm_hlm.inference.progress import ProgressBar
from fastlmm_hlm.inference.refits import Refitter
from fastlmm_hlm.inference.simulation import generator_of, seed_sequence, simulator_of
from fastlmm_hlm.report.boot import boot_html, boot_text
from fastlmm_hlm.report.percent import percent_names

SINGULAR = "boundary (singular) fit: see help('isSingular')"
NOT_CONVERGED = "Model failed to converge"
# Blocks per process, so that all end at about the same time.
BLOCKS = 4


class BootMer:
    """Replicates of a statistic, printed as R's package boot prints them.

    Attributes
    ----------
    t0 : Series (k,)
        The statistic of the fit.
    t : ndarray (nsim, k)
        Of the replicates; NaN in the rows of those that failed.
    nsim : int
    type : "parametric" or "semiparametric"
    use_u : bool
    seed : numpy.random.SeedSequence
        Give it again for the same replicates.
    failed : int
        Replicates without a result.
    singular : int
        Replicates whose fit was singular.
    messages, warnings, errors : dict str -> int
        What was said, and how often.
    """

    def __init__(self, t0, t, type, use_u, seed, call, messages, warnings, errors):
        self.t0, self.t, self.type, self.use_u, self.seed = t0, t, type, use_u, seed
        self.call = call
        self.messages, self.warnings, self.errors = dict(messages), dict(warnings), dict(errors)
        self.nsim = len(t)
        self.failed = sum(self.errors.values())
        self.singular = self.messages.get(SINGULAR, 0)

    def to_frame(self):
        """The replicates, DataFrame (nsim, k)."""
        return pd.DataFrame(self.t, columns=self.t0.index)

    def confint(self, level=0.95, type="perc"):
        """Confidence intervals.

        Parameters
        ----------
        level : float
        type : {"perc", "basic", "norm"}
            Percentiles of the replicates; percentiles reflected at the estimate; normal
            with bias and standard deviation of the replicates.

        Returns
        -------
        DataFrame (k, 2)
            Columns such as "2.5 %" and "97.5 %".
        """
        limits = boot_intervals(self.t0.to_numpy(), self.t, level, type, "bootMer.confint")
        return pd.DataFrame(limits, index=self.t0.index, columns=percent_names(level))

    def __str__(self):
        return boot_text(self.call, self.t0.to_numpy(), self.t, self.type, self.messages, self.warnings, self.errors)

    __repr__ = __str__

    def _repr_html_(self):
        return boot_html(self.call, self.t0, self.t, self.type, self.messages, self.warnings, self.errors)


def bootMer(fit, FUN, nsim=1, seed=None, use_u=False, type="parametric", progress=False, processes=1):  # noqa: N802, N803
    """Bootstrap a fitted model: simulate responses, fit the model to each, apply FUN.

    Parameters
    ----------
    fit : LinearMixedModel
    FUN : callable
        From a fit to a number, a vector, or a Series whose index names the statistics.
    nsim : int
        Replicates.
    seed : None, int, numpy.random.SeedSequence or Generator
        The replicates depend on it alone.
    use_u : bool
        Keep the conditional modes of the fit and simulate errors only; by default
        the random effects are drawn too.
    type : {"parametric", "semiparametric"}
        Normal errors, or residuals of the fit drawn with replacement (use_u=True only).
    progress : bool
        Show a progress bar; needs tqdm.
    processes : int
        How many to use; the results do not depend on it.  On Linux the processes are
        forked, so FUN may be any function; elsewhere it must be importable, and a script
        needs ``if __name__ == "__main__":``.

    Returns
    -------
    BootMer

    Raises
    ------
    ArgumentError
        For arguments out of range, or if FUN gives no numbers.

    References
    ----------
    .. [1] Davison and Hinkley (1997), Bootstrap Methods and their Application, sec. 7.2.
    """
    nsim, processes = positive_count(nsim, "nsim"), positive_count(processes, "processes")
    simulator = simulator_of(fit, use_u, type, "bootMer")
    sequence = seed_sequence(seed)
    t0 = statistic_of(FUN, fit)
    task = _Task(fit, FUN, sequence, use_u, type, t0.index, simulator)
    t = np.full((nsim, len(t0)), np.nan)
    said = [Counter(), Counter(), Counter()]
    blocks = blocks_of(nsim, processes, task.at_a_time)
    with ProgressBar(progress, nsim, "bootMer", "fit") as bar:
        for first, (values, *counts) in run_blocks(task, blocks, processes):
            t[first : first + len(values)] = values
            for total, count in zip(said, counts):
                total.update(count)
            if bar is not None:
                bar.update(len(values))
    name = getattr(FUN, "__name__", str(FUN))
    more = "".join(
        f", {key}={value!r}" for key, value, usual in
        (("seed", seed, None), ("use_u", use_u, False), ("type", type, "parametric")) if value != usual
    )
    made = BootMer(t0, t, type, use_u, sequence, f"bootMer(fit, FUN={name}, nsim={nsim}{more})", *said)
    if made.failed == nsim:
        warn_user(f"*all* bootstrap runs failed! The first error: {next(iter(made.errors))}", FastlmmWarning)
    elif made.failed:
        warn_user(f"some bootstrap runs failed ({made.failed}/{nsim})", FastlmmWarning)
    return made


def statistic_of(FUN, fit):  # noqa: N803
    """FUN(fit) as a Series of numbers.

    Raises
    ------
    ArgumentError
        If it is something else.
    """
    if not callable(FUN):
        raise ArgumentError(f"bootMer: FUN = {FUN!r} is no function of a fit; give one, such as fixef.")
    value = FUN(fit)
    names = value.index if isinstance(value, pd.Series) else list(value) if isinstance(value, dict) else None
    try:
        array = np.atleast_1d(np.asarray(list(value.values()) if isinstance(value, dict) else value))
        usable = array.ndim == 1 and array.size > 0 and array.dtype.kind in "biuf"
        array = array.astype(float) if usable else array
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ArgumentError(
            f"bootMer: FUN gave {value.__class__.__name__} {_short(value)}; expected a number or a vector of numbers."
        )
    if names is None:
        names = [f"t{i + 1}" for i in range(len(array))]
    return pd.Series(array, index=pd.Index(names), name="t0")


def _short(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def positive_count(value, name, caller="bootMer"):
    """A whole number, at least 1.

    Raises
    ------
    ArgumentError
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ArgumentError(f"{caller}: {name} = {value!r}; expected a whole number, at least 1.")
    return int(value)


class _Task:
    """Everything a process needs to make replicates."""

    def __init__(self, fit, FUN, sequence, use_u, type, names, simulator=None):  # noqa: N803
        self.fit, self.FUN, self.sequence = fit, FUN, sequence
        self.use_u, self.type, self.names = use_u, type, names
        self.simulator = simulator or simulator_of(fit, use_u, type, "bootMer")
        self.refitter = Refitter(fit, "bootMer")

    @property
    def at_a_time(self):
        return self.refitter.at_a_time

    def __reduce__(self):
        # a fit leaves its rows out of its own pickle
        return _task_from, (self.fit, self.fit._rows, self.FUN, self.sequence, self.use_u, self.type, self.names)

    def block(self, first, last):
        """Replicates first .. last-1.

        Returns
        -------
        values : ndarray (last - first, k)
        messages, warnings, errors : Counter
        """
        said = Counter(), Counter(), Counter()
        y = np.empty((last - first, self.simulator.design.n))
        for i in range(first, last):
            self.simulator.draw(generator_of(self.sequence, i), y[i - first])
        responses = self.refitter.responses(y)
        refits = self.refitter.fit(responses)
        said[0][SINGULAR] += int(refits.singular.sum())
        said[1][NOT_CONVERGED] += int((refits.usable & ~refits.converged).sum())
        said[2]["the criterion has no minimum"] += int((~refits.usable).sum())
        if hasattr(self.FUN, "of_refits"):
            values = np.where(refits.usable[:, None], self.FUN.of_refits(refits, self.fit), np.nan)
        else:
            values = np.full((last - first, len(self.names)), np.nan)
            for i in np.flatnonzero(refits.usable):
                self._apply(y, responses, refits, i, values, said)
        return values, *(Counter({text: n for text, n in count.items() if n}) for count in said)

    def _apply(self, y, responses, refits, i, values, said):
        new = self.fit._refitted(
            self.refitter.design.with_response(y[i]), self.refitter.products_with(responses, i),
            self.refitter.estimates_of(refits, i), refits.deviations[i], self.refitter.optinfo_of(refits, i),
            [SINGULAR] if refits.singular[i] else [],
        )
        try:
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                one = statistic_of(self.FUN, new).to_numpy()
            if len(one) != values.shape[1]:
                raise ArgumentError(f"FUN gave {len(one)} numbers, of the fit itself {values.shape[1]}")
        except Exception as problem:  # whatever a user's function raises is a failed run
            said[2][str(problem) or problem.__class__.__name__] += 1
            return
        values[i] = one
        said[1].update({str(warning.message) for warning in given})


def _task_from(fit, rows, *rest):
    fit._rows = rows
    return _Task(fit, *rest)


# --- processes ----------------------------------------------------------------


def blocks_of(nsim, processes, at_a_time):
    """(first, last) of blocks of replicates."""
    size = at_a_time if processes == 1 else min(at_a_time, max(1, -(-nsim // (BLOCKS * processes))))
    return [(first, min(first + size, nsim)) for first in range(0, nsim, size)]


_task_here = None


def _adopt(task):
    global _task_here
    _task_here = task


def _block_here(first, last):
    return _task_here.block(first, last)


def start_method():
    """How processes are started: the method set by the user, else by fork on Linux, where a
    function of FUN need not be importable; elsewhere Python's default."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is not None and chosen != "fork":
        return chosen
    return "fork" if sys.platform.startswith("linux") else None


def run_blocks(task, blocks, processes, caller="bootMer"):
    """Results of the blocks as they come: (first replicate, result).

    Parameters
    ----------
    task : object with block(first, last)
        That can be pickled, where processes are not forked.
    blocks : list of (first, last)
    processes : int
    caller : str
        For messages.
    """
    if processes == 1 or len(blocks) == 1:
        for first, last in blocks:
            yield first, task.block(first, last)
        return
    context = multiprocessing.get_context(start_method())
    try:
        with warnings.catch_warnings():
            # the kernels are safe in a forked child: they use one thread there
            warnings.filterwarnings("ignore", message=".*use of fork.*", category=DeprecationWarning)
            with ProcessPoolExecutor(min(processes, len(blocks)), context, _adopt, (task,)) as pool:
                waiting = {pool.submit(_block_here, *block): block[0] for block in blocks}
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
    except BrokenProcessPool:
        raise FastlmmError(
            f"{caller}: a process ended before it gave its results (killed for want of memory, or a function could not be "
            "loaded there: define it in a module, and guard a script by if __name__ == '__main__'). Use processes=1."
        ) from None
    except (AttributeError, TypeError) as problem:
        if "pickle" not in str(problem) and "get attribute" not in str(problem).lower():
            raise
        raise ArgumentError(
            f"{caller}: FUN cannot be sent to other processes ({problem}); define it in a module, or use processes=1."
        ) from None
