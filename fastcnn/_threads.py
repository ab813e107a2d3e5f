"""How many threads compute: Numba's and, for NumPy's matrix products, BLAS's.

Numba remembers the number for each Python thread, so every call of an operation prepares the thread it comes from.
"""

import functools
import os
import sys
import threading
from typing import Any

from threadpoolctl import ThreadpoolController

from fastcnn import _processors, _validate

VARIABLE = "FASTCNN_NUM_THREADS"
MOST = 64  # on machines with fewer processors: thousands of threads would start, and hold one another up a thousandfold

_requested: int | None = None
_numba: Any = None  # the module, once it is imported
_forked = False  # from a process with threads of GNU OpenMP, which a fork does not take along
_prepared = threading.local()  # `n`: what Numba uses in this Python thread


def set_num_threads(n: int) -> None:
    """Set how many threads the "numba" backend and NumPy's BLAS use from now on.

    Results of the "numba" backend do not depend on it, bit for bit.

    Parameters
    ----------
    n : int
        At least 1. More than there are processors, up to 64, is possible before Numba is imported, that is, before the
        "numba" backend is first used; after it, `n` is at most what Numba may start: the processors this process may
        use, ``FASTCNN_NUM_THREADS`` or ``NUMBA_NUM_THREADS``, whichever was more. It is slower, and computes the same.

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
    if _numba is not None and not _forked:
        prepare("numba")


def get_num_threads() -> int:
    """Return the number of threads that the "numba" backend uses.

    The first that is set of: `set_num_threads`, the environment variable ``FASTCNN_NUM_THREADS``, and the processors
    that this process may use, those of its affinity as far as its control group's quota pays for them, but not more
    than ``NUMBA_NUM_THREADS``.
    """
    return _default() if _requested is None else _requested


def are_chosen() -> bool:
    """Whether somebody set how many, by `set_num_threads` or the environment."""
    return _requested is not None or VARIABLE in os.environ


def before_numba() -> None:
    """Let Numba start as many threads as were asked for: it decides when it is imported."""
    if "numba" not in sys.modules and get_num_threads() > min(_processors.affinity(), most()):
        # It stays there: Numba compares its settings with the environment again and again.
        os.environ["NUMBA_NUM_THREADS"] = str(get_num_threads())


def attach(numba) -> None:
    """Make the numba module known, once it is imported, and start its threads."""
    global _numba
    _numba = numba
    prepare("numba")


def prepare(backend: str) -> None:
    """Make this Python thread ready to compute with a backend; called once in every call of an operation."""
    if backend == "numba":
        if _forked:
            raise RuntimeError(
                "This process was forked from one in which Numba had started its threads, and GNU OpenMP's threads do "
                'not survive that: start processes with multiprocessing\'s "spawn" method, or fork before the first '
                'computation, or use the backend "numpy".'
            )
        n = get_num_threads()
        if getattr(_prepared, "n", None) != n:
            _numba.set_num_threads(n)
            _prepared.n = n
    elif backend == "numpy":
        _limit_blas()


def most() -> int:
    """How many threads Numba starts, or may be told to start before it is imported."""
    if "numba" in sys.modules:
        return sys.modules["numba"].config.NUMBA_NUM_THREADS
    text = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) else max(MOST, os.cpu_count() or 1)


def layer() -> str | None:
    """Numba's threading layer; None before it has started its threads."""
    try:
        return sys.modules["numba"].threading_layer()
    except (KeyError, ValueError):
        return None


def blas_libraries() -> list:
    """Controllers of the BLAS libraries in this process."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _startable(what: str, n: int) -> int:
    """``n``, if Numba has so many threads or may still start them."""
    if n > most():
        raise ValueError(
            f"{what} is {n} but must be at most {most()}, the threads that Numba starts; "
            f"set the environment variable NUMBA_NUM_THREADS before starting Python to have more threads."
        )
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
    """Unless `set_num_threads` did it: no more threads for BLAS than for Numba; its own settings may ask for fewer."""
    for blas in blas_libraries() if _requested is None else ():
        if blas.num_threads > get_num_threads():
            blas.set_num_threads(get_num_threads())


def _after_fork() -> None:
    global _forked
    _forked = sys.platform == "linux" and layer() == "omp"  # where Numba's is GNU's, and ends the process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
