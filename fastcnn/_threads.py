"""How many threads compute: Numba's and, for NumPy's matrix products, BLAS's."""

import os

from threadpoolctl import threadpool_limits

from fastcnn import _validate

_requested: int | None = None
_numba = None


def set_num_threads(n: int) -> None:
    """Set how many threads the "numba" backend and NumPy's BLAS use from now on.

    Results of the "numba" backend do not depend on it, bit for bit.

    Parameters
    ----------
    n : int
        From 1 to the number that Numba starts: the processors this process may use, or ``NUMBA_NUM_THREADS``.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a whole number, or out of that range.

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
    n = _validate.count("n", n)
    if n > _most():
        raise ValueError(
            f"`n` is {n} but must be at most {_most()}, the processors that this process may use; "
            f"set the environment variable NUMBA_NUM_THREADS before starting Python to have more threads."
        )
    _requested = n
    threadpool_limits(n, user_api="blas")
    if _numba is not None:
        _numba.set_num_threads(n)


def get_num_threads() -> int:
    """Return the number of threads that the "numba" backend uses."""
    return _most() if _requested is None else _requested


def attach(numba) -> None:
    """Tell the numba module, once it is imported, what was asked before."""
    global _numba
    _numba = numba
    if _requested is not None:
        numba.set_num_threads(_requested)


def _most() -> int:
    if _numba is not None:
        return _numba.config.NUMBA_NUM_THREADS
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(os.environ.get("NUMBA_NUM_THREADS", usable))
