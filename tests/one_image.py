"""Calls of `fastcnn.testing.operations` with only the first image of each batch, for the backend for one image."""

from collections.abc import Iterator

import numpy as np

from fastcnn import backends
from fastcnn.backends.numba_direct.layout import BlockedArray
from fastcnn.backends.numba_direct.one_image import OneImage
from fastcnn.backends.numba_direct.one_image.image import Image
from fastcnn.testing import operations

_FILES = "conv", "conv_transpose", "linear", "pooling", "adaptive_pooling", "activations", "residual", "softmax"
OPERATIONS = (
    *(name for file in _FILES for name in backends.operations_by_file()[file] if not name.endswith("_backward")),
    "batch_norm", "batch_norm_relu", "flatten",
)  # fmt: skip
"""The operations of forward passes."""


class FirstAsNumbers(OneImage):
    """Take the first image of a batch, in NCHW order."""

    def pack(self, x: np.ndarray) -> Image:
        """Pack the first image of an array."""
        return super().pack(x[:1])


class FirstAsChannels(FirstAsNumbers):
    """Take the first image as vectors of channels, with NaN in unused lanes."""

    def pack(self, x: np.ndarray) -> Image:
        """Pack the first image of an array."""
        image = super().pack(x)
        channels = BlockedArray(image.channels.blocks.copy(), image.channels.shape)
        L = channels.blocks.shape[-1]
        channels.blocks[-1, ..., image.maps[0] % L or L :] = np.nan
        return Image(image.shape, image.maps, channels=channels)


def calls() -> Iterator[operations.Call]:
    """Yield the calls of these operations."""
    return (call for call in operations.calls() if call.operation in OPERATIONS)
