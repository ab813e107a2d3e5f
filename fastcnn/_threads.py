"""The number of threads of the "numba" backend, and of BLAS in NumPy's matrix products."""

import functools
import os

from threadpoolctl import ThreadpoolController

from fastcnn import _processors, _validate

VARIABLE = "FASTCNN_NUM_THREADS"
MOST = 64  # on machines with fewer processors: thousands of threads would slow one another down a thousandfold

_requested: int | None = None


def set_num_threads(n: int) -> None:
    """Set how many threads the "numba" backend and NumPy's BLAS use from now on.

    Results of the "numba" backend are bit-identical for any number of threads.

    Parameters
    ----------
    n : int
        From 1 to 64, or to the machine's number of processors if it has more. More threads than processors are slower
        and give the same results.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a whole number or is out of range.

    Examples
    --------
    >>> import fastcnn
    >>> before = fastcnn.get_num_threads()
    >>> fastcnn.set_num_threads(1)
    >>> fastcnn.get_num_threads()
    1
    >>> fastcnn.set_num_threads(before)
    """
    global _requested
    _requested = _startable("`n`", _validate.count("n", n))
    for blas in blas_libraries():
        blas.set_num_threads(_requested)


def get_num_threads() -> int:
    """Return the number of threads that the "numba" backend uses.

    `set_num_threads` takes precedence over the environment variable ``FASTCNN_NUM_THREADS``. The default is the number
    of processors that this process may use: those of its affinity, at most its control group's quota.

    Returns
    -------
    int
    """
    return _default() if _requested is None else _requested


def are_chosen() -> bool:
    """Whether the number of threads was set, by `set_num_threads` or the environment."""
    return _requested is not None or VARIABLE in os.environ


def prepare(backend: str) -> None:
    """Prepare this process to compute with a backend; every operation calls it once."""
    get_num_threads()  # raises if the environment variable is wrong
    if backend == "numpy":
        _limit_blas()


def most() -> int:
    """The largest number of threads that is allowed."""
    return max(MOST, os.cpu_count() or 1)


def blas_libraries() -> list:
    """Controllers of the BLAS libraries in this process."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _startable(what: str, n: int) -> int:
    """``n``, if that many threads are allowed."""
    if n > most():
        raise ValueError(f"{what} is {n} but must be at most {most()}.")
    return n


@functools.cache
def _default() -> int:
    """The number of threads if `set_num_threads` was not called."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return min(_processors.usable(), most())
    what = f"The environment variable {VARIABLE}"
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{what} is {text!r} but must be a whole number of at least 1.")
    return _startable(what, int(text))


@functools.cache
def _limit_blas() -> None:
    """Limit BLAS to the number of threads, unless `set_num_threads` did; its own settings may be lower."""
    for blas in blas_libraries() if _requested is None else ():
        if blas.num_threads > get_num_threads():
            blas.set_num_threads(get_num_threads())
