"""A backend for one image, with channels in the lanes of vectors; batch-blocked, one image leaves most lanes empty.

An image of C channels is stored as a batch of C images of one channel. Operations that treat all channels alike run on
this batch. `convolution` has operations that do not. All other operations take the image as a batch of one.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.backends import numba_direct, operations, operations_by_file
from fastcnn.backends.numba_direct import layout
from fastcnn.backends.numba_direct.branches import join
from fastcnn.backends.numba_direct.layout import BlockedArray
from fastcnn.backends.numba_direct.one_image.convolution import (
    convolve,
    convolve_depthwise,
    is_mostly_padding,
    normalize,
)
from fastcnn.backends.numba_direct.one_image.image import Image, maps_of
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.processor import lanes

_FILES = operations_by_file()
_BY_CHANNEL = {
    name for file in ("activations", "pooling", "adaptive_pooling", "interpolation", "padding") for name in _FILES[file]
} | {"add"}


class OneImage:
    """The backend: the operations of forward passes (see `fastcnn.backends.operations`), on an `Image`.

    Attributes
    ----------
    largest : int
        Number of vector multiply-adds of the largest operation so far.
    """

    def __init__(self) -> None:
        self.largest = 0
        self._given: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Callable:
        if name not in operations():
            raise AttributeError(name)
        operation = getattr(numba_direct, name)
        return functools.partial(_by_channel if name in _BY_CHANNEL else _as_batch, operation)

    def pack(self, x: np.ndarray) -> Image:
        """The image of an array of shape (1, ...)."""
        self._given.append(x)
        return Image.of(x)

    def unpack(self, x: Image) -> np.ndarray:
        """The values of an image; a copy, if they share memory with an array that `pack` was given."""
        numbers = x.numbers
        is_given = any(np.may_share_memory(numbers, given) for given in self._given)
        return layout.unpack(layout.pack(numbers)) if is_given else numbers

    def flatten(self, x: Image) -> Image:
        """The image as a row of features."""
        return x.reshaped(math.prod(x.maps))

    def unflatten(self, x: Image, shape: tuple[int, ...]) -> Image:
        """The same values in another shape; a row may come from an image of another shape."""
        if maps_of((1, *shape)) == x.maps:
            return x.reshaped(*shape)
        return _as_batch(numba_direct.unflatten, x, shape)

    def conv2d(self, x: Image, weight, bias, windows: Windows, groups: int, *, relu: bool = False) -> Image:
        """See `fastcnn.functional.conv2d`."""
        C, O = x.maps[0], len(weight)
        if groups not in (1, C) or (groups > 1 and C != O) or is_mostly_padding(windows):
            operation = numba_direct.conv2d_relu if relu else numba_direct.conv2d
            return _as_batch(operation, x, weight, bias, windows, groups)
        vectors = weight.size // O * -(-O // lanes(weight.dtype))
        self.largest = max(self.largest, vectors * windows.OH * windows.OW)
        if groups == 1:
            return Image.of_channels(convolve(x.planes, C, weight, bias, windows, relu))
        return Image.of_channels(convolve_depthwise(x.channels.blocks[:, 0], weight, bias, windows, relu))

    def conv2d_relu(self, x: Image, weight, bias, windows: Windows, groups: int) -> Image:
        """See `fastcnn.nn.fusion`."""
        return self.conv2d(x, weight, bias, windows, groups, relu=True)

    def conv2d_max_pool2d(self, x: Image, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool):
        """See `fastcnn.nn.fusion`; ReLU comes first, as no gradient needs the winners."""
        return self.max_pool2d(self.conv2d(x, weight, bias, windows, groups, relu=relu), pool)

    def linear(self, x: Image, weight, bias, *, relu: bool = False) -> Image:
        """See `fastcnn.functional.linear`."""
        C, H, W = x.maps
        whole = Windows(H, W, H, W, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1)
        return self.conv2d(x, weight.reshape(-1, C, H, W), bias, whole, 1, relu=relu).reshaped(len(weight))

    def linear_relu(self, x: Image, weight, bias) -> Image:
        """See `fastcnn.nn.fusion`."""
        return self.linear(x, weight, bias, relu=True)

    def batch_norm(self, x: Image, mean, invstd, weight, bias) -> Image:
        """See `fastcnn.functional.batch_norm`."""
        if x.shape[1] != x.maps[0]:  # a row with several pixels of each channel
            return _as_batch(numba_direct.batch_norm, x, mean, invstd, weight, bias)
        y = normalize(x.channels, mean, invstd if weight is None else invstd * weight, bias)
        return Image(x.shape, x.maps, channels=y)

    def resize_channels(self, x: Image, channels: int) -> Image:
        """See `fastcnn.nn.ResizeChannels`."""
        C, L = x.maps[0], lanes(x.dtype)
        if C % L and channels > C:  # lanes that become zero channels may hold anything
            return _as_batch(numba_direct.resize_channels, x, channels)
        return _of_blocks(numba_direct.resize_channels(_blocks(x), -(-channels // L)), channels)

    def concatenate(self, xs: Sequence[Image], dim: int) -> Image:
        """See `fastcnn.nn.Concat`; channels are copied as whole vectors if all images but the last fill theirs."""
        channels, axes = [x.shape[1] for x in xs], len(xs[0].shape)
        if dim > 1:
            y = Image.of_channels(numba_direct.concatenate([x.channels for x in xs], dim + 4 - axes))
            return y if axes == 4 else y.reshaped(channels[0], y.maps[2])
        if axes == 4 and not any(C % lanes(xs[0].dtype) for C in channels[:-1]):
            return _of_blocks(numba_direct.concatenate([*map(_blocks, xs)], 1), sum(channels))
        numbers = aligned((1, sum(channels), *xs[0].shape[2:]), xs[0].dtype)
        join([x.numbers.reshape(*x.shape, 1) for x in xs], numbers.reshape(*numbers.shape, 1), 1)
        return Image.of(numbers)


def _blocks(x: Image) -> BlockedArray:
    """An image as a batch with one image for each lane; the blocks of its channels become the channels."""
    blocks = x.channels.blocks
    NB, _, H, W, L = blocks.shape
    return BlockedArray(blocks.reshape(1, NB, H, W, L), (L, NB, H, W))


def _of_blocks(y: BlockedArray, channels: int) -> Image:
    """The inverse of `_blocks`: the image of ``channels`` channels."""
    _, NB, H, W, L = y.blocks.shape
    return Image.of_channels(BlockedArray(y.blocks.reshape(NB, 1, H, W, L), (channels, 1, H, W)))


def _by_channel(operation: Callable, *args):
    """Apply an operation to the image as a batch of its channels."""
    x, *others = [arg for arg in args if isinstance(arg, Image)]
    if any(other.maps != x.maps for other in others):  # rows from images of different shapes
        return _as_batch(operation, *args)
    y = operation(*[arg.channels if isinstance(arg, Image) else arg for arg in args])
    if isinstance(y, tuple):  # a max-pooling; only gradients need its indices
        return Image.of_channels(y[0]), None
    return Image.of_channels(y) if len(x.shape) == 4 else Image(x.shape, x.maps, channels=y)


def _as_batch(operation: Callable, *args):
    """Apply an operation to the image as a batch of one."""
    return Image.of(operation(*[arg.batch if isinstance(arg, Image) else arg for arg in args]))
