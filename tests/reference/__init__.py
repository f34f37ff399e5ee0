"""The definitions written out: what the package computes, with no regard for cost."""
