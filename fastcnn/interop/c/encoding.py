"""Real numbers as 8-bit integers, and factors as integers with a shift."""

from typing import NamedTuple

import numpy as np


class Encoding(NamedTuple):
    """A uint8 ``q`` stands for ``scale * (q - zero)``."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> "Encoding":
        """Return the encoding of the numbers from ``low`` to ``high`` and of 0, which is exact.

        Examples
        --------
        >>> from fastcnn.interop.c.encoding import Encoding
        >>> Encoding.of(0.0, 127.5), Encoding.of(-1.0, 2.0).zero
        (Encoding(scale=0.5, zero=0), 85)
        """
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        least = float(np.finfo(np.float32).tiny)  # denormal numbers are too far apart
        scale = float(np.float32(max((high - low) / 255, least))) if high > low else 1.0  # any scale encodes zeros
        return cls(scale, round(-low / scale))

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Return the nearest uint8 of each float32; halves go to even ones."""
        return np.clip(np.rint(x / np.float32(self.scale)) + np.float32(self.zero), 0, 255).astype(np.uint8)

    def decode(self, q: np.ndarray) -> np.ndarray:
        """Return the float32 that each uint8 stands for."""
        return np.float32(self.scale) * (q.astype(np.float32) - np.float32(self.zero))

    def offset(self, q: np.ndarray) -> np.ndarray:
        """Return the exact integers ``q - zero`` as float64."""
        return q.astype(np.float64) - self.zero


LEVELS = Encoding(1.0, 0)
"""The encoding of pixels: they stand for their levels."""


def fixed_point(factor, largest=None) -> tuple[np.ndarray, np.ndarray]:
    """Return integers (multiplier, shift) with ``factor = multiplier / 2**shift`` to 31 bits.

    Parameters
    ----------
    factor : float or ndarray of float64
    largest : float, optional
        The factor that decides the shift, to give several factors the same one; by default the factor itself.

    Examples
    --------
    >>> from fastcnn.interop.c.encoding import fixed_point
    >>> multiplier, shift = fixed_point(0.3)
    >>> int(multiplier), int(shift), int(multiplier) / 2 ** int(shift)
    (1288490189, 32, 0.30000000004656613)
    """
    _, exponent = np.frexp(factor if largest is None else largest)
    shift = np.clip(31 - exponent, 1, 62)
    multiplier = np.minimum(np.rint(np.multiply(factor, 2.0**shift)), 2**31 - 1)
    return multiplier.astype(np.int32), shift.astype(np.uint8)


def rescaled(product: np.ndarray, shift, zero: int) -> np.ndarray:
    """Return ``product / 2**shift``, rounded, plus ``zero``, as uint8; halves are rounded up.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.interop.c.encoding import rescaled
    >>> rescaled(np.array([-6, -5, 5, 6, 4000]), 2, 7)
    array([  6,   6,   8,   9, 255], dtype=uint8)
    """
    product, shift = product.astype(np.int64), np.asarray(shift, np.int64)
    return np.clip(((product + (np.int64(1) << (shift - 1))) >> shift) + zero, 0, 255).astype(np.uint8)
