"""``fastcnn info``: print the facts about a machine that a bug report or a benchmark needs."""

import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import _processors, _threads, backends
from fastcnn.commands.arguments import Parser

_FEATURES = ("sse2", "avx", "avx2", "fma", "avx512f", "neon")  # processor features that kernels use


def parser() -> Parser:
    """Describe the options."""
    return Parser("fastcnn info", "Print what fastcnn finds and uses on this machine, and how fast it is.")


def run(args) -> int:
    """Print one line for each fact."""
    for name, value in lines():
        print(f"{name:<16} {value}", flush=True)  # at once, because the measurements at the end take a moment
    return 0


def lines():
    """Yield the names and values of the facts."""
    yield "fastcnn", fastcnn.__version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in ("numpy", "numba", "llvmlite"):
        yield package, version(package)
    for blas in _threads.blas_libraries():
        yield "blas", f"{blas.internal_api} {blas.version or ''}, {_threads_of(blas.num_threads)}"
    yield "processor", _processors.name()
    backends.load("numba")
    from fastcnn.backends.numba_direct import peak
    from fastcnn.backends.numba_direct.kernels import tiles
    from fastcnn.backends.numba_direct.runtime import cache, processor

    yield "features", " ".join(feature for feature in _FEATURES if feature in processor.features())
    yield "registers", f"{processor.REGISTERS} of {processor.REGISTER_BYTES} bytes"
    yield "lanes", ", ".join(f"{processor.lanes(dtype)} {dtype.__name__}" for dtype in (np.float32, np.float64))
    yield "tiles", " ".join(f"{rows}x{columns}" for rows, columns in tiles._MENU[processor.VECTORS])
    affinity, quota = _processors.affinity(), _processors.quota()
    yield "processors", f"{affinity} by affinity, {'no quota' if quota > affinity else f'{quota} by quota'}"
    yield "threads", f"{fastcnn.get_num_threads()} used; at most {_threads.most()}"
    folder = cache.folder()
    yield "cache folder", "none is writable" if folder is None else f"{folder}, {size(folder)}"
    yield "peak", f"{peak.peak_gflops():.0f} GFLOP/s in float32, measured on {_threads_of(fastcnn.get_num_threads())}"
    yield "launch", f"{peak.launch_microseconds():.1f} us for launching a kernel on all threads, measured"


def size(folder: str) -> str:
    """Return the disk space of the compiled kernels in a folder, in MB."""
    files = [file for kind in ("nbi", "nbc") for file in Path(folder).glob(f"*.{kind}")]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"


def _threads_of(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"
