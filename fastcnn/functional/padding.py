"""Padding and its gradient."""

from collections.abc import Sequence

import numpy as np

from fastcnn import _validate, backends
from fastcnn._geometry import Padded, padded
from fastcnn.functional.pooling import input_shape

MODES = ("constant", "reflect", "replicate", "circular")


def pad(
    x: np.ndarray,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Pad images, as ``torch.nn.functional.pad``.

    Parameters
    ----------
    x : ndarray of shape (N, C, H, W), float32 or float64
        Images.
    pad : sequence of 4 int, or of 2
        Pixels to add, (left, right, top, bottom) or (left, right). In mode "constant", a negative number removes
        pixels.
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        What the padding holds: `value`; the image mirrored at its outermost pixels, which are not repeated; copies of
        the outermost pixels; or the image continued from its opposite side.
    value : float, optional
        Value of the padding in mode "constant"; by default 0.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape (N, C, top + H + bottom, left + W + right), dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not a float32 or float64 array, or an option has the wrong type.
    ValueError
        If `x` is not (N, C, H, W), the image is too small for the padding, or `value` is not 0 in another mode.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> x = np.array([[[[1.0, 2.0, 3.0]]]])
    >>> for mode in ("constant", "reflect", "replicate", "circular"):
    ...     print(F.pad(x, (2, 1), mode).ravel())
    [0. 0. 1. 2. 3. 0.]
    [3. 2. 1. 2. 3. 2.]
    [1. 1. 1. 2. 3. 3.]
    [2. 3. 1. 2. 3. 1.]
    """
    x = _validate.floats("x", x, ndim=4)
    at, number = _checked(x.shape, pad, mode), checked_value(value, mode)
    implementation = backends.load(backend)
    return implementation.unpack(implementation.pad(implementation.pack(x), at, number))


def pad_backward(
    dy: np.ndarray,
    x_shape: Sequence[int],
    pad: Sequence[int],
    mode: str = "constant",
    *,
    backend: str | None = None,
) -> np.ndarray:
    """Gradient of `pad`: for each pixel, the sum of ``dy`` over its copies in the output.

    Parameters
    ----------
    dy : ndarray of shape (N, C, top + H + bottom, left + W + right), float32 or float64
        Gradient of the loss with respect to the output.
    x_shape : sequence of 4 int
        Shape of the input, (N, C, H, W).
    pad, mode
        As given to `pad`.
    backend : {"naive", "numpy", "numba"}, optional
        Which implementation to use.

    Returns
    -------
    ndarray of shape `x_shape`, dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        As in `pad`, or if `dy` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import functional as F
    >>> F.pad_backward(np.array([[[[1.0, 2.0, 3.0, 4.0]]]]), (1, 1, 1, 3), (1, 0), "reflect").ravel()
    array([2., 4., 4.])
    """
    dy = _validate.floats("dy", dy, ndim=4)
    shape = input_shape(x_shape, dy)
    at = _checked(shape, pad, mode)
    _validate.shape("dy", dy, (*shape[:2], len(at.rows), len(at.columns)), "the shape of the output")
    implementation = backends.load(backend)
    return implementation.unpack(implementation.pad_backward(implementation.pack(dy), at))


def checked_sides(name: str, pad, mode: str) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) from 4 numbers or 2, checked together with the mode."""
    _validate.choice("mode", mode, MODES)
    if isinstance(pad, str) or not isinstance(pad, Sequence) or len(pad) not in (2, 4):
        raise TypeError(f"`{name}` must be (left, right, top, bottom) or (left, right), not {pad!r}.")
    sides = [_validate.whole(f"{name}[{i}]", side) for i, side in enumerate(pad)]
    if mode != "constant" and min(sides) < 0:
        raise ValueError(f"`{name}` is {tuple(pad)}, but only mode 'constant' can remove pixels.")
    left, right, top, bottom = (*sides, 0, 0)[:4]
    return left, right, top, bottom


def checked_value(value, mode: str) -> float:
    """The value of the padding, by default 0; only mode "constant" takes another value."""
    if value is None:
        return 0.0
    number = _validate.number("value", value)
    if mode != "constant" and number != 0:
        raise ValueError(f"`value` is {value}, but `mode` is {mode!r}, and only mode 'constant' takes a value.")
    return number


def _checked(x_shape, pad, mode: str) -> Padded:
    return padded(x_shape[2:], checked_sides("pad", pad, mode), mode)
