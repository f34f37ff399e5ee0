"""Principal components of the relative covariance of the random effects (lme4's rePCA)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import UnknownNameError


@dataclass(frozen=True)
class PrincipalComponents:
    """Principal components of the random effects of one grouping factor.

    Attributes
    ----------
    sdev : ndarray (c,)
        Standard deviations relative to sigma, decreasing.
    rotation : ndarray (c, c)
    """

    sdev: np.ndarray
    rotation: np.ndarray

    def importance(self):
        """Standard deviation, proportion and cumulative proportion of variance."""
        variance = self.sdev**2
        total = variance.sum()
        share = variance / total if total > 0 else np.zeros_like(variance)
        rows = ["Standard deviation", "Proportion of Variance", "Cumulative Proportion"]
        table = [self.sdev, share, np.cumsum(share)]
        return pd.DataFrame(table, index=rows, columns=[f"[,{i + 1}]" for i in range(len(variance))])


class RePCA(Mapping):
    """Mapping grouping factor -> PrincipalComponents."""

    def __init__(self, parts):
        self._parts = parts

    def __getitem__(self, name):
        try:
            return self._parts[name]
        except KeyError:
            raise UnknownNameError(
                f"rePCA: no grouping factor is called {name!r}; there are {', '.join(self._parts)}."
            ) from None

    def __iter__(self):
        return iter(self._parts)

    def __len__(self):
        return len(self._parts)

    def __repr__(self):
        return "\n\n".join(
            f"${name}\nImportance of components:\n{part.importance().to_string(float_format='{:.4g}'.format)}"
            for name, part in self._parts.items()
        )


def principal_components(templates):
    """PCA of Lambda Lambda' of one grouping factor.

    Parameters
    ----------
    templates : list of ndarray (c, c)
        Templates of its terms; they form a block diagonal.
    """
    size = sum(len(T) for T in templates)
    Lambda, at = np.zeros((size, size)), 0
    for T in templates:
        Lambda[at : at + len(T), at : at + len(T)] = T
        at += len(T)
    U, d, _ = np.linalg.svd(Lambda)
    return PrincipalComponents(d, U)
