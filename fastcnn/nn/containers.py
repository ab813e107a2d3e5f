"""Modules that hold, rearrange or do nothing: Sequential, Flatten, Identity."""

from collections.abc import Iterator
from typing import Any

from fastcnn.nn.fusion import fuse
from fastcnn.nn.module import Module


class Sequential(Module):
    """A chain of layers: each takes the output of the one before.

    Parameters
    ----------
    *layers : Module
        Each once: a layer remembers its last batch.

    Attributes
    ----------
    layers : tuple of Module
    units : list of Module
        What computes, one after the other: the layers, some of them fused (see `fastcnn.nn.fusion`).
    first_trained : int
        Place of the first unit that has parameters: training needs no gradient before it.

    Raises
    ------
    TypeError
        If a layer is not a `Module`.
    ValueError
        If a layer stands there twice.

    Examples
    --------
    >>> from fastcnn import nn
    >>> nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    Sequential(
      (0): Flatten()
      (1): Linear(in_features=784, out_features=10)
    )
    """

    replayable = True
    input_shape: tuple[int, ...]  # of one image, where a model has it: see `Module.summary`

    def __init__(self, *layers: Module):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Layer {i} of {type(self).__name__} must be a Module, not {type(layer).__name__}.")
            if any(layer is other for other in layers[:i]):
                raise ValueError(f"Layer {i} of {type(self).__name__}, {layer!r}, stands there twice; make two layers.")
        self.layers = layers
        self.units = fuse(layers)
        trained = (i for i, unit in enumerate(self.units) if next(unit.parameters(), None))
        self.first_trained = next(trained, len(self.units))

    def forward_native(self, x, backend):
        """Call all layers, the first first."""
        for layer in self.units:
            x = layer.forward_native(x, backend)
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Call all layers, the last first; without ``input_grad``, none before the first that has parameters."""
        first = 0 if input_grad else self.first_trained
        for i in range(len(self.units) - 1, first - 1, -1):
            dy = self.units[i].backward_native(dy, backend, input_grad or i > first)
        return dy if input_grad else None

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Layers, named by their places: "0", "1", ..."""
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Any:  # a layer, of whatever class it is
        return self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Flatten(Module):
    """(N, C, H, W) to (N, C * H * W), without a copy.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    replayable = True

    def forward_native(self, x, backend):
        """All features of an image in one row."""
        self._shape = x.shape[1:]
        return backend.flatten(x)

    def backward_native(self, dy, backend, input_grad: bool):
        """Give the features their shape back."""
        return backend.unflatten(dy, self._shape)


class Identity(Module):
    """Gives what it is given: a place for a layer that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Identity()(np.array([[1.0, 2.0]]))
    array([[1., 2.]])
    """

    replayable = True

    def forward_native(self, x, backend):
        """The input itself."""
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """The gradient itself."""
        return dy
