"""Environment of a run; without it, timings are meaningless."""

import platform
from importlib.metadata import PackageNotFoundError, version

import fastcnn
from fastcnn import _processors


def environment() -> dict:
    """Return versions, processor, backend and threads as a dictionary for JSON.

    Returns
    -------
    dict

    Examples
    --------
    >>> from fastcnn import training
    >>> sorted(training.environment())  # doctest: +NORMALIZE_WHITESPACE
    ['backend', 'convolution', 'fastcnn', 'numba', 'numpy', 'platform', 'processor', 'python', 'threads']
    """
    return {
        "fastcnn": fastcnn.__version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": _version("numba"),
        "platform": platform.platform(),
        "processor": _processors.name(),
        "backend": fastcnn.get_backend(),
        "convolution": fastcnn.get_convolution(),
        "threads": fastcnn.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
