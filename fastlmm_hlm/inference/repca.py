"""Principal components of the relative covariance of the random effects (lme4's rePCA)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fastlmm_hlm.errors import UnknownNameError
from fastlmm_hlm.report.html import frame_html
from fastlmm_hlm.report.repca import components_text, importance_text


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

    answers_generics = True

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

    def summary(self):
        """Importance of the components by grouping factor; prints as R's summary(rePCA(fit)).

        Returns
        -------
        ImportanceOfComponents
            Mapping grouping factor -> DataFrame.
        """
        return ImportanceOfComponents({name: part.importance() for name, part in self._parts.items()})

    def to_frame(self):
        """One row per component: group, component (from 1), sdev (relative to sigma), proportion, cumulative."""
        parts = []
        for name, part in self._parts.items():
            sdev, share, total = part.importance().to_numpy()
            parts.append(pd.DataFrame({"group": name, "component": np.arange(1, len(sdev) + 1), "sdev": sdev, "proportion": share,
                                       "cumulative": total}))
        return pd.concat(parts, ignore_index=True)

    def __repr__(self):
        return components_text({name: (part.sdev, part.rotation) for name, part in self._parts.items()})

    def _repr_html_(self):
        return self.summary()._repr_html_()


class ImportanceOfComponents(dict):
    """DataFrames by grouping factor: standard deviation, proportion and cumulative proportion of variance."""

    def __repr__(self):
        return importance_text(self)

    def _repr_html_(self):
        return "".join(frame_html(part, f"{name}: importance of components") for name, part in self.items())


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
