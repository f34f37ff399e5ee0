"""R scripts in Python: `migrate` translates what keeps its meaning and marks the rest."""

from fastlmm_hlm.migration.script import Migration, migrate

__all__ = ["Migration", "migrate"]
