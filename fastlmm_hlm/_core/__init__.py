"""The compiled kernels: csrc/ behind a thin Cython layer (see csrc/flmm.h)."""
