"""Conversion of uint8 images to the input of a network."""

import numpy as np

from fastcnn import _validate

from .dataset import Dataset

CHUNK = 256  # images at a time: the temporaries stay in the cache


def mean_and_std(images: np.ndarray | Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of ``images / 255`` for each channel.

    They are computed from the histogram of the 256 levels in integers: exactly, and without a copy of the images. Use
    the training images only, so that the test images have no influence on the training.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W), or Dataset
        Images; those of a data set such as `fastcnn.data.ImageFolder` are read one after the other.

    Returns
    -------
    mean, std : ndarray of float64, shape (C,)
        Both on the scale from 0 (black) to 1 (white); ``std`` is the population's, as in `numpy.std`.

    Raises
    ------
    TypeError, ValueError
        If ``images`` is not uint8, is empty, or does not have 4 dimensions (3 for each image of a data set).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import mean_and_std
    >>> mean_and_std(np.array([0, 255], np.uint8).reshape(1, 1, 1, 2))
    (array([0.5]), array([0.5]))
    """
    if isinstance(images, np.ndarray) or not isinstance(images, Dataset) or len(images) == 0:
        return moments(level_counts(images))
    counts = level_counts(np.asarray(images[0][0])[None])
    for i in range(1, len(images)):
        counts += level_counts(np.asarray(images[i][0])[None])
    return moments(counts)


def level_counts(images) -> np.ndarray:
    """Count each of the 256 levels in each channel, (C, 256); the counts of several arrays may be added."""
    C = _validate.uint8_images(images).shape[1]
    counts = np.zeros((C, 256), np.int64)
    for chunk in _chunks(images):
        for c in range(C):
            counts[c] += np.bincount(images[chunk, c].ravel(), minlength=256)
    return counts


def moments(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, from `level_counts`; see `mean_and_std`."""
    mean, std = map(np.array, zip(*map(_moments, counts.tolist()), strict=True))
    return mean, std


def standardize(images: np.ndarray, mean, std, dtype=np.float32) -> np.ndarray:
    """``(images / 255 - mean) / std`` as floats.

    Each of the 256 levels is computed once, in float64, and looked up for every pixel.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W)
        Images.
    mean, std : float or array of float, shape (C,)
        Those of the training images, see `mean_and_std`; ``std`` must be positive.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    ndarray of ``dtype``, shape (N, C, H, W)
        A new C-contiguous array.

    Raises
    ------
    TypeError, ValueError
        If ``images`` is not uint8 or does not have 4 dimensions, ``mean`` or ``std`` has another shape or is not
        finite, ``std`` is not positive, or ``dtype`` is not float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import standardize
    >>> standardize(np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3), mean=0.2, std=0.4).ravel()
    array([-0.5,  0. ,  2. ], dtype=float32)
    """
    C = _validate.uint8_images(images).shape[1]
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"`dtype` must be float32 or float64, not {dtype}.")
    mean, std = (_per_channel(name, values, C) for name, values in (("mean", mean), ("std", std)))
    check_statistics(mean, std)
    tables = np.broadcast_to(((np.arange(256) / 255 - mean) / std).astype(dtype), (C, 256))
    out = np.empty(images.shape, dtype)
    for chunk in _chunks(images):
        for c in range(C):
            # "clip" clips nothing here; "raise" would make numpy write to a buffer first
            np.take(tables[c], images[chunk, c], out=out[chunk, c], mode="clip")
    return out


def pad_images(images: np.ndarray, padding: int) -> np.ndarray:
    """Add ``padding`` rows and columns of zeros on each side; LeNet-5 needs 2 for MNIST, from 28x28 to 32x32.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W)
        Images.
    padding : int
        Pixels on each of the four sides, 0 or more.

    Returns
    -------
    ndarray of uint8, shape (N, C, H + 2 * padding, W + 2 * padding)
        A new C-contiguous array.

    Raises
    ------
    TypeError, ValueError
        If ``images`` is not uint8 or does not have 4 dimensions, or ``padding`` is not an integer of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import pad_images
    >>> pad_images(np.full((1, 1, 1, 2), 7, np.uint8), 1)[0, 0]
    array([[0, 0, 0, 0],
           [0, 7, 7, 0],
           [0, 0, 0, 0]], dtype=uint8)
    """
    N, C, H, W = _validate.uint8_images(images).shape
    padding = _validate.count("padding", padding, least=0)
    out = np.zeros((N, C, H + 2 * padding, W + 2 * padding), np.uint8)
    out[:, :, padding : padding + H, padding : padding + W] = images
    return out


def _chunks(images: np.ndarray):
    """Slices of `CHUNK` images."""
    return (slice(n, n + CHUNK) for n in range(0, len(images), CHUNK))


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and standard deviation of levels with these counts, on the scale from 0 to 1."""
    n = sum(counts)
    total = sum(level * count for level, count in enumerate(counts))
    squares = sum(level * level * count for level, count in enumerate(counts))
    return total / n / 255, (squares * n - total * total) ** 0.5 / n / 255  # integers up to the root: exact


def _per_channel(name: str, values, C: int) -> np.ndarray:
    """Return the values as floats of shape (C, 1) or (1, 1)."""
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (1,), (C,)):
        raise ValueError(f"`{name}` has shape {array.shape} but must be a number, or {C}, one for each channel.")
    return array.reshape(-1, 1)


def check_statistics(mean: np.ndarray, std: np.ndarray) -> None:
    """Raise a ValueError unless means and standard deviations are finite, and the latter positive."""
    if not np.isfinite(mean).all():
        raise ValueError(f"`mean` is {_shown(mean)} but must be finite.")
    if not (np.isfinite(std) & (std > 0)).all():
        raise ValueError(f"`std` is {_shown(std)} but must be finite and positive; images of a single level have 0.")


def _shown(values: np.ndarray) -> str:
    """Format one number, or all of them."""
    return str(values.item() if values.size == 1 else values.ravel().tolist())
