"""Preprocessing of images for a network, the same in training and in later use."""

from dataclasses import dataclass

import numpy as np

from fastcnn import _validate

from .dataset import Dataset
from .pictures import pillow
from .transforms import check_statistics, mean_and_std, standardize


@dataclass(frozen=True)
class Preprocessing:
    """Turn uint8 images into the input of a network: fit them into a square, then standardize them.

    Images that are larger than the square are shrunk, smaller ones are padded with zeros. Two objects with the same
    settings are equal, and ``dataclasses.asdict`` gives JSON types.

    Parameters
    ----------
    size : int
        Height and width of the square, in pixels.
    mean, std : sequence of float, one for each channel
        See `standardize`.

    Raises
    ------
    ValueError
        If `mean` and `std` differ in length or have numbers that are not finite, or `std` has one that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import Preprocessing
    >>> images = np.tile(np.array([0, 255], np.uint8), (5, 1, 28, 14))
    >>> prepare = Preprocessing.of(images, size=32)
    >>> prepare
    Preprocessing(size=32, mean=(0.5,), std=(0.5,))
    >>> prepare(images).shape, prepare.black
    ((5, 1, 32, 32), (-1.0,))
    >>> prepare(images[0]).shape
    (1, 32, 32)
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        object.__setattr__(self, "size", _validate.count("size", self.size))
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))  # JSON has lists
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"`mean` and `std` must have a number for each channel, but have {len(self.mean)} and {len(self.std)}."
            )
        check_statistics(np.array(self.mean), np.array(self.std))

    @classmethod
    def of(cls, images: np.ndarray | Dataset, size: int) -> "Preprocessing":
        """Build it from training images, with their mean and standard deviation before padding."""
        return cls(size, *(values.tolist() for values in mean_and_std(images)))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Convert uint8 images (N, C, H, W), or one (C, H, W), to float32 (N, C, size, size) or (C, size, size)."""
        if isinstance(images, np.ndarray) and images.ndim == 3:
            return self(images[None])[0]
        return standardize(fit_square(images, self.size), self.mean, self.std)

    @property
    def black(self) -> tuple[float, ...]:
        """Value of black in each channel after standardizing."""
        return tuple((0 - mean) / std for mean, std in zip(self.mean, self.std, strict=True))


def fit_square(images: np.ndarray, size: int) -> np.ndarray:
    """Shrink images that are larger than a square, then pad them to the square with zeros.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W)
    size : int
        Height and width of the square in pixels. Images keep their proportions and are centred; if the number of padded
        rows or columns is odd, the bottom or the right side gets one more.

    Returns
    -------
    ndarray of uint8, shape (N, C, size, size)

    Raises
    ------
    ImportError
        If images must be shrunk and Pillow is not installed.
    TypeError, ValueError
        If `images` is not uint8 or does not have 4 dimensions, or `size` is not an integer of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.preprocessing import fit_square
    >>> fit_square(np.full((1, 1, 1, 2), 7, np.uint8), 3)[0, 0]
    array([[0, 0, 0],
           [7, 7, 0],
           [0, 0, 0]], dtype=uint8)
    """
    N, C, H, W = _validate.uint8_images(images).shape
    size = _validate.count("size", size)
    if max(H, W) > size:
        H, W = (max(round(extent * size / max(H, W)), 1) for extent in (H, W))
        images = _resized(images, H, W)
    if images.shape[2:] == (size, size):
        return images
    out = np.zeros((N, C, size, size), np.uint8)
    top, left = (size - H) // 2, (size - W) // 2
    out[:, :, top : top + H, left : left + W] = images
    return out


def _resized(images: np.ndarray, H: int, W: int) -> np.ndarray:
    """Resize images (N, C, H, W) in the same way as `read_image`."""
    Image = pillow()
    out = np.empty((*images.shape[:2], H, W), np.uint8)
    for place in np.ndindex(images.shape[:2]):
        out[place] = Image.fromarray(images[place]).resize((W, H), Image.Resampling.BILINEAR)
    return out
