"""One image, in each of the layouts in which an operation asked for it."""

import math

import numpy as np

from fastcnn.backends.numba_direct.layout import BlockedArray, pack, unflatten, unpack

Maps = tuple[int, int, int]


class Image:
    """One image, one signal, or a row of features.

    Parameters
    ----------
    shape : tuple of int
        (1, C, H, W), (1, C, L) or, of a row, (1, features).
    maps : (int, int, int)
        (C, H, W), of a signal (C, 1, L), which a row keeps from what it was.
    numbers : ndarray, optional
    channels : BlockedArray of shape (C, 1, H, W), optional
        The image as a batch of its channels: they are the lanes of vectors.
    batch : BlockedArray, optional
        The image as the first of a batch: all other lanes are empty. One of the three must be given.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        maps: Maps,
        *,
        numbers: np.ndarray | None = None,
        channels: BlockedArray | None = None,
        batch: BlockedArray | None = None,
    ):
        self.shape, self.maps = shape, maps
        self._numbers, self._channels, self._batch = numbers, channels, batch

    @classmethod
    def of(cls, array: np.ndarray | BlockedArray) -> "Image":
        """The only image of an array, or of a batch."""
        maps = maps_of(array.shape)
        if isinstance(array, BlockedArray):
            return cls(array.shape, maps, batch=array)
        return cls(array.shape, maps, numbers=array)

    @classmethod
    def of_channels(cls, channels: BlockedArray) -> "Image":
        """The image of these channels."""
        C, _, H, W = channels.shape
        return cls((1, C, H, W), (C, H, W), channels=channels)

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return next(form.dtype for form in (self._numbers, self._channels, self._batch) if form is not None)

    @property
    def numbers(self) -> np.ndarray:
        """As it is outside."""
        if self._numbers is None:
            C, H, W = self.maps
            if self._channels and H * W == 1:
                self._numbers = self._channels.blocks.reshape(-1)[:C]
            else:
                self._numbers = unpack(self._channels or self.batch)
        return self._numbers.reshape(self.shape)

    @property
    def channels(self) -> BlockedArray:
        """As a batch of its channels."""
        if self._channels is None:
            C, H, W = self.maps
            self._channels = pack(self.numbers.reshape(C, 1, H, W))
        return self._channels

    @property
    def batch(self) -> BlockedArray:
        """As the first of a batch."""
        if self._batch is None:
            self._batch = pack(self.numbers)
        return self._batch

    @property
    def planes(self) -> np.ndarray:
        """(planes, H, W, width): of as many channels as a vector has lanes, or of one, whichever is there."""
        C, H, W = self.maps
        return self.numbers.reshape(C, H, W, 1) if self._channels is None else self._channels.blocks[:, 0]

    def reshaped(self, *shape: int) -> "Image":
        """The same numbers of the same maps, as an image, a signal or a row of this shape, without the first axis."""
        batch = None if self._batch is None else unflatten(self._batch, shape)
        return Image((1, *shape), self.maps, numbers=self._numbers, channels=self._channels, batch=batch)


def maps_of(shape: tuple[int, ...]) -> Maps:
    """(C, H, W) of an image, a signal or a row of this shape, with the first axis."""
    _, C, *extents = shape
    if len(extents) > 2:
        return math.prod(shape), 1, 1
    H, W = (1, 1, *extents)[-2:]
    return C, H, W
