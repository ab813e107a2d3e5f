"""How many threads compute: fastcnn's own in the "numba" backend, and BLAS's for NumPy's matrix products."""

import functools
import os

from threadpoolctl import ThreadpoolController

from fastcnn import _processors, _validate

VARIABLE = "FASTCNN_NUM_THREADS"
MOST = 64  # on machines with fewer processors: thousands of threads would start, and hold one another up a thousandfold

_requested: int | None = None


def set_num_threads(n: int) -> None:
    """Set how many threads the "numba" backend and NumPy's BLAS use from now on.

    Results of the "numba" backend do not depend on it, bit for bit.

    Parameters
    ----------
    n : int
        From 1 to 64, or to the machine's processors if it has more. More than there are processors are slower, and
        compute the same.

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
    _requested = _startable("`n`", _validate.count("n", n))
    for blas in blas_libraries():
        blas.set_num_threads(_requested)


def get_num_threads() -> int:
    """Return the number of threads that the "numba" backend uses.

    The first that is set of: `set_num_threads`, the environment variable ``FASTCNN_NUM_THREADS``, and the processors
    that this process may use, those of its affinity as far as its control group's quota pays for them.

    Returns
    -------
    int
    """
    return _default() if _requested is None else _requested


def are_chosen() -> bool:
    """Whether somebody set how many, by `set_num_threads` or the environment."""
    return _requested is not None or VARIABLE in os.environ


def prepare(backend: str) -> None:
    """Make this process ready to compute with a backend; called once in every call of an operation."""
    get_num_threads()  # says what is wrong in the environment
    if backend == "numpy":
        _limit_blas()


def most() -> int:
    """How many threads there may be."""
    return max(MOST, os.cpu_count() or 1)


def blas_libraries() -> list:
    """Controllers of the BLAS libraries in this process."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _startable(what: str, n: int) -> int:
    """``n``, if there may be so many threads."""
    if n > most():
        raise ValueError(f"{what} is {n} but must be at most {most()}.")
    return n


@functools.cache
def _default() -> int:
    """What holds when `set_num_threads` was not called."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return min(_processors.usable(), most())
    what = f"The environment variable {VARIABLE}"
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{what} is {text!r} but must be a whole number of at least 1.")
    return _startable(what, int(text))


@functools.cache
def _limit_blas() -> None:
    """Unless `set_num_threads` did it: no more threads for BLAS than are used; its own settings may ask for fewer."""
    for blas in blas_libraries() if _requested is None else ():
        if blas.num_threads > get_num_threads():
            blas.set_num_threads(get_num_threads())
