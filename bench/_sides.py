"""The libraries that are compared: how each is started in a process of its own, on so many threads.

Where a library is not installed, its columns stay empty.
"""

import importlib
from collections.abc import Callable
from functools import partial

from _measure import NotInstalledError

from fastcnn.training import environment


def on(threads: int, *names: str) -> dict[str, Callable[[], dict]]:
    """Setups of the libraries on so many threads, by their names."""
    setups = {"fastcnn": fastcnn, "PyTorch": pytorch, "ONNX Runtime": onnxruntime, "NumPy": numpy}
    return {name: partial(setups[name], threads) for name in names}


def fastcnn(threads: int) -> dict:
    import fastcnn

    fastcnn.set_backend("numba")
    fastcnn.set_num_threads(threads)
    return {"library": f"fastcnn {fastcnn.__version__}", "threads": fastcnn.get_num_threads()}


def pytorch(threads: int) -> dict:
    torch = installed("torch")
    torch.set_num_threads(threads)
    return {"library": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads()}


def onnxruntime(threads: int) -> dict:
    installed("onnx")  # the model is built with it
    library = installed("onnxruntime")
    return {"library": f"ONNX Runtime {library.__version__}", "threads": threads}  # given to each session


def numpy(threads: int) -> dict:
    import numpy
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(threads)
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"library": f"NumPy {numpy.__version__}", "threads": max(blas, default=1)}


def installed(package: str):
    """Import a package that somebody may not have."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise NotInstalledError(str(error)) from None


def best(what: str, *args) -> float:
    """Call a function of fastcnn's peak.py; to be called on fastcnn's side, for no other has Numba in its process."""
    return getattr(importlib.import_module("fastcnn.backends.numba_direct.peak"), what)(*args)


def machine() -> dict:
    """Where fastcnn computes; to be called on its side."""
    from fastcnn.backends.numba_direct.runtime import cache, processor

    return {
        **environment(),
        "vector_bytes": processor.VECTOR_BYTES,
        "registers": processor.REGISTERS,
        "numba_cache": cache.folder(),
    }
