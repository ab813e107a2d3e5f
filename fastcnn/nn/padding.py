"""Padding as layers; what stands around the images is said in `fastcnn.functional.pad`."""

from collections.abc import Sequence

from fastcnn import _validate
from fastcnn._geometry import padded
from fastcnn.functional.padding import checked_sides
from fastcnn.nn.module import Module


class _Pad2d(Module):
    """What all paddings share; a class says its mode."""

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
        """Pixels on each side."""
        return f"{self.padding}"


class ReflectionPad2d(_Pad2d):
    """The image mirrored at its outermost pixels; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom), fewer than the image has.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; from a call, if the image is too small for it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ReflectionPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([3., 2., 1., 2., 3., 2.])
    """

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The image's outermost pixels around it; see `fastcnn.functional.pad`.

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
    """The image once more on each side; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom), no more than the image has.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; from a call, if the image is too small for it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.CircularPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([2., 3., 1., 2., 3., 1.])
    """

    mode = "circular"


class ConstantPad2d(_Pad2d):
    """A number around the image; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom); fewer than 0 are cut off.
    value : float
        What stands there.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else; from a call, if nothing would be left of the image.

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
        """Pixels on each side, and the number."""
        return f"{self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """Zeros around the image; see `fastcnn.functional.pad`.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        Pixels on all sides, or (left, right, top, bottom); fewer than 0 are cut off.

    Raises
    ------
    TypeError, ValueError
        If `padding` is something else; from a call, if nothing would be left of the image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ZeroPad2d((2, 1, 0, 0))(np.array([[[[1.0, 2.0, 3.0]]]])).ravel()
    array([0., 0., 1., 2., 3., 0.])
    """

    mode = "constant"
