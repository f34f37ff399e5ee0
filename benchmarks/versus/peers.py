"""The programs compared: where each runs, its settings, and what it cannot fit."""

import pathlib
import shutil
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / ".peers"

ONE_BIG_MATRIX = (
    "random effects live inside one grouping factor; crossed factors make all rows one group, "
    "with a dense covariance matrix of rows x rows"
)


@dataclass(frozen=True)
class Peer:
    """A program that fits the cases.

    Attributes
    ----------
    name : str
    requirements : tuple of str
        What pip installs into the peer's own environment; empty if it has none.
    settings : dict
        Name -> options for its runner, the first being its default.  A later
        setting is tried only where the estimates of those before differ from ours.
    cannot : dict
        Case -> why the peer has no such model.
    REML : bool
        False if it maximizes the likelihood only; it is then compared with our
        maximum-likelihood fit.
    program : str
        "python", or a command on the path.
    """

    name: str
    requirements: tuple = ()
    settings: dict = field(default_factory=lambda: {"default": {}})
    cannot: dict = field(default_factory=dict)
    REML: bool = True
    program: str = "python"

    @property
    def runner(self):
        suffix = ".py" if self.program == "python" else ".R"
        return HERE / f"run_{self.name.replace('-', '_')}{suffix}"

    @property
    def environment(self):
        return ENVIRONMENTS / self.name

    def command(self):
        """Program and runner, or None if the program is not there."""
        if self.program != "python":
            return [self.program, "--vanilla", str(self.runner)] if shutil.which(self.program) else None
        if not self.requirements:
            return [sys.executable, str(self.runner)]
        python = self.environment / "bin" / "python"
        return [str(python), str(self.runner)] if python.exists() else None


OURS = Peer("fastlmm_hlm")
LME4 = Peer("lme4", program="Rscript", settings={"default": {}, "tight": {}, "bobyqa": {}})
DATA_TOOLS = ("pandas==3.1.1", "pyarrow==26.0.1")

PEERS = [
    LME4,
    Peer("mixedlm", ("mixedlm==1.3.0", *DATA_TOOLS)),
    Peer(
        "lme-python",
        ("lme-python==0.2.7", *DATA_TOOLS),
        settings={
            "default": {},
            "tight": {"tolerance": 1e-8},
            "tighter": {"tolerance": 1e-10, "max_iterations": 10_000},
        },
    ),
    Peer(
        "gpboost",
        ("gpboost==1.8.0", *DATA_TOOLS),
        settings={
            "default": {},
            "cholesky": {"matrix_inversion_method": "cholesky"},
            "tight": {"matrix_inversion_method": "cholesky", "delta_rel_conv": 1e-10},
        },
        cannot=dict.fromkeys(
            ("sleep", "slopes", "growth", "maximal"), "its random intercepts and slopes are always independent"
        ),
        REML=False,
    ),
    Peer(
        "statsmodels",
        ("statsmodels==0.15.0", *DATA_TOOLS),
        cannot={
            **dict.fromkeys(("insteval", "crossed", "valueadded"), ONE_BIG_MATRIX),
            "growth": "its variance components inside a grouping factor are independent: no correlated slope there",
            "maximal": "its variance components inside a grouping factor are independent: no correlated slopes there",
        },
    ),
]
BY_NAME = {peer.name: peer for peer in [OURS, *PEERS]}
