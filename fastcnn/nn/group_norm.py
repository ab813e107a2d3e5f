"""Layers that normalize each image separately."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from fastcnn import _validate
from fastcnn.functional.group_norm import checked_normalized_shape, runs
from fastcnn.functional.normalization import checked_eps
from fastcnn.nn import init
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter


class _ImageNorm(Module):
    """Base of these layers, which differ in the groups of values that they normalize and in the shape of the weight."""

    _affine_shape: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None

    def _start(self, shape: tuple[int, ...], eps, dtype, *, weight: bool, bias: bool) -> None:
        self.eps, self.dtype = checked_eps(eps), np.dtype(dtype)
        ones = init.parameter(shape, dtype)
        ones.data[...] = 1
        self._affine_shape = shape
        self.weight = ones if weight else None
        self.bias = init.parameter(shape, dtype) if bias else None

    def forward_native(self, x, backend, *, relu: bool = False):
        """See `fastcnn.functional.group_norm`; for ``relu``, see `fastcnn.nn.fusion`."""
        self.check(x)
        self._x = x
        groups, pixels = self._groups(x.shape)
        operation = backend.group_norm_relu if relu else backend.group_norm
        return operation(x, groups, self._values("weight", 1), self._values("bias", 0), pixels, self.eps)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.group_norm_backward`."""
        self.check(self._x)
        groups, pixels = self._groups(self._x.shape)
        trained = self.learns()
        dx, dweight, dbias = backend.group_norm_backward(
            dy, self._x, groups, self._values("weight", 1), pixels, self.eps, input_grad, trained
        )
        for parameter, grad in ((self.weight, dweight), (self.bias, dbias)):
            if parameter and trained:
                parameter.accumulate(grad.reshape(parameter.shape))
        return dx

    def _groups(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the number of groups in each image, and of consecutive values that share a weight."""
        raise NotImplementedError

    def _values(self, name: str, default: float) -> np.ndarray:
        """Return the weights or biases in one dimension, or ``default`` for each if there are none."""
        held = getattr(self, name)
        if held is None:
            return _constant(default, math.prod(self._affine_shape), self.dtype)
        return np.ascontiguousarray(held.data).reshape(-1)

    def check(self, x) -> None:
        """Raise an error if the input or a parameter does not fit."""
        if x.dtype != self.dtype:
            raise TypeError(
                f"{self} is {self.dtype} but its input is {x.dtype}; convert it with .astype(np.{self.dtype})."
            )
        self.check_arrays(x.dtype, weight=self._affine_shape, bias=self._affine_shape)


class GroupNorm(_ImageNorm):
    """Normalize groups of each image's channels by their mean and variance; see `fastcnn.functional.group_norm`.

    Parameters
    ----------
    num_groups : int
        Must divide `num_channels`.
    num_channels : int
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether to multiply by a learned weight and add a learned bias, one of each for every channel.
    dtype : float32 or float64, default float32
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight, bias : Parameter of shape (num_channels,), or None
        Initially 1 and 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `num_groups` does not divide `num_channels`; when called, if the input is not
        (N, num_channels, ...).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.GroupNorm(2, 4, eps=0, dtype=np.float64)(np.array([[1.0, 3.0, 10.0, 50.0]]))
    array([[-1.,  1., -1.,  1.]])
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype=np.float32):
        self.num_groups = _validate.count("num_groups", num_groups)
        self.num_channels = _validate.count("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"`num_groups` is {num_groups} but must divide `num_channels` ({num_channels}).")
        self.affine = _validate.flag("affine", affine)
        self._start((self.num_channels,), eps, dtype, weight=affine, bias=affine)

    def _groups(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return self.num_groups, math.prod(shape[2:])

    def check(self, x) -> None:
        """Raise an error if the input or a parameter does not fit."""
        if x.shape[1] != self.num_channels:
            raise ValueError(f"{self} needs {self.num_channels} channels but its input has shape {x.shape}.")
        super().check(x)

    def extra_repr(self) -> str:
        """Return groups, channels and options other than the defaults for the repr."""
        return f"{self.num_groups}, {self.num_channels}{_changed(self, affine=True)}"


class InstanceNorm2d(_ImageNorm):
    """Normalize each channel of each image by its mean and variance: `GroupNorm` with one channel per group.

    It has no running statistics. With them, PyTorch's layer computes in evaluation mode what `BatchNorm2d` does.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default False
        Whether to multiply by a learned weight and add a learned bias, one of each for every channel.
    dtype : float32 or float64, default float32
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight, bias : Parameter of shape (num_features,), or None
        Initially 1 and 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; when called, if the input is not (N, num_features, H, W), or has only one pixel
        in training mode.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast stylization",
    arXiv:1607.08022, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.InstanceNorm2d(2, eps=0, dtype=np.float64)(np.array([[[[1.0, 3.0]], [[10.0, 50.0]]]]))
    array([[[[-1.,  1.]],
    <BLANKLINE>
            [[-1.,  1.]]]])
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False, dtype=np.float32):
        self.num_features = _validate.count("num_features", num_features)
        self.affine = _validate.flag("affine", affine)
        self._start((self.num_features,), eps, dtype, weight=affine, bias=affine)

    def _groups(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return self.num_features, math.prod(shape[2:])

    def check(self, x) -> None:
        """Raise an error if the input or a parameter does not fit."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        if x.shape[1] != self.num_features:
            raise ValueError(f"{self} needs {self.num_features} channels but its input has shape {x.shape}.")
        if self.training and x.shape[2:] == (1, 1):
            raise ValueError(
                f"The input of {self} has one pixel (shape {x.shape}): training needs at least 2, for their variance."
            )
        super().check(x)

    def extra_repr(self) -> str:
        """Return channels and options other than the defaults for the repr."""
        return f"{self.num_features}{_changed(self, affine=False)}"


class LayerNorm(_ImageNorm):
    """Normalize over the last axes by their mean and variance; see `fastcnn.functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Size of the last axis, or sizes of the last axes, without the batch axis.
    eps : float, default 1e-5
        Added to the variance.
    elementwise_affine : bool, default True
        Whether to multiply by a learned weight for each element of `normalized_shape`.
    bias : bool, default True
        Whether to also add a learned bias, if `elementwise_affine` is True.
    dtype : float32 or float64, default float32
        Dtype of the parameters, and so of the input.

    Attributes
    ----------
    weight, bias : Parameter of shape `normalized_shape`, or None
        Initially 1 and 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; when called, if the shape of the input after the batch axis does not end with
        `normalized_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.LayerNorm(2, eps=0, dtype=np.float64)(np.array([[1.0, 3.0], [10.0, 50.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype=np.float32,
    ):
        self.normalized_shape = checked_normalized_shape(normalized_shape)
        self.elementwise_affine = _validate.flag("elementwise_affine", elementwise_affine)
        both = _validate.flag("bias", bias) and self.elementwise_affine
        self._start(self.normalized_shape, eps, dtype, weight=self.elementwise_affine, bias=both)

    def _groups(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return runs(shape, self.normalized_shape, f"The input of {self}"), 1

    def extra_repr(self) -> str:
        """Return sizes and options other than the defaults for the repr."""
        bias = ", bias=False" if self.weight and not self.bias else ""
        return f"{self.normalized_shape}{_changed(self, elementwise_affine=True)}{bias}"


def _changed(layer: _ImageNorm, **flags: bool) -> str:
    """Return the options that differ from their defaults, for the repr."""
    options = {"eps": 1e-5, **flags}
    return "".join(f", {name}={getattr(layer, name)!r}" for name in options if getattr(layer, name) != options[name])


@functools.cache
def _constant(value: float, size: int, dtype: np.dtype) -> np.ndarray:
    """Return a read-only array of one value, in place of weights or biases that do not exist."""
    array = np.full(size, value, dtype)
    array.flags.writeable = False
    return array
