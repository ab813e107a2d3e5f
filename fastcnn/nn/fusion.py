"""Neighbours in a `Sequential` that compute as one.

ReLU acts on what a convolution, a fully connected layer or a normalization has in its registers, before it is
stored. Of a batch normalization, the gradient of ReLU needs no output either: its sign comes from the input once more,
which is read anyway, with one multiply-add. A max-pooling
takes a convolution's windows there too, and ReLU then acts on what the pooling leaves: the largest value of a window is
the same before and after ReLU, and where all of a window is negative no gradient passes either way. Such a window has
no winner (its index is -1), so that the gradient of the pooling is that of both. Outputs and gradients are those of the
layers one by one, bit for bit; there is only less to do. (In the numba backend a convolution by itself leaves out the
taps that see padding, and a fused one multiplies them by zero: a denormal bias counts as zero there, and what is not
finite in a filter makes NaN.)
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
    """The layers of a chain, and what computes in their place.

    Parameters
    ----------
    layers : tuple of Module
    """

    def __init__(self, layers: tuple[Module, ...]):
        self.layers = layers
        self._made: tuple | None = None  # what `units` depends on, and what it found

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
    """The layers, but one `ConvMaxPool` for each convolution that a max-pooling follows, at once or after ReLU.

    And one `WithReLU` for any other convolution, fully connected layer or normalization of single images that ReLU
    follows, one `NormReLU` for such a batch normalization. A layer whose methods were replaced stays as it is.
    """
    units: list[Module] = []
    rest: list[Any] = list(layers)
    while rest:
        kinds: list[Any] = [type(layer) if calls.is_as_defined(layer) else None for layer in rest[:3]]
        slides = kinds[0] in _POOLED
        pool = _POOLED[kinds[0]] if slides and rest[0].padding_mode == "zeros" else None  # else it is padded before
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
    """What computes in the place of layers; nothing changes it after it is made, so that to make one is no change."""

    def __setattr__(self, name: str, value) -> None:
        object.__setattr__(self, name, value)


class ConvMaxPool(Unit):
    """A convolution, ReLU if asked, and a max-pooling.

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
        """One call of the backend."""
        conv, pool = self.conv, self.pool
        self._windows = at = conv.check(x)
        self._x = as_images(x, backend)
        self._at = pool.windows((x.shape[0], conv.out_channels, *extents(at.OH, at.OW, len(x.shape) - 2)))
        y, self._indices = backend.conv2d_max_pool2d(self._x, *conv.arrays, at, conv.groups, self._at, self.relu)
        return as_given(y, len(x.shape) - 2, backend)

    def backward_native(self, dy, backend, input_grad: bool):
        """One call of the backend."""
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
        """One call of the backend."""
        self._y = self.layer.forward_native(x, backend, relu=True)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """ReLU's gradient, then the layer's."""
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
        """ReLU of what is normalized."""
        return self.norm.forward_native(x, backend, relu=True)

    def backward_native(self, dy, backend, input_grad: bool):
        """The gradient of both, as the layer knows what it computed."""
        return self.norm.backward_native(dy, backend, input_grad)
