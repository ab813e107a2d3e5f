"""Shapes and scales of inputs: images, signals or features."""

import math
from collections.abc import Sequence

import numpy as np

from fastcnn import _validate


def checked_shape(input_shape: Sequence[int] | None) -> tuple[int, ...] | None:
    """Check an estimator's ``input_shape``; return it as a tuple of int, or None."""
    if input_shape is None:
        return None
    if not isinstance(input_shape, Sequence) or isinstance(input_shape, str) or len(input_shape) not in (1, 2, 3):
        raise TypeError(f"`input_shape` must be (C, H, W), (C, L), (features,) or None, not {input_shape!r:.60}.")
    return tuple(_validate.count(f"input_shape[{i}]", size) for i, size in enumerate(input_shape))


def shape_of(rows: tuple[int, ...], input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of an input if rows of X have the shape ``rows``.

    This is `input_shape` if it is given. Rows may then also be flat, or lack the axis of a single channel. Without
    `input_shape`, rows must be images (C, H, W) or features.

    Raises
    ------
    ValueError
        If the shape is ambiguous, or rows have another shape.
    """
    if input_shape is None:
        if len(rows) in (1, 3):
            return rows
        if len(rows) == 2:
            H, W = rows
            raise ValueError(
                f"X has rows of shape {rows}, which may be grey images or signals: pass input_shape=(1, {H}, {W}) or "
                f"input_shape=({H}, {W})."
            )
        raise ValueError(f"X has rows of shape {rows}, but must have (C, H, W), (C, L) or (features,).")
    flat = len(rows) == 1 and rows[0] == math.prod(input_shape)
    without_channel = input_shape[0] == 1 and rows == input_shape[1:]
    if not (rows == input_shape or without_channel or flat):
        features = f"{math.prod(rows)} features" if len(rows) == 1 else f"rows of shape {rows}"
        raise ValueError(f"X has {features}, but `input_shape` is {input_shape}, {math.prod(input_shape)} features.")
    return input_shape


class Scale:
    """Standardize numbers to mean 0 and standard deviation 1, and undo it.

    Mean and standard deviation are over all axes except the second: for each channel of images and signals, each
    feature or each target.

    Parameters
    ----------
    x : ndarray of shape (N, C, ...)
        Data for the mean and the standard deviation. A channel that is constant up to rounding becomes 0.
    """

    def __init__(self, x: np.ndarray):
        axes = (0, *range(2, x.ndim))
        self.mean = x.mean(axes, dtype=np.float64, keepdims=True)
        deviation = x.std(axes, dtype=np.float64, keepdims=True)
        self.deviation = np.where(deviation > 1e-12 * abs(self.mean), deviation, 1.0)

    def forward(self, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Standardize, and convert to this dtype."""
        mean, deviation = self.mean[0].astype(x.dtype), self.deviation[0].astype(x.dtype)
        return np.asarray((x - mean) / deviation, dtype, order="C")

    def backward(self, x: np.ndarray) -> np.ndarray:
        """Undo the standardization, in float64."""
        return x * self.deviation[0] + self.mean[0]
