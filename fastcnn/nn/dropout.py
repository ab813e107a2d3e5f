"""Dropout layers."""

import numpy as np

from fastcnn import _validate
from fastcnn.functional.dropout import checked_probability, dropout2d_mask, dropout_mask
from fastcnn.nn import init
from fastcnn.nn.activations import inplace_repr
from fastcnn.nn.module import Module
from fastcnn.nn.recording import made_anew
from fastcnn.nn.undoing import note_generator


class Dropout(Module):
    """In training mode, set values to 0 with probability ``p`` and scale all other values by ``1 / (1 - p)``.

    In evaluation mode it is the identity. Every backend draws the same mask from the same generator.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a value is dropped, from 0 to 1. With 1, all values are dropped.
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.
    rng : numpy.random.Generator, optional
        Draws the masks; by default a new generator.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number from 0 to 1, `inplace` is not True or False, or `rng` is not a Generator.

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

    _draw = staticmethod(dropout_mask)

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: np.random.Generator | None = None):
        self.p = checked_probability(p)
        self.inplace = _validate.flag("inplace", inplace)
        self.rng = init.generator(rng)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.dropout`."""
        if not self.training:
            self._mask = None
            return x
        draw, shape, dtype, p, rng = self._draw, x.shape, x.dtype, self.p, self.rng

        def draw_mask() -> np.ndarray:
            note_generator(rng)
            return draw(shape, dtype, p, rng)

        self._mask = made_anew(backend, shape, dtype, draw_mask)
        return backend.dropout(x, self._mask)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.dropout_backward`."""
        return dy if self._mask is None else backend.dropout_backward(dy, self._mask)

    def extra_repr(self) -> str:
        """Return `p` for the repr, and `inplace` if it is set."""
        return inplace_repr(self, f"p={self.p}")


class Dropout2d(Dropout):
    """`Dropout` of whole channels: each channel of each image is dropped with probability ``p``.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a channel is dropped, from 0 to 1. With 1, all channels are dropped.
    inplace : bool, default False
        Accepted for compatibility with PyTorch. fastcnn computes the same way with and without it.
    rng : numpy.random.Generator, optional
        Draws the masks; by default a new generator.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number from 0 to 1, `inplace` is not True or False, or `rng` is not a Generator; when called, if
        the input is not (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.Dropout2d(0.5, rng=np.random.default_rng(1))
    >>> layer(np.ones((1, 3, 4, 4))).mean((0, 2, 3))
    array([0., 2., 2.])
    """

    _draw = staticmethod(dropout2d_mask)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.dropout2d`."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        return super().forward_native(x, backend)
