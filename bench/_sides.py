"""Setups of the compared libraries: each runs in its own process with a given number of threads.

If a library is not installed, its columns stay empty.
"""

import importlib
from collections.abc import Callable
from functools import partial

from _measure import NotInstalledError

from fastcnn.training import environment


def on(threads: int, *names: str) -> dict[str, Callable[[], dict]]:
    """Return the setups of the named libraries with this number of threads."""
    setups = {"fastcnn": fastcnn, "PyTorch": pytorch, "ONNX Runtime": onnxruntime, "NumPy": numpy}
    return {name: partial(setups[name], threads) for name in names}


def fastcnn(threads: int) -> dict:
    """Set up fastcnn."""
    import fastcnn

    fastcnn.set_backend("numba")
    fastcnn.set_num_threads(threads)
    return {"library": f"fastcnn {fastcnn.__version__}", "threads": fastcnn.get_num_threads()}


def pytorch(threads: int) -> dict:
    """Set up PyTorch."""
    torch = installed("torch")
    torch.set_num_threads(threads)
    return {"library": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads()}


def onnxruntime(threads: int) -> dict:
    """Set up ONNX Runtime."""
    installed("onnx")  # needed to build the model
    library = installed("onnxruntime")
    return {"library": f"ONNX Runtime {library.__version__}", "threads": threads}  # set in each session


def numpy(threads: int) -> dict:
    """Set up NumPy's BLAS."""
    import numpy
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(threads)
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"library": f"NumPy {numpy.__version__}", "threads": max(blas, default=1)}


def installed(package: str):
    """Import a package, or raise a NotInstalledError."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise NotInstalledError(str(error)) from None


def best(what: str, *args) -> float:
    """Call a function of fastcnn's peak.py; only fastcnn's side may call this, as no other process loads Numba."""
    return getattr(importlib.import_module("fastcnn.backends.numba_direct.peak"), what)(*args)


def machine() -> dict:
    """Describe the machine; only fastcnn's side may call this."""
    from fastcnn.backends.numba_direct.runtime import cache, processor

    return {
        **environment(),
        "vector_bytes": processor.REGISTER_BYTES,
        "registers": processor.REGISTERS,
        "numba_cache": cache.folder(),
    }
