"""One image, kept in each layout that an operation has used."""

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
        (C, H, W), or (C, 1, L) of a signal. A row keeps those of the image or signal that it comes from.
    numbers : ndarray, optional
    channels : BlockedArray of shape (C, 1, H, W), optional
        The image as a batch of its channels, which are in the lanes of vectors.
    batch : BlockedArray, optional
        The image as a batch of one, with all other lanes empty. One of the three must be given.
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
        """The image of an array or a batch of one image."""
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
        """Data type of the values."""
        return next(form.dtype for form in (self._numbers, self._channels, self._batch) if form is not None)

    @property
    def numbers(self) -> np.ndarray:
        """The image as a plain array."""
        if self._numbers is None:
            C, H, W = self.maps
            if self._channels and H * W == 1:
                self._numbers = self._channels.blocks.reshape(-1)[:C]
            else:
                self._numbers = unpack(self._channels or self.batch)
        return self._numbers.reshape(self.shape)

    @property
    def channels(self) -> BlockedArray:
        """The image as a batch of its channels."""
        if self._channels is None:
            C, H, W = self.maps
            self._channels = pack(self.numbers.reshape(C, 1, H, W))
        return self._channels

    @property
    def batch(self) -> BlockedArray:
        """The image as a batch of one."""
        if self._batch is None:
            self._batch = pack(self.numbers)
        return self._batch

    @property
    def planes(self) -> np.ndarray:
        """(planes, H, W, width): planes of as many channels as a vector has lanes, or of one, whichever exists."""
        C, H, W = self.maps
        return self.numbers.reshape(C, H, W, 1) if self._channels is None else self._channels.blocks[:, 0]

    def reshaped(self, *shape: int) -> "Image":
        """The same values and maps as an image, a signal or a row of this shape, which leaves out the batch axis."""
        batch = None if self._batch is None else unflatten(self._batch, shape)
        return Image((1, *shape), self.maps, numbers=self._numbers, channels=self._channels, batch=batch)


def maps_of(shape: tuple[int, ...]) -> Maps:
    """(C, H, W) of an image, a signal or a row of this shape, which includes the batch axis."""
    _, C, *extents = shape
    if len(extents) > 2:
        return math.prod(shape), 1, 1
    H, W = (1, 1, *extents)[-2:]
    return C, H, W
