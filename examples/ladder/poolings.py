"""Four ways to compute a max-pooling and its gradient; a pair as in `convolutions.py`.

``forward(x, k)`` gives y and what the gradient needs, and ``backward(dy, kept, x, k)`` gives dx. Windows of k x k stand
side by side; rows and columns that are left over belong to none, and have no gradient.
"""

import numpy as np
from convolutions import windows

from fastcnn import functional


class Loops:
    """A loop for every window, and a mask of the winners."""

    def forward(self, x, k):
        """One number of y at a time."""
        N, C, H, W = x.shape
        y, mask = np.empty((N, C, H // k, W // k), x.dtype), np.zeros(x.shape, bool)
        for n in range(N):
            for c in range(C):
                for oy in range(H // k):
                    for ox in range(W // k):
                        window = x[n, c, oy * k : (oy + 1) * k, ox * k : (ox + 1) * k]
                        winner = window.argmax()  # of equals the first
                        y[n, c, oy, ox] = window.flat[winner]
                        mask[n, c, oy * k + winner // k, ox * k + winner % k] = True
        return y, mask

    def backward(self, dy, mask, x, k):
        """Every window's dy, at its winner."""
        dx, (OH, OW) = np.zeros_like(x), dy.shape[2:]
        inside = slice(None), slice(None), slice(OH * k), slice(OW * k)
        dx[inside] = mask[inside] * dy.repeat(k, axis=2).repeat(k, axis=3)
        return dx


class Im2col:
    """All windows as rows of a matrix, whose argmax is taken."""

    def forward(self, x, k):
        """Rows (N*C*OH*OW, k*k)."""
        rows = windows(x, k, k).reshape(-1, k * k)
        winners = rows.argmax(axis=1)
        N, C, H, W = x.shape
        return rows[np.arange(len(rows)), winners].reshape(N, C, H // k, W // k), winners

    def backward(self, dy, winners, x, k):
        """Rows of zeros with dy at the winner, back in their places."""
        (N, C, OH, OW), dx = dy.shape, np.zeros_like(x)
        rows = np.zeros((dy.size, k * k), x.dtype)
        rows[np.arange(len(rows)), winners] = dy.ravel()
        places = rows.reshape(N, C, OH, OW, k, k).transpose(0, 1, 2, 4, 3, 5)  # (N, C, OH, k, OW, k)
        dx[:, :, : OH * k, : OW * k] = places.reshape(N, C, OH * k, OW * k)
        return dx


class Reshape:
    """The windows as axes of their own, which costs nothing. The winners are those that equal the maximum.

    So all that tie win. Given to each, the gradient of a window of equals is ``k * k`` times too large; ``share_ties``
    divides it among them, which sums up right, but costs time, and is still not what the other rungs do.
    """

    def __init__(self, share_ties: bool):
        self.share_ties = share_ties

    def forward(self, x, k):
        """Maximum over both axes of a window."""
        y = _axes(x, k).max(axis=(3, 5))
        return y, y

    def backward(self, dy, y, x, k):
        """``dy`` where x equals y."""
        mask = _axes(x, k) == y[:, :, :, None, :, None]  # (N, C, OH, k, OW, k)
        if self.share_ties:
            dy = dy / mask.sum(axis=(3, 5), dtype=x.dtype)
        dx, (OH, OW) = np.zeros_like(x), dy.shape[2:]
        spread = (mask * dy[:, :, :, None, :, None]).astype(x.dtype, copy=False)
        dx[:, :, : OH * k, : OW * k] = spread.reshape(*dy.shape[:2], OH * k, OW * k)
        return dx


class Direct:
    """fastcnn's numba backend; of equals the first wins."""

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
    """(N, C, OH, k, OW, k), without the rows and columns that are left over."""
    N, C, H, W = x.shape
    return x[:, :, : H // k * k, : W // k * k].reshape(N, C, H // k, k, W // k, k)
