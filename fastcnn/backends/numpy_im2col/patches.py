"""The pixels that windows read: padded images, views of all patches, and the slice of each tap."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastcnn._geometry import Windows


def padded_extent(windows: Windows) -> tuple[int, int]:
    """Padded extent (PH, PW): the image, its top and left padding, and all pixels that windows reach beyond it."""
    H, W, KH, KW, SH, SW, top, _, left, _, DH, DW, OH, OW = windows
    return max(top + H, (OH - 1) * SH + (KH - 1) * DH + 1), max(left + W, (OW - 1) * SW + (KW - 1) * DW + 1)


def padded(x: np.ndarray, windows: Windows, value: float = 0.0) -> np.ndarray:
    """The images padded with ``value``, (N, C, PH, PW); `x` itself if no window reaches outside."""
    extent = padded_extent(windows)
    if extent == x.shape[2:]:
        return x
    out = np.full((*x.shape[:2], *extent), value, x.dtype)
    inside(out, windows)[...] = x
    return out


def inside(padded_x: np.ndarray, windows: Windows) -> np.ndarray:
    """View of the images without their padding: (N, C, H, W)."""
    return padded_x[:, :, windows.top : windows.top + windows.H, windows.left : windows.left + windows.W]


def patches(padded_x: np.ndarray, windows: Windows) -> np.ndarray:
    """Read-only view of the pixels that each tap reads: (C, KH, KW, N, OH, OW)."""
    N, C = padded_x.shape[:2]
    n, c, row, column = padded_x.strides
    return as_strided(
        padded_x,
        (C, windows.KH, windows.KW, N, windows.OH, windows.OW),
        (c, windows.DH * row, windows.DW * column, n, windows.SH * row, windows.SW * column),
        writeable=False,
    )


def taps(windows: Windows) -> Iterator[tuple[int, int, tuple]]:
    """For each tap, in row-major order: ky, kx, and the index of the pixels that it reads from the padded images."""
    for ky in range(windows.KH):
        for kx in range(windows.KW):
            y, x = ky * windows.DH, kx * windows.DW
            rows = slice(y, y + (windows.OH - 1) * windows.SH + 1, windows.SH)
            columns = slice(x, x + (windows.OW - 1) * windows.SW + 1, windows.SW)
            yield ky, kx, (slice(None), slice(None), rows, columns)
