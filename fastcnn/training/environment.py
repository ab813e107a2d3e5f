"""Where a run took place: without it, a time means nothing."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fastcnn


def environment() -> dict:
    """Versions, processor, backend and threads, as a dictionary for JSON.

    Returns
    -------
    dict
        ``"threading_layer"`` is Numba's, or None if Numba has computed nothing in parallel.

    Examples
    --------
    >>> from fastcnn import training
    >>> sorted(training.environment())  # doctest: +NORMALIZE_WHITESPACE
    ['backend', 'fastcnn', 'numba', 'numpy', 'platform', 'processor', 'python', 'threading_layer', 'threads']
    """
    return {
        "fastcnn": fastcnn.__version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": _version("numba"),
        "platform": platform.platform(),
        "processor": _processor(),
        "backend": fastcnn.get_backend(),
        "threads": fastcnn.get_num_threads(),
        "threading_layer": _threading_layer(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Name of the processor; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _threading_layer() -> str | None:
    numba = sys.modules.get("numba")
    try:
        return numba.threading_layer() if numba else None
    except ValueError:  # no parallel function has run
        return None
