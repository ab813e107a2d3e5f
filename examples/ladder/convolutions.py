"""Four ways to compute a convolution and its gradients, from the simplest to the fastest.

Each rung is a pair of functions: ``forward(x, weight, bias, stride, padding)`` returns y, and ``backward(dy, x, weight,
stride, padding)`` returns dx, dweight and dbias. Images are (N, C, H, W), filters (O, C, K, K).
"""

import numpy as np
from columns import add_windows, windows_by_loops
from numpy.lib.stride_tricks import as_strided

from fastcnn import functional


class Loops:
    """A loop over every index of the output; the window is multiplied by the filter and summed."""

    def forward(self, x, weight, bias, stride=1, padding=0):
        """Compute one number of y at a time."""
        x = padded(x, padding)
        O, _, K, _ = weight.shape
        N, OH, OW = len(x), outputs(x.shape[2], K, stride), outputs(x.shape[3], K, stride)
        y = np.empty((N, O, OH, OW), x.dtype)
        for n in range(N):
            for o in range(O):
                for oy in range(OH):
                    for ox in range(OW):
                        iy, ix = oy * stride, ox * stride
                        y[n, o, oy, ox] = np.sum(x[n, :, iy : iy + K, ix : ix + K] * weight[o]) + bias[o]
        return y

    def backward(self, dy, x, weight, stride=1, padding=0):
        """Compute both gradients as convolutions: of x with dy, and of spread-out dy with the rotated filters."""
        x = padded(x, padding)
        (N, C, H, W), (O, _, K, _), (OH, OW) = x.shape, weight.shape, dy.shape[2:]
        dweight = np.empty_like(weight)
        for o in range(O):
            for c in range(C):
                for ky in range(K):
                    for kx in range(K):
                        rows, columns = taps(ky, OH, stride), taps(kx, OW, stride)
                        dweight[o, c, ky, kx] = np.sum(x[:, c, rows, columns] * dy[:, o])
        spread, turned = spread_out(dy, K, stride, H, W), weight[:, :, ::-1, ::-1]
        dx = np.empty_like(x)
        for n in range(N):
            for c in range(C):
                for iy in range(H):
                    for ix in range(W):
                        dx[n, c, iy, ix] = np.sum(spread[n, :, iy : iy + K, ix : ix + K] * turned[:, c])
        return cropped(dx, padding), dweight, dy.sum(axis=(0, 2, 3))


class Im2col:
    """Copy all windows of an image to a matrix, then compute one matrix product for each image."""

    def forward(self, x, weight, bias, stride=1, padding=0):
        """Multiply filters (O, C*K*K) by windows (C*K*K, OH*OW)."""
        x = padded(x, padding)
        O, _, K, _ = weight.shape
        OH, OW = outputs(x.shape[2], K, stride), outputs(x.shape[3], K, stride)
        rows = weight.reshape(O, -1)  # (O, C*K*K)
        y = [rows @ windows_by_loops(image, K, stride) + bias[:, None] for image in x]
        return np.stack(y).reshape(len(x), O, OH, OW)

    def backward(self, dy, x, weight, stride=1, padding=0):
        """Compute both derivatives of the product; `add_windows` adds the windows of dx where they overlap."""
        x = padded(x, padding)
        (O, _, K, _), rows = weight.shape, weight.reshape(len(weight), -1)
        dx, dweight = np.zeros_like(x), np.zeros_like(rows)
        for n, image in enumerate(x):
            dy_rows = dy[n].reshape(O, -1)  # (O, OH*OW)
            dweight += dy_rows @ windows_by_loops(image, K, stride).T
            add_windows(rows.T @ dy_rows, dx[n], K, stride)
        return cropped(dx, padding), dweight.reshape(weight.shape), dy.sum(axis=(0, 2, 3))


class AsStrided:
    """A view of all windows of the batch, without a copy, and a single tensor product."""

    def forward(self, x, weight, bias, stride=1, padding=0):
        """Multiply windows (N, C, OH, OW, K, K) by filters (O, C, K, K), summed over C, K, K."""
        y = np.tensordot(windows(padded(x, padding), weight.shape[2], stride), weight, ((1, 4, 5), (1, 2, 3)))
        return np.ascontiguousarray((y + bias).transpose(0, 3, 1, 2))  # from (N, OH, OW, O)

    def backward(self, dy, x, weight, stride=1, padding=0):
        """Compute both gradients as convolutions, as in `Loops`."""
        x, K = padded(x, padding), weight.shape[2]
        dweight = np.tensordot(dy, windows(x, K, stride), ((0, 2, 3), (0, 2, 3)))  # (O, C, K, K)
        spread = windows(spread_out(dy, K, stride, *x.shape[2:]), K, 1)  # (N, O, H, W, K, K)
        dx = np.tensordot(spread, weight[:, :, ::-1, ::-1], ((1, 4, 5), (0, 2, 3))).transpose(0, 3, 1, 2)
        return cropped(dx, padding), dweight, dy.sum(axis=(0, 2, 3))


class Direct:
    """fastcnn's numba backend: register tiles instead of a matrix (see the README)."""

    def forward(self, x, weight, bias, stride=1, padding=0):
        """See `fastcnn.functional.conv2d`."""
        return functional.conv2d(x, weight, bias, stride, padding, backend="numba")

    def backward(self, dy, x, weight, stride=1, padding=0):
        """See `fastcnn.functional.conv2d_backward`."""
        return functional.conv2d_backward(dy, x, weight, stride, padding, backend="numba")


RUNGS = {"loops": Loops(), "im2col": Im2col(), "as_strided": AsStrided(), "numba direct": Direct()}


def outputs(extent: int, K: int, stride: int) -> int:
    """Return the number of windows that fit; rows or columns left at the end belong to no window."""
    return (extent - K) // stride + 1


def padded(x: np.ndarray, padding: int) -> np.ndarray:
    """Pad the images with zeros."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))) if padding else x


def cropped(x: np.ndarray, padding: int) -> np.ndarray:
    """Remove what `padded` added."""
    return np.ascontiguousarray(x[:, :, padding : x.shape[2] - padding, padding : x.shape[3] - padding])


def taps(k: int, n: int, stride: int) -> slice:
    """Return the rows (or columns) that tap k of n windows reads."""
    return slice(k, k + (n - 1) * stride + 1, stride)


def spread_out(dy: np.ndarray, K: int, stride: int, H: int, W: int) -> np.ndarray:
    """Insert stride - 1 zeros between the elements of dy, K - 1 before, and enough after for H x W windows of K x K."""
    out = np.zeros((*dy.shape[:2], H + K - 1, W + K - 1), dy.dtype)
    out[:, :, taps(K - 1, dy.shape[2], stride), taps(K - 1, dy.shape[3], stride)] = dy
    return out


def windows(x: np.ndarray, K: int, stride: int) -> np.ndarray:
    """Return a view of all windows, (N, C, OH, OW, K, K); it is read-only because windows share pixels."""
    (N, C, H, W), (n, c, row, column) = x.shape, x.strides
    shape = (N, C, outputs(H, K, stride), outputs(W, K, stride), K, K)
    return as_strided(x, shape, (n, c, stride * row, stride * column, row, column), writeable=False)
