"""The layout of a batch: NCHW, as it comes."""

import numpy as np


def pack(x: np.ndarray) -> np.ndarray:
    """The array itself."""
    return x


def unpack(native: np.ndarray) -> np.ndarray:
    """The array itself."""
    return native


def flatten(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as (N, C*H*W), without a copy."""
    return x.reshape(len(x), -1)


def unflatten(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows, or images or signals, as (N, *shape), without a copy."""
    return x.reshape(len(x), *shape)
