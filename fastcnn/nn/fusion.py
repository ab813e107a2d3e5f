"""Consecutive layers of a `Sequential` that are computed as one.

ReLU is applied to the result of a convolution, a fully connected layer or a normalization while it is in registers,
before it is stored. For a batch normalization, the gradient of ReLU does not need the output: one multiply-add computes
its sign again from the input, which the gradient reads anyway.

A max-pooling takes the convolution's results from registers as well, and ReLU is then applied to the maximum of each
window. The order does not matter: ReLU keeps the maximum the maximum, and if all values of a window are negative, no
gradient passes in either order. Such a window has no winner (its index is -1), so that the gradient of the pooling is
that of both layers.

Outputs and gradients are bit-identical to those of the separate layers. There is one exception in the numba backend: a
separate convolution skips the taps that see padding, and a fused one multiplies them by zero. There a denormal bias
counts as zero, and a filter value that is not finite makes NaN.
"""

from typing import Any

from fastcnn.functional.signals import as_given, as_images, extents
from fastcnn.nn import calls
from fastcnn.nn.activations import ReLU
from fastcnn.nn.conv import Conv1d, Conv2d
from fastcnn.nn.group_norm import GroupNorm, InstanceNorm2d, LayerNorm
from fastcnn.nn.linear import Linear
from fastcnn.nn.module import Module
from fastcnn.nn.normalization import BatchNorm1d, BatchNorm2d
from fastcnn.nn.pooling import MaxPool1d, MaxPool2d


class Fused:
    """The layers of a chain, and the units that replace them.

    Parameters
    ----------
    layers : tuple of Module
    """

    def __init__(self, layers: tuple[Module, ...]):
        self.layers = layers
        self._made: tuple | None = None  # the state that `units` depends on, and its result

    def units(self) -> list[Module]:
        """See `fuse`."""
        state = [layer._version for layer in self.layers], *map(calls.passes, _FUSED)
        if self._made is None or self._made[0] != state:
            self._made = state, fuse(self.layers)
        return self._made[1]

    def __reduce__(self):
        return Fused, (self.layers,)


_IMAGE_NORMS = GroupNorm, InstanceNorm2d, LayerNorm
_POOLED = {Conv1d: MaxPool1d, Conv2d: MaxPool2d}
_FUSED = BatchNorm1d, BatchNorm2d, *_POOLED, Linear, *_POOLED.values(), ReLU, *_IMAGE_NORMS


def fuse(layers: tuple[Module, ...]) -> list[Module]:
    """Return the layers, with fused ones replaced by units.

    A convolution followed by a max-pooling, with or without a ReLU in between, becomes a `ConvMaxPool`. Any other
    convolution, a fully connected layer or a normalization of single images followed by ReLU becomes a `WithReLU`, and
    a batch normalization followed by ReLU a `NormReLU`. A layer whose methods were replaced is not fused.
    """
    units: list[Module] = []
    rest: list[Any] = list(layers)
    while rest:
        kinds: list[Any] = [type(layer) if calls.is_as_defined(layer) else None for layer in rest[:3]]
        slides = kinds[0] in _POOLED
        pool = _POOLED[kinds[0]] if slides and rest[0].padding_mode == "zeros" else None  # other modes pad first
        if pool and kinds[1:2] == [pool]:
            units.append(ConvMaxPool(rest.pop(0), rest.pop(0), relu=False))
        elif pool and kinds[1:] == [ReLU, pool]:
            units.append(ConvMaxPool(rest.pop(0), rest.pop(1), relu=True))
            rest.pop(0)
        elif (slides or kinds[0] in (Linear, *_IMAGE_NORMS)) and kinds[1:2] == [ReLU]:
            units.append(WithReLU(rest.pop(0)))
            rest.pop(0)
        elif kinds[:2] in ([BatchNorm1d, ReLU], [BatchNorm2d, ReLU]):
            units.append(NormReLU(rest.pop(0)))
            rest.pop(0)
        else:
            units.append(rest.pop(0))
    return units


class Unit(Module):
    """A module that replaces layers. It never changes, so setting its attributes does not count as a change."""

    def __setattr__(self, name: str, value) -> None:
        object.__setattr__(self, name, value)


class ConvMaxPool(Unit):
    """A convolution, optionally ReLU, and a max-pooling.

    Parameters
    ----------
    conv : Conv1d or Conv2d
    pool : MaxPool1d or MaxPool2d
        For the same number of axes.
    relu : bool
        Whether there is a ReLU between them.
    """

    def __init__(self, conv: Conv1d | Conv2d, pool: MaxPool1d | MaxPool2d, *, relu: bool):
        self.conv, self.pool, self.relu = conv, pool, relu

    def forward_native(self, x, backend):
        """Call one operation of the backend."""
        conv, pool = self.conv, self.pool
        self._windows = at = conv.check(x)
        self._x = as_images(x, backend)
        self._at = pool.windows((x.shape[0], conv.out_channels, *extents(at.OH, at.OW, len(x.shape) - 2)))
        y, self._indices = backend.conv2d_max_pool2d(self._x, *conv.arrays, at, conv.groups, self._at, self.relu)
        return as_given(y, len(x.shape) - 2, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """Call one operation of the backend."""
        conv = self.conv
        weight = conv.check_parameters(dy.dtype)
        gradients = backend.conv2d_max_pool2d_backward(
            as_images(dy, backend), self._indices, self._x, weight, self._windows, conv.groups, self._at, input_grad,
            conv.learns(),
        )  # fmt: skip
        return conv.learn(backend, *gradients)


class WithReLU(Unit):
    """A convolution, a fully connected layer or a normalization of single images, and ReLU.

    Parameters
    ----------
    layer : Conv1d, Conv2d, Linear, GroupNorm, InstanceNorm2d or LayerNorm
    """

    def __init__(self, layer: Conv1d | Conv2d | Linear | GroupNorm | InstanceNorm2d | LayerNorm):
        self.layer = layer

    def forward_native(self, x, backend):
        """Call one operation of the backend."""
        self._y = self.layer.forward_native(x, backend, relu=True)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """Go back through ReLU, then through the layer."""
        return self.layer.backward_native(backend.relu_backward(dy, self._y), backend, input_grad)


class NormReLU(Unit):
    """A batch normalization, and ReLU.

    Parameters
    ----------
    norm : BatchNorm1d or BatchNorm2d
    """

    def __init__(self, norm: BatchNorm1d | BatchNorm2d):
        self.norm = norm

    def forward_native(self, x, backend):
        """Normalize and apply ReLU."""
        return self.norm.forward_native(x, backend, relu=True)

    def backward_native(self, dy, backend, input_grad: bool):
        """Return the gradient of both: the normalization stored that ReLU was applied."""
        return self.norm.backward_native(dy, backend, input_grad)
