"""Padding layers; `fastcnn.functional.pad` describes the modes."""

from collections.abc import Sequence

from fastcnn import _validate
from fastcnn._geometry import padded
from fastcnn.functional.padding import checked_sides
from fastcnn.nn.module import Module


class _Pad2d(Module):
    """Base of the padding layers; a subclass sets ``mode``."""

    mode: str
    value = 0.0

    def __init__(self, padding: int | Sequence[int]):
        sides = (_validate.whole("padding", padding),) * 4 if _validate.is_whole(padding) else padding
        self.padding = checked_sides("padding", sides, self.mode)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.pad`."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        try:
            self._at = padded(x.shape[2:], self.padding, self.mode)
        except ValueError as error:
            raise ValueError(f"{self} cannot take an input of shape {x.shape}. {error}") from None
        return backend.pad(x, self._at, self.value)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.pad_backward`."""
        return backend.pad_backward(dy, self._at)

    def extra_repr(self) -> str:
        """Return `padding` for the repr."""
        return f"{self.padding}"


class ReflectionPad2d(_Pad2d):
    """Pad images by mirroring them at their outermost pixels; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom). Must be smaller than the image along that axis.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; when called, if the image is too small for it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ReflectionPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([3., 2., 1., 2., 3., 2.])
    """

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Pad images by repeating their outermost pixels; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom).

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ReplicationPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([1., 1., 1., 2., 3., 3.])
    """

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """Pad images with the pixels from the opposite side; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom). Must be no larger than the image along that axis.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; when called, if the image is too small for it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.CircularPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([2., 3., 1., 2., 3., 1.])
    """

    mode = "circular"


class ConstantPad2d(_Pad2d):
    """Pad images with a number; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom). Negative numbers cut pixels off.
    value : float
        Value of the added pixels.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; when called, if no pixel of the image would be left.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ConstantPad2d((2, -1, 0, 0), 9)(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([9., 9., 1., 2.])
    """

    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float):
        super().__init__(padding)
        self.value = _validate.number("value", value)

    def extra_repr(self) -> str:
        """Return `padding` and `value` for the repr."""
        return f"{self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """Pad images with zeros; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom). Negative numbers cut pixels off.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; when called, if no pixel of the image would be left.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ZeroPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([0., 0., 1., 2., 3., 0.])
    """

    mode = "constant"
