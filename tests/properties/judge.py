"""Check floating-point results of the fast backends against exact ones, with the errors that are allowed.

The exact result is that of naive for the same numbers in float64. An element of a result is right in these cases:

* It is NaN where naive gives NaN, and the same infinity where naive gives one; this holds for any order of summation.
* Its error is within a bound that follows from the operation. For a sum of products this is ``n u / (1 - n u)`` times
  the sum of their absolute values, where n is the number of terms plus two and u is half the machine epsilon. The bound
  holds for any order of summation (N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd ed., SIAM 2002,
  equation 3.5). In float64, naive has such errors itself, so the bound is doubled.
* Numbers below the smallest normal number may count as zero in inputs, in intermediate results and in results.
* If the sum of the absolute values exceeds the largest number, a sum may overflow in some order of summation, even if
  its result is small. Infinities and NaN are then right, too; but a finite number must still be within the error bound,
  because an overflow is never undone.
* Zero times infinity is NaN. Padding consists of zeros, which naive skips but other backends may multiply. So if a
  filter (or a gradient) that is not finite meets padding, or a number that counts as zero, NaN is right, too.
"""

import numpy as np

from fastcnn import backends
from tests.properties.draws import FAST


def wide(array):
    """Convert to float64."""
    return None if array is None else array.astype(np.float64)


def size(array):
    """Return absolute values as float64; NaN and infinities become 0."""
    return None if array is None else np.nan_to_num(np.abs(wide(array)), nan=0.0, posinf=0.0)


def unflushed(array):
    """Return `size` with numbers below the smallest normal number as 0."""
    return None if array is None else np.where(size(array) < np.finfo(array.dtype).tiny, 0.0, size(array))


def flushed(array):
    """Return the array with numbers below the smallest normal number as 0."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, array.dtype.type(0), array)


def bad(array):
    """Return 1 where a number is not finite, else 0."""
    return None if array is None else (~np.isfinite(array)).astype(np.float64)


def weak(array):
    """Return 1 where a number is zero or counts as zero, else 0."""
    return None if array is None else (np.abs(wide(array)) < np.finfo(array.dtype).tiny).astype(np.float64)


def strong(array):
    """Return 1 - `weak`."""
    return None if array is None else 1 - weak(array)


def gamma(dtype, n) -> float:
    """Return the largest relative error of n roundings; in float64 twice as much, because naive rounds, too."""
    nu = n * float(np.finfo(dtype).eps) / 2
    return nu / (1 - nu) * (1 if dtype == np.float32 else 2)


def finite_or_not(function, *arguments):
    """Call a function without warnings for overflow and underflow; invalid operations still warn."""
    with np.errstate(over="ignore", under="ignore"):
        return function(*arguments)


def assert_right(what: str, actual, exact, error, largest=0.0, free=False) -> None:
    """Compare a result with the exact one.

    Parameters
    ----------
    what : str
        Description for the error message.
    actual : ndarray
    exact : ndarray, float64
        The result of naive.
    error : ndarray
        The largest error allowed.
    largest : ndarray, default 0
        The largest magnitude of intermediate results; where it overflows, infinities and NaN are right.
    free : ndarray of bool, default False
        Where NaN is also right.
    """
    actual, exact = np.asarray(actual), np.asarray(exact)
    assert actual.shape == exact.shape, f"{what}: shape {actual.shape}, expected {exact.shape}"
    assert exact.dtype == np.float64
    info = np.finfo(actual.dtype)
    with np.errstate(all="ignore"):
        distance = np.abs(wide(actual) - exact)
        right = distance <= np.asarray(error) + 2 * float(info.tiny)  # the result may be flushed or rounded
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
    """Compare sums of products, which are linear in each of the arrays, with naive.

    Parameters
    ----------
    names : list of str
        Names of the results.
    results : callable
        ``results(backend, *arrays)`` returns a list of arrays.
    arrays : list of ndarray or None
        Arrays of the dtype to test.
    drawn : list of Numbers
        The memory orders of the arrays for the tested backends.
    lengths : list of int
        Number of terms of each sum.
    free : list of ndarray of bool, optional
        Where zero may meet infinity.
    spread : float, default 1
        Ratio of the sum of the terms to the result, that is, the divisor of a mean.
    """
    dtype = arrays[0].dtype.type
    tiny = float(np.finfo(dtype).tiny)
    exact = results("naive", *map(wide, arrays))
    magnitudes = results("numpy", *map(size, arrays))  # compared with naive in float64 below
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
    """Call an operation of a backend; a `Batch` is packed, other arguments are passed on."""
    package = backends.load(backend)
    packed = [package.pack(a.array) if isinstance(a, Batch) else a for a in arguments]
    results = finite_or_not(getattr(package, operation), *packed)
    results = results if isinstance(results, tuple) else (results,)
    return [r if r is None or isinstance(r, (np.ndarray, float)) else package.unpack(r) for r in results]


class Batch:
    """An array (NCHW or rows) that `call` packs."""

    def __init__(self, array: np.ndarray):
        self.array = np.ascontiguousarray(array)
