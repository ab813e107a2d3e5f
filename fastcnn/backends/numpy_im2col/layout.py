"""The layout of a batch: plain NCHW, without conversion."""

import numpy as np


def pack(x: np.ndarray) -> np.ndarray:
    """Return the array itself."""
    return x


def unpack(native: np.ndarray) -> np.ndarray:
    """Return the array itself."""
    return native


def flatten(x: np.ndarray) -> np.ndarray:
    """Reshape (N, C, H, W) to (N, C*H*W), without a copy."""
    return x.reshape(len(x), -1)


def unflatten(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Reshape rows, images or signals to (N, *shape), without a copy."""
    return x.reshape(len(x), *shape)
