"""The steps of a model: layers, with the activations that they read and write."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastcnn import functional, nn, use_backend


class Array(NamedTuple):
    """An activation: its number, and its shape for one image. Number 0 is the input."""

    number: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Count of its numbers."""
        return math.prod(self.shape)


class Step(NamedTuple):
    """One layer with its inputs and its output; a step of kind `Residual` is the sum of two activations.

    Attributes
    ----------
    name : str
        Dotted name of the layer.
    kind : class
        Which of fastcnn's layers it is.
    layer : callable
        The layer itself, or a `Preprocessing`.
    x : tuple of Array
    y : Array
    pool : (int, int)
        Height and width of the windows of a max-pooling that a convolution does, too; (1, 1) is none.
    then : str
        What the step does beyond this, for its title.
    """

    name: str
    kind: type
    layer: Any
    x: tuple[Array, ...]
    y: Array
    pool: tuple[int, int] = (1, 1)
    then: str = ""

    @property
    def title(self) -> str:
        """The layer's name, its class and its shapes."""
        shapes = (" x ".join(map(str, array.shape)) for array in (self.x[0], self.y))
        return f"{self.name or 'model'}: {self.kind.__name__}, {' -> '.join(shapes)}{self.then}"

    def compute(self, *x: np.ndarray) -> np.ndarray:
        """Compute the output for batches of the inputs."""
        inputs = [batch.reshape(len(batch), *array.shape) for batch, array in zip(x, self.x, strict=True)]
        with use_backend("numpy"):  # nothing to compile
            y = np.add(*inputs) if self.kind is nn.Residual else self.layer(*inputs)
            if self.pool != (1, 1):  # a signal is an image of one row
                y = functional.max_pool2d(y.reshape(*y.shape[:2], -1, y.shape[-1]), self.pool)
        return y.reshape(len(y), *self.y.shape)
