"""A check that must come before any kernel is made; so this package imports it first."""

from numba.core import config

if config.DISABLE_JIT:
    raise ImportError(
        'NUMBA_DISABLE_JIT is set, but the "numba" backend needs compiled kernels; unset it or use the "naive" backend.'
    )
