"""Neighbours in a `Sequential` that compute as one.

ReLU acts on what a convolution or a fully connected layer has in its registers, before it is stored. A max-pooling
takes a convolution's windows there too, and ReLU then acts on what the pooling leaves: the largest value of a window is
the same before and after ReLU, and where all of a window is negative no gradient passes either way. Such a window has
no winner (its index is -1), so that the gradient of the pooling is that of both. Outputs and gradients are those of the
layers one by one, bit for bit; there is only less to do. (One by one, a denormal bias stays where padding is all that a
filter sees; in the numba backend it counts as zero in the fused ones.)
"""

from typing import Any

from fastcnn.nn.activations import ReLU
from fastcnn.nn.conv import Conv2d
from fastcnn.nn.linear import Linear
from fastcnn.nn.module import Module
from fastcnn.nn.pooling import MaxPool2d


def fuse(layers: tuple[Module, ...]) -> list[Module]:
    """The layers, but one `ConvMaxPool` for each convolution that a max-pooling follows, at once or after ReLU.

    And one `WithReLU` for any other convolution or fully connected layer that ReLU follows.
    """
    units: list[Module] = []
    rest: list[Any] = list(layers)
    while rest:
        kinds = [type(layer) for layer in rest[:3]]
        if kinds[:2] == [Conv2d, MaxPool2d]:
            units.append(ConvMaxPool(rest.pop(0), rest.pop(0), relu=False))
        elif kinds == [Conv2d, ReLU, MaxPool2d]:
            units.append(ConvMaxPool(rest.pop(0), rest.pop(1), relu=True))
            rest.pop(0)
        elif kinds[:2] in ([Conv2d, ReLU], [Linear, ReLU]):
            units.append(WithReLU(rest.pop(0)))
            rest.pop(0)
        else:
            units.append(rest.pop(0))
    return units


class ConvMaxPool(Module):
    """A convolution, ReLU if asked, and a max-pooling.

    Parameters
    ----------
    conv : Conv2d
    pool : MaxPool2d
    relu : bool
        Whether there is a ReLU between them.
    """

    replayable = True

    def __init__(self, conv: Conv2d, pool: MaxPool2d, *, relu: bool):
        self.conv, self.pool, self.relu = conv, pool, relu

    def forward_native(self, x, backend):
        """One call of the backend."""
        conv, pool = self.conv, self.pool
        windows = conv.remember(x)
        self._at = pool.windows((x.shape[0], conv.out_channels, windows.OH, windows.OW))
        bias = conv.bias and conv.bias.data
        y, self._indices = backend.conv2d_max_pool2d(
            x, conv.weight.data, bias, windows, conv.groups, self._at, self.relu
        )
        return y

    def backward_native(self, dy, backend, input_grad: bool):
        """One call of the backend."""
        return self.conv.learn(
            *backend.conv2d_max_pool2d_backward(dy, self._indices, *self.conv.remembered(), self._at, input_grad, True)
        )


class WithReLU(Module):
    """A convolution or a fully connected layer, and ReLU.

    Parameters
    ----------
    layer : Conv2d or Linear
    """

    replayable = True

    def __init__(self, layer: Conv2d | Linear):
        self.layer = layer

    def forward_native(self, x, backend):
        """One call of the backend."""
        self._y = self.layer.forward_native_relu(x, backend)
        return self._y

    def backward_native(self, dy, backend, input_grad: bool):
        """ReLU's gradient, then the layer's."""
        return self.layer.backward_native(backend.relu_backward(dy, self._y), backend, input_grad)
