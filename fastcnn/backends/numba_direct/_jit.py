"""How kernels are compiled, and what the processor they are compiled for has.

Flags stand here and nowhere else. No fast-math: NaN, infinities and the order of every sum are kept, so that results
do not depend on the processor's mood or the number of threads.
"""

import functools
import os
import platform
import threading

import numba
import numpy as np
from numba.core import config
from numba.core.codegen import get_host_cpu_features

import fastcnn._threads
from fastcnn.backends.numba_direct import cache
from fastcnn.backends.numba_direct.recording import launcher


def features() -> frozenset[str]:
    """Names of the processor features that Numba generates code for (``NUMBA_CPU_FEATURES`` and the like heeded)."""
    flags = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(flag[1:] for flag in flags.split(",") if flag.startswith("+"))


X86 = platform.machine().lower() in ("x86_64", "amd64")
ARM = platform.machine().lower() in ("aarch64", "arm64")
_FEATURES = features()
VECTOR_BYTES = 64 if "avx512f" in _FEATURES else 32 if "avx" in _FEATURES else 16
REGISTERS = 32 if "avx512f" in _FEATURES or "neon" in _FEATURES else 16


def kernel(function, **options):
    """A function that is compiled when it is first called with arguments of some types, or comes from the cache."""
    compiled = numba.njit(error_model="numpy", nogil=True, **options)(function)
    if not config.DISABLE_JIT:
        cache.attach(compiled)
    return compiled


parallel = functools.partial(kernel, parallel=True)  # to be called by another kernel


def parallel_kernel(function):
    """A kernel that Python launches on all threads."""
    return launcher(one_at_a_time(parallel(function)))


def one_at_a_time(kernel):
    """The kernel, waiting for those of other Python threads where Numba would end the process otherwise.

    That is where it has neither TBB nor GNU OpenMP. Wherever Python calls a kernel that calls a parallel one, this is
    to be around it.
    """
    if numba.threading_layer() != "workqueue":
        return kernel

    @functools.wraps(kernel)
    def alone(*args):
        with _launch:
            return kernel(*args)

    return alone


_launch = threading.Lock()
if hasattr(os, "register_at_fork"):  # no child is to wait for a thread that it does not have
    os.register_at_fork(before=_launch.acquire, after_in_parent=_launch.release, after_in_child=_launch.release)

fastcnn._threads.attach(numba)


def lanes(dtype) -> int:
    """Images that stand side by side in one vector: 16 float32 or 8 float64 with AVX-512."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def flat(array: np.ndarray) -> np.ndarray:
    """The array in one dimension; a read-only one is copied, since Numba would compile a kernel again for it."""
    return array.reshape(-1) if array.flags.writeable else array.flatten()


@numba.njit(inline="always")
def scratch(size, like):
    """Numbers yet to be written, of the dtype of ``like``, for a task of a kernel: they begin at a whole vector.

    Numba's own arrays begin at a multiple of 32 bytes, so that half of them straddle cache lines with every vector.
    """
    array = np.empty(size + VECTOR_BYTES // like.itemsize, like.dtype)
    start = (VECTOR_BYTES - array.ctypes.data % VECTOR_BYTES) // like.itemsize
    return array[start : start + size]


@numba.njit(inline="always")
def taps_inside(taps, first, dilation, extent):
    """Range of the taps at ``first + tap * dilation`` that lie in 0 ... extent - 1; `dilation` may be negative."""
    start, stop = 0, taps
    while start < stop and not 0 <= first + start * dilation < extent:
        start += 1
    while start < stop and not 0 <= first + (stop - 1) * dilation < extent:
        stop -= 1
    return start, stop
