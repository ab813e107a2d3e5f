"""Features of the processor that kernels are compiled for."""

import platform

import numpy as np
from numba.core import config
from numba.core.codegen import get_host_cpu_features


def features() -> frozenset[str]:
    """Names of the processor features that Numba generates code for, which ``NUMBA_CPU_FEATURES`` may set."""
    flags = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(flag[1:] for flag in flags.split(",") if flag.startswith("+"))


X86 = platform.machine().lower() in ("x86_64", "amd64")
ARM = platform.machine().lower() in ("aarch64", "arm64")
_FEATURES = features()
REGISTER_BYTES = 64 if "avx512f" in _FEATURES else 32 if "avx" in _FEATURES else 16
REGISTERS = 32 if "avx512f" in _FEATURES or ARM else 16
# With fused multiply-adds, which ARM always has and x86-64 uses beside AVX, a vector has 64 bytes, in two or four
# registers where they have 32 or 16. Then sums over images have the same order on all these processors.
VECTOR_BYTES = 64 if {"avx", "fma"} <= _FEATURES or ARM else REGISTER_BYTES
VECTORS = REGISTERS * REGISTER_BYTES // VECTOR_BYTES  # that fit the registers


def lanes(dtype) -> int:
    """Lanes of a vector, one for each image: 16 of float32 or 8 of float64 with fused multiply-adds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize
