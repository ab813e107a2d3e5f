"""What a result of floating-point arithmetic may be, given the exact one: the rule that holds the backends together.

The exact result is naive's on the same numbers as float64. Then, at each place:

* NaN where naive gives NaN, and infinity, of its sign, where naive gives it: so it is whatever the order of a sum.
* Else within an error that follows from the operation: for a sum of products ``n u / (1 - n u)`` times the sum of their
  absolute values, n being its terms and two roundings more and u half the machine epsilon, which holds in any order
  (N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd ed., SIAM 2002, equation 3.5). In float64 naive
  errs as much, and the error counts twice.
* A number below the smallest normal one may count as zero, where it comes in, in between and where it comes out.
* Where the sum of the absolute values passes the largest number, the sum may overflow on its way, in some order, even
  if it is small in the end. There infinities and NaN are right, too; but a number is right only within the error, since
  what has overflowed never comes back.
* Zero times infinity is NaN. Padding is zeros: naive leaves them out, the others may multiply them. So where a filter
  (or a gradient) that is not finite meets padding, or a number that counts as zero, NaN is right, too.
"""

import numpy as np

from fastcnn import backends
from tests.properties.draws import FAST


def wide(array):
    """The same numbers as float64."""
    return None if array is None else array.astype(np.float64)


def size(array):
    """Absolute values as float64, of all that is finite."""
    return None if array is None else np.nan_to_num(np.abs(wide(array)), nan=0.0, posinf=0.0)


def unflushed(array):
    """`size`, numbers below the smallest normal one as zero."""
    return None if array is None else np.where(size(array) < np.finfo(array.dtype).tiny, 0.0, size(array))


def flushed(array):
    """The array, numbers below the smallest normal one as zero."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, array.dtype.type(0), array)


def bad(array):
    """1 where a number is not finite, else 0."""
    return None if array is None else (~np.isfinite(array)).astype(np.float64)


def weak(array):
    """1 where a number is or counts as zero, else 0."""
    return None if array is None else (np.abs(wide(array)) < np.finfo(array.dtype).tiny).astype(np.float64)


def strong(array):
    """1 - `weak`."""
    return None if array is None else 1 - weak(array)


def gamma(dtype, n) -> float:
    """Largest relative error of n roundings, by the backend and, in float64, by naive."""
    nu = n * float(np.finfo(dtype).eps) / 2
    return nu / (1 - nu) * (1 if dtype == np.float32 else 2)


def finite_or_not(function, *arguments):
    """What a function gives, overflow being no mistake of its own; "invalid" is one."""
    with np.errstate(over="ignore", under="ignore"):
        return function(*arguments)


def assert_right(what: str, actual, exact, error, largest=0.0, free=False) -> None:
    """Hold a result against the exact one.

    Parameters
    ----------
    what : str
        For the message.
    actual : ndarray
    exact : ndarray, float64
        What naive gives.
    error : ndarray
        How far a number may be from it.
    largest : ndarray, default 0
        The largest that anything may become on the way; where that overflows, infinities and NaN are right.
    free : ndarray of bool, default False
        Where NaN is right besides.
    """
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: shape {actual.shape}, expected {exact.shape}"
    assert exact.dtype == np.float64
    info = np.finfo(actual.dtype)
    with np.errstate(all="ignore"):
        distance = np.abs(wide(actual) - exact)
        right = distance <= np.asarray(error) + 2 * float(info.tiny)  # a result that is flushed, or rounded
        right |= wide(actual) == exact
        right |= np.isnan(actual) & (np.isnan(exact) | free)
        overflows = ~(np.maximum(np.asarray(largest), np.abs(exact)) * (1 + 1e-3) < info.max) & ~np.isnan(exact)
        right |= overflows & ~np.isfinite(actual)
    if not right.all():
        at = tuple(map(int, np.argwhere(~right)[0]))
        allowed = np.broadcast_to(error, exact.shape)[at]
        raise AssertionError(
            f"{what}: {(~right).sum()} of {right.size} values are wrong; the first, at {at}, is {actual[at]!r}, "
            f"expected {exact[at]!r} within {allowed:.3g}"
        )


def assert_sums(names, results, arrays, drawn, lengths, free=None, spread=1.0) -> None:
    """Hold sums of products against naive: results that are linear in each of the arrays.

    Parameters
    ----------
    names : list of str
        Of the results.
    results : callable
        ``results(backend, *arrays)``, a list of arrays.
    arrays : list of ndarray or None
        Of the dtype that is tested.
    drawn : list of Numbers
        How they are laid out for the backends that are tested.
    lengths : list of int
        The terms of each sum.
    free : list of ndarray of bool, optional
        Where zero may meet infinity.
    spread : float, default 1
        How many times as large as the result its terms may be: the divisor of a mean.
    """
    dtype = arrays[0].dtype.type
    tiny = float(np.finfo(dtype).tiny)
    exact = results("naive", *map(wide, arrays))
    magnitudes = results("numpy", *map(size, arrays))  # which is held against naive in float64, below
    kept = results("numpy", *map(unflushed, arrays))
    laid_out = [None if a is None else d.laid_out(a) for a, d in zip(arrays, drawn, strict=True)]
    for backend in FAST:
        found = finite_or_not(results, backend, *laid_out)
        for k, name in enumerate(names):
            n = lengths[k] + 2
            lost = (magnitudes[k] - kept[k]) * 2 + 2 * n * tiny
            error = gamma(dtype, n) * magnitudes[k] + lost
            where = False if free is None else free[k]
            assert found[k].dtype == dtype
            assert_right(f"{backend} {name}", found[k], exact[k], error, magnitudes[k] * spread, where)


def call(backend: str, operation: str, *arguments):
    """An operation of a backend on NCHW arrays and rows; lists, numbers and whatever else are handed on.

    Batches, and only they, are given as `Batch`.
    """
    package = backends.load(backend)
    packed = [package.pack(a.array) if isinstance(a, Batch) else a for a in arguments]
    results = finite_or_not(getattr(package, operation), *packed)
    results = results if isinstance(results, tuple) else (results,)
    return [r if r is None or isinstance(r, (np.ndarray, float)) else package.unpack(r) for r in results]


class Batch:
    """An array that is to be packed."""

    def __init__(self, array: np.ndarray):
        self.array = np.ascontiguousarray(array)
