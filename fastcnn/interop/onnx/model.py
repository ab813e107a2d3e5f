"""Write a model as an ONNX graph, layer by layer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastcnn import _validate, nn
from fastcnn._inputs import each, joined
from fastcnn._names import dotted
from fastcnn.interop.kinds import kind_of
from fastcnn.interop.onnx.graph import Graph, Layer
from fastcnn.interop.onnx.layers import WRITERS
from fastcnn.nn.folding import IDLE, folded
from fastcnn.nn.summaries import checked_shapes, steps_of

_KINDS = {nn.Sequential, nn.Residual, nn.Concat, nn.Parallel, *IDLE, *WRITERS}


class Writer:
    """Write a model as an ONNX graph.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int, or of such sequences
        Shape of one image or row; for several inputs, the shape of each.
    fold_batch_norm : bool

    Attributes
    ----------
    graph : Graph
    input_shapes : tuple of tuple of int
    output_shape : tuple of int
        Shape of the output for one image or row.

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit the model.
    """

    def __init__(self, model: nn.Module, input_shape, *, fold_batch_norm: bool):
        fold_batch_norm = _validate.flag("fold_batch_norm", fold_batch_norm)
        self.input_shapes = checked_shapes(model, input_shape)
        steps = steps_of(model, self.input_shapes)
        self._shapes = {(step.module, each(_of_one, step.x)): _of_one(step.y) for step in steps}
        self._model, self._fold = model, fold_batch_norm
        self.graph = Graph(next((parameter.dtype for parameter in model.parameters()), np.float32))
        self.output_shape = _of_one(steps[0].y)

    def write(self, *inputs: str) -> str:
        """Write all layers for inputs with these names; return the name of the output.

        Raises
        ------
        TypeError
            If a layer is not one of fastcnn's own.
        """
        return self._chain(self._model, "", joined(inputs), joined(self.input_shapes))

    def _chain(self, module: nn.Module, name: str, x: Any, shape: tuple) -> str:
        """Write layers one after the other; for several inputs, ``x`` and ``shape`` are tuples."""
        rest = list(_layers(module, name))
        while rest:
            name, layer = rest.pop(0)
            one = folded(layer, rest[0][1]) if self._fold and rest else None
            if one:
                rest.pop(0)
            x, shape = self._layer(one or layer, Layer(self.graph, name, shape), x), self._shapes[layer, shape]
        return x

    def _layer(self, layer: Any, at: Layer, x: Any) -> str:
        """Write one layer, including its branches if it has any."""
        kind = kind_of(layer, _KINDS)
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in _KINDS))
            raise TypeError(
                f"{at.name or '`model`'}: {type(layer).__name__} cannot be written as ONNX. Supported are {known}."
            )
        if kind is nn.Residual:
            ways = ("body", layer.body), ("shortcut", layer.shortcut)
            return at.node("Add", *(self._chain(way, dotted(at.name, name), x, at.shape) for name, way in ways))
        if kind in (nn.Concat, nn.Parallel):
            given: Any = zip(x, at.shape, strict=True) if kind is nn.Parallel else [(x, at.shape)] * len(layer)
            outputs = (
                self._chain(branch, dotted(at.name, name), its, shape)
                for (name, branch), (its, shape) in zip(layer.named_children(), given, strict=True)
            )
            return at.node("Concat", *outputs, axis=layer.dim)
        return WRITERS[kind](layer, at, x)


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a (nested) Sequential with their names, or the module itself; skip layers without effect."""
    kind = kind_of(module, _KINDS)
    if kind is nn.Sequential:
        for child_name, child in module.named_children():
            yield from _layers(child, dotted(name, child_name))
    elif kind not in IDLE:
        yield name, module


def _of_one(batch: np.ndarray) -> tuple[int, ...]:
    """Return the shape of one image or row of a batch."""
    return batch.shape[1:]
