"""One image, in each of the layouts in which an operation asked for it."""

import math

import numpy as np

from fastcnn.backends.numba_direct.layout import BlockedArray, flatten, pack, unpack

Maps = tuple[int, int, int]


class Image:
    """One image, or a row of features.

    Parameters
    ----------
    shape : tuple of int
        (1, C, H, W), or (1, features) of a row.
    maps : (int, int, int)
        (C, H, W), which a row keeps from the image that it was.
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
        _, *rest = shape = array.shape
        C, H, W = rest if len(rest) == 3 else (math.prod(rest), 1, 1)
        if isinstance(array, BlockedArray):
            return cls(shape, (C, H, W), batch=array)
        return cls(shape, (C, H, W), numbers=array)

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

    def as_row(self) -> "Image":
        """The same numbers, as features."""
        batch = None if self._batch is None else flatten(self._batch)
        return Image((1, math.prod(self.maps)), self.maps, numbers=self._numbers, channels=self._channels, batch=batch)
