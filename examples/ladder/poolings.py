"""Four ways to compute a max-pooling and its gradient.

Each rung is a pair of functions: ``forward(x, k)`` returns y and what the gradient needs, and ``backward(dy, kept, x,
k)`` returns dx. Windows of k x k do not overlap; rows and columns left at the end belong to no window, and their
gradient is 0.
"""

import numpy as np
from convolutions import windows

from fastcnn import functional


class Loops:
    """A loop over every window, and a mask of the winners."""

    def forward(self, x, k):
        """Compute one number of y at a time."""
        N, C, H, W = x.shape
        y, mask = np.empty((N, C, H // k, W // k), x.dtype), np.zeros(x.shape, bool)
        for n in range(N):
            for c in range(C):
                for oy in range(H // k):
                    for ox in range(W // k):
                        window = x[n, c, oy * k : (oy + 1) * k, ox * k : (ox + 1) * k]
                        winner = window.argmax()  # the first one in case of a tie
                        y[n, c, oy, ox] = window.flat[winner]
                        mask[n, c, oy * k + winner // k, ox * k + winner % k] = True
        return y, mask

    def backward(self, dy, mask, x, k):
        """Put the dy of every window at its winner."""
        dx, (OH, OW) = np.zeros_like(x), dy.shape[2:]
        inside = slice(None), slice(None), slice(OH * k), slice(OW * k)
        dx[inside] = mask[inside] * dy.repeat(k, axis=2).repeat(k, axis=3)
        return dx


class Im2col:
    """All windows as rows of a matrix, and the argmax of each row."""

    def forward(self, x, k):
        """Take the maximum of each row of the matrix (N*C*OH*OW, k*k)."""
        rows = windows(x, k, k).reshape(-1, k * k)
        winners = rows.argmax(axis=1)
        N, C, H, W = x.shape
        return rows[np.arange(len(rows)), winners].reshape(N, C, H // k, W // k), winners

    def backward(self, dy, winners, x, k):
        """Make rows of zeros with dy at the winner, and put them back in place."""
        (N, C, OH, OW), dx = dy.shape, np.zeros_like(x)
        rows = np.zeros((dy.size, k * k), x.dtype)
        rows[np.arange(len(rows)), winners] = dy.ravel()
        places = rows.reshape(N, C, OH, OW, k, k).transpose(0, 1, 2, 4, 3, 5)  # (N, C, OH, k, OW, k)
        dx[:, :, : OH * k, : OW * k] = places.reshape(N, C, OH * k, OW * k)
        return dx


class Reshape:
    """Windows as separate axes, which needs no copy; the winners are all pixels that equal the maximum.

    In case of a tie there are several winners. If each got the whole gradient, the gradient of a constant window would
    be ``k * k`` times too large. ``share_ties`` divides it among them, which gives the right sum but takes time, and
    still differs from the other rungs.
    """

    def __init__(self, share_ties: bool):
        self.share_ties = share_ties

    def forward(self, x, k):
        """Take the maximum over both axes of each window."""
        y = _axes(x, k).max(axis=(3, 5))
        return y, y

    def backward(self, dy, y, x, k):
        """Put dy wherever x equals y."""
        mask = _axes(x, k) == y[:, :, :, None, :, None]  # (N, C, OH, k, OW, k)
        if self.share_ties:
            dy = dy / mask.sum(axis=(3, 5), dtype=x.dtype)
        dx, (OH, OW) = np.zeros_like(x), dy.shape[2:]
        spread = (mask * dy[:, :, :, None, :, None]).astype(x.dtype, copy=False)
        dx[:, :, : OH * k, : OW * k] = spread.reshape(*dy.shape[:2], OH * k, OW * k)
        return dx


class Direct:
    """fastcnn's numba backend; the first pixel wins a tie."""

    def forward(self, x, k):
        """See `fastcnn.functional.max_pool2d`."""
        return functional.max_pool2d(x, k, return_indices=True, backend="numba")

    def backward(self, dy, indices, x, k):
        """See `fastcnn.functional.max_pool2d_backward`."""
        return functional.max_pool2d_backward(dy, indices, x.shape, backend="numba")


RUNGS = {
    "loops": Loops(),
    "im2col": Im2col(),
    "reshape": Reshape(share_ties=False),
    "reshape, ties shared": Reshape(share_ties=True),
    "numba direct": Direct(),
}


def _axes(x: np.ndarray, k: int) -> np.ndarray:
    """Reshape to (N, C, OH, k, OW, k), without the rows and columns left at the end."""
    N, C, H, W = x.shape
    return x[:, :, : H // k * k, : W // k * k].reshape(N, C, H // k, k, W // k, k)
