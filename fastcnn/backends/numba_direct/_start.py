"""What must be so before kernels are made, and so stands first in this package."""

from numba.core import config

if config.DISABLE_JIT:
    raise ImportError(
        'NUMBA_DISABLE_JIT is set, but the "numba" backend\'s kernels exist only compiled; use the backend "naive".'
    )
