"""Tolerances: how much two ways to compute the same value may differ."""

import numpy as np

ROUNDINGS = 64
"""Roundings that the contracts allow besides the terms of sums, for functions such as tanh or exp."""


def tolerance(dtype, length: int, magnitude: np.ndarray) -> np.ndarray:
    """Return how much two ways to compute the same sum may differ.

    For float32 it is ``n u / (1 - n u)`` times the sum of the terms' absolute values, where ``u`` is half the machine
    epsilon: the bound for a sum of products in any order. ``n`` is the `length` of the sum plus 2, for the rounding of
    the value that it is compared with and for a bias. For float64 it is 1e-12 times that sum, which is wider for all
    lengths below 9000. The smallest normal number is added, as smaller results may be flushed to 0.

    Parameters
    ----------
    dtype : float32 or float64
    length : int
        Number of roundings in one result, mainly the number of terms of its sum.
    magnitude : ndarray of any shape
        Sum of the absolute values of the terms of each result.

    Returns
    -------
    ndarray of the shape of `magnitude`, float64
        The largest absolute differences.

    References
    ----------
    N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd ed., SIAM 2002, equation (3.5).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.testing import tolerance
    >>> tolerance(np.float32, 178, np.array([1.0, 100.0])).round(7)
    array([1.0700e-05, 1.0729e-03])
    """
    info = np.finfo(dtype)
    nu = (length + 2) * float(info.eps) / 2
    relative = nu / (1 - nu) if dtype == np.float32 else 1e-12
    return relative * np.abs(magnitude).astype(np.float64) + float(info.tiny)


def assert_close(actual: np.ndarray, expected: np.ndarray, length: int, magnitude: np.ndarray | None = None) -> None:
    """Assert equal shapes and dtypes, NaN and infinities at the same places, and other values within `tolerance`.

    Parameters
    ----------
    actual, expected : ndarray of any shape, float32 or float64
    length, magnitude
        As in `tolerance`; by default the magnitude is that of ``expected``.

    Raises
    ------
    AssertionError
        If they differ; the message names the worst place.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.testing import assert_close
    >>> assert_close(np.array([1.0, np.nan]), np.array([1.0 + 1e-13, np.nan]), length=1)
    """
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype == expected.dtype, f"dtype {actual.dtype}, expected {expected.dtype}"
    allowed = tolerance(expected.dtype, length, expected if magnitude is None else magnitude)
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = np.abs(actual.astype(np.float64) - expected)
        excess = np.where(np.isfinite(difference), difference / allowed, np.inf)
    excess[(actual == expected) | (np.isnan(actual) & np.isnan(expected))] = 0
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 1, (
        f"{(excess > 1).sum()} of {excess.size} values differ; the worst, at {tuple(map(int, worst))}, is "
        f"{actual[worst]}, expected {expected[worst]}: {excess[worst]:.3g} times the tolerance apart"
    )
