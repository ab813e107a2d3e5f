"""Dropout as a layer."""

import numpy as np

from fastcnn import _validate
from fastcnn.functional.dropout import dropout_mask
from fastcnn.nn import init
from fastcnn.nn.module import Module
from fastcnn.nn.recording import made_anew


class Dropout(Module):
    """In training mode, zeros with probability ``p``, the rest scaled by ``1 / (1 - p)``; else the identity.

    Every backend draws the same mask from the same generator.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a value is dropped, below 1.
    rng : numpy.random.Generator, optional
        Draws the masks; by default a fresh one.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number from 0 to below 1, or `rng` is not a Generator.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.Dropout(0.5, rng=np.random.default_rng(0))
    >>> layer(np.ones((1, 4)))
    array([[2., 2., 2., 0.]])
    >>> layer.eval()(np.ones((1, 4)))
    array([[1., 1., 1., 1.]])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        self.p = _validate.number("p", p, 0, 1, below_high=True)
        self.rng = init.generator(rng)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.dropout`."""
        if not self.training:
            self._mask = None
            return x
        shape, dtype, p, rng = x.shape, x.dtype, self.p, self.rng
        self._mask = made_anew(backend, shape, dtype, lambda: dropout_mask(shape, dtype, p, rng))
        return backend.dropout(x, self._mask)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.dropout_backward`."""
        return dy if self._mask is None else backend.dropout_backward(dy, self._mask)

    def extra_repr(self) -> str:
        """Probability."""
        return f"p={self.p}"
