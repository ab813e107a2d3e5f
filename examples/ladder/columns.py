"""im2col and col2im of one image: copy its windows to the columns of a matrix, and back."""

import numpy as np


def windows_by_loops(image: np.ndarray, K: int, stride: int = 1) -> np.ndarray:
    """Copy the windows of an image (C, H, W) one by one to columns (C*K*K, OH*OW).

    A stride of 1 is the mode "sliding" of MATLAB's im2col, a stride of K its mode "distinct".
    """
    places = list(_places(image.shape, K, stride))
    columns = np.empty((image.shape[0] * K * K, len(places)), image.dtype)
    for column, (iy, ix) in enumerate(places):
        columns[:, column] = image[:, iy : iy + K, ix : ix + K].ravel()
    return columns


def add_windows(columns: np.ndarray, image: np.ndarray, K: int, stride: int = 1) -> None:
    """Add every column to its window of ``image`` (C, H, W): the adjoint of `windows_by_loops`.

    A pixel in several windows gets the sum, as in a gradient. This is not the inverse; see `restored`.
    """
    C = len(image)
    for column, (iy, ix) in enumerate(_places(image.shape, K, stride)):
        image[:, iy : iy + K, ix : ix + K] += columns[:, column].reshape(C, K, K)


def restored(columns: np.ndarray, shape: tuple[int, int, int], K: int, stride: int = 1) -> np.ndarray:
    """Restore the image whose windows are ``columns``: divide sums by the number of windows that a pixel is in.

    A pixel in no window is unknown and becomes 0.
    """
    image, counts = np.zeros(shape, columns.dtype), np.zeros(shape, columns.dtype)
    add_windows(columns, image, K, stride)
    add_windows(np.ones_like(columns), counts, K, stride)
    return np.divide(image, counts, out=image, where=counts > 0)


def _places(shape: tuple[int, int, int], K: int, stride: int):
    """Return the upper left pixels of all windows, in row-major order."""
    _, H, W = shape
    return ((iy, ix) for iy in range(0, H - K + 1, stride) for ix in range(0, W - K + 1, stride))
