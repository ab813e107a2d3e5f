"""A model as a list of steps: layers, with the activations that they read and write."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastcnn import nn, use_backend
from fastcnn.data import Preprocessing
from fastcnn.interop.arguments import square_shape
from fastcnn.interop.walk import Walk
from fastcnn.nn.folding import folded


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
    then : str
        What the step does beyond this, for its title.
    """

    name: str
    kind: type
    layer: Any
    x: tuple[Array, ...]
    y: Array
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
        return y.reshape(len(y), *self.y.shape)


_NORMS: dict[type, Any] = {nn.BatchNorm1d: nn.Conv1d, nn.BatchNorm2d: nn.Conv2d}
_RESHAPING = nn.Flatten, nn.Unflatten


def steps_of(
    model: nn.Module, input_shape, kinds: Iterable[type], preprocessing: Preprocessing | None
) -> tuple[list[Step], Array]:
    """Return the steps of a model, after a step for the preprocessing if there is one; and the output."""
    if preprocessing is None:
        walk = Steps(model, input_shape, kinds)
        return walk.steps, walk.write(Array(0, walk.input_shapes[0]))
    walk = Steps(model, square_shape(preprocessing, input_shape, "C"), kinds)
    image, square = Array(0, tuple(input_shape)), Array(1, walk.input_shapes[0])
    walk.steps.append(Step("preprocessing", Preprocessing, preprocessing, (image,), square))
    return walk.steps, walk.write(square)


class Steps(Walk):
    """The steps of a model in evaluation mode.

    Batch normalizations are folded into the layer before them; if there is none, they become convolutions of single
    pixels. Layers that only change the shape are no steps: they give an activation another shape.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int
    kinds : iterable of class
        The layers that steps may have.

    Attributes
    ----------
    steps : list of Step

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit the model.
    """

    def __init__(self, model: nn.Module, input_shape, kinds: Iterable[type]):
        super().__init__(model, input_shape, {*_NORMS, *_RESHAPING, *kinds}, "C", fold_batch_norm=True)
        self.steps: list[Step] = []

    def written(self, kind, layer, name: str, inputs: list, shape, y_shape) -> Array:
        """Add the step of a layer; return its output."""
        if kind in _RESHAPING:
            return inputs[0]._replace(shape=y_shape)
        if kind in _NORMS:
            kind, layer = _NORMS[kind], _as_convolution(layer, kind, name)
            inputs = [inputs[0]._replace(shape=shape if len(shape) > 1 else (*shape, 1))]
        y = Array(len(self.steps) + 1, y_shape)
        self.steps.append(Step(name, kind, layer, tuple(inputs), y))
        return y


def _as_convolution(norm: Any, kind: type, name: str) -> nn.Module:
    """Return the convolution of single pixels that does what a batch normalization does."""
    C = norm.num_features
    layer = _NORMS[kind](C, C, 1, groups=C, bias=False, dtype=norm.dtype)
    layer.weight.data[...] = 1
    one = folded(layer, norm)
    if one is None:
        raise ValueError(
            f"{name or '`model`'}: {norm} has no running statistics, or one is not finite: its output for an image "
            "depends on the other images of the batch."
        )
    return one
