"""NumPy's .npz archives with the keys that Keras uses for MNIST."""

import math
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .array_dataset import MOST_UNNAMED, ArrayDataset
from .errors import DataError

KEYS = ("x_train", "y_train", "x_test", "y_test")
DEFLATE = 1032  # maximum compression factor of deflate, https://zlib.net/zlib_tech.html
MALFORMED = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError)
"""Errors that reading a header may raise: those of NumPy, `ast.literal_eval` and the tokenizer."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz(path) -> tuple[ArrayDataset, ArrayDataset]:
    """Load images and labels from a NumPy archive with the arrays ``x_train``, ``y_train``, ``x_test`` and ``y_test``.

    Images are uint8. (N, H, W) are grey images; (N, C, H, W) and (N, H, W, C) are told apart by the axis that has 1 or
    3 channels. Labels are integers from 0, of shape (N,) or (N, 1). Nothing is unpickled, and no memory is allocated
    for sizes that the file cannot hold.

    Parameters
    ----------
    path : str or path-like
        The archive, as written by `numpy.savez` or `numpy.savez_compressed`.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, C, H, W), and labels of int64.

    Raises
    ------
    DataError
        If the archive is damaged, or an array is missing or has the wrong dtype or shape. A ValueError.
    OSError
        If the file is missing or cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from fastcnn.data import npz
    >>> x, y = np.zeros((5, 8, 8), np.uint8), np.array([0, 1, 2, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "small.npz")
    ...     np.savez(file, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    ...     train, test = npz(file)
    >>> train.images.shape, test.labels, test.classes
    ((5, 1, 8, 8), array([0, 1]), ('0', '1', '2'))
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                x_train, y_train, x_test, y_test = _arrays(archive, path)
        except DataError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{path}: the archive is damaged or not an .npz ({error!s:.200}).") from error
    images = _images(x_train, f"{path}, x_train"), _images(x_test, f"{path}, x_test")
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(
            f"{path}: the images of x_train have shape {images[0].shape[1:]} but those of x_test have "
            f"{images[1].shape[1:]} (channels, height, width)."
        )
    labels = _labels(y_train, len(x_train), f"{path}, y_train"), _labels(y_test, len(x_test), f"{path}, y_test")
    classes = tuple(map(str, range(max(int(part.max()) for part in labels) + 1)))
    train, test = (ArrayDataset(*part, str(path), classes) for part in zip(images, labels, strict=True))
    return train, test


def _arrays(archive: zipfile.ZipFile, path: Path) -> list[np.ndarray]:
    """Read the four arrays."""
    held = archive.namelist()
    if missing := [key for key in KEYS if f"{key}.npy" not in held]:
        names = ", ".join(name.removesuffix(".npy") for name in held[:10]) or "nothing"
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {names}.")
    return [_array(archive, key, path.stat().st_size, f"{path}, {key}") for key in KEYS]


def _array(archive: zipfile.ZipFile, key: str, size: int, name: str) -> np.ndarray:
    """Read one array; header, archive directory and file size must agree before memory is allocated."""
    info = archive.getinfo(f"{key}.npy")
    most = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: DEFLATE}.get(info.compress_type)
    if most is None:
        raise DataError(f"{name}: the compression is {info.compress_type} but must be 0 (stored) or 8 (deflated).")
    with archive.open(info) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            if version not in HEADERS:
                raise ValueError(f"its version is {version}")
            shape, _, dtype = HEADERS[version](stream)
        except MALFORMED as error:
            raise DataError(f"{name}: the array's header is damaged ({error!s:.200}).") from error
        if dtype.kind not in "iu":
            raise DataError(f"{name} is {dtype} but must be of integers.")
        promised, follow = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if promised != follow:
            raise DataError(f"{name}: the header says {promised} bytes ({dtype}, {shape}) but {follow} follow.")
        if info.compress_size > size or info.file_size > most * info.compress_size:
            raise DataError(f"{name}: {info.compress_size} of the file's {size} bytes cannot hold {info.file_size}.")
        stream.seek(0)
        try:
            return np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:  # the data ends early
            raise DataError(f"{name}: {error}") from error


def _images(x: np.ndarray, name: str) -> np.ndarray:
    """Return the images as (N, C, H, W)."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or x.size == 0:
        raise DataError(
            f"{name}: the shape is {x.shape} and the dtype {x.dtype} but must be (N, H, W), (N, C, H, W) or "
            "(N, H, W, C), with at least one image, and uint8."
        )
    if x.ndim == 3:
        return np.ascontiguousarray(x[:, None])
    first, last = (x.shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise DataError(
            f"{name}: the shape is {x.shape} but must have 1 or 3 channels on either the second or the last axis, not "
            "on both."
        )
    return np.ascontiguousarray(x if first else np.moveaxis(x, 3, 1))


def _labels(y: np.ndarray, n: int, name: str) -> np.ndarray:
    """Return the labels as int64 of shape (N,)."""
    if y.shape not in ((n,), (n, 1)):
        raise DataError(f"{name}: the shape is {y.shape} but must be {(n,)}, one label for each image.")
    if y.min() < 0 or y.max() >= MOST_UNNAMED:
        wrong = y.min() if y.min() < 0 else y.max()
        raise DataError(f"{name} holds {wrong}, but labels must be from 0 to {MOST_UNNAMED - 1}.")
    return y.reshape(n).astype(np.int64)
