"""A model's way into an ONNX graph, layer by layer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastcnn import _validate, nn
from fastcnn.interop.kinds import kind_of
from fastcnn.interop.onnx_graph import Graph, Layer
from fastcnn.interop.onnx_layers import WRITERS
from fastcnn.nn.folding import folded

_KINDS = {nn.Sequential, nn.Residual, nn.Dropout, nn.Identity, *WRITERS}


class Writer:
    """Writes a model.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int
        Of one image or row.
    fold_batch_norm : bool

    Attributes
    ----------
    graph : Graph
    output_shape : tuple of int
        Of one image or row.

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit.
    """

    def __init__(self, model: nn.Module, input_shape, *, fold_batch_norm: bool):
        fold_batch_norm = _validate.flag("fold_batch_norm", fold_batch_norm)
        self._shapes = {row.name: row.output_shape for row in nn.summarize(model, input_shape).rows}
        self._model, self._input_shape, self._fold = model, tuple(input_shape), fold_batch_norm
        self.graph = Graph(next((parameter.dtype for parameter in model.parameters()), np.float32))
        self.output_shape = self._shapes[""]

    def write(self, x: str) -> str:
        """Write all layers, for the input of the name ``x``; returns the output's name.

        Raises
        ------
        TypeError
            If a layer is none of fastcnn's own.
        """
        return self._chain(self._model, "", x, self._input_shape)

    def _chain(self, module: nn.Module, name: str, x: str, shape: tuple[int, ...]) -> str:
        """Layers that stand in a row."""
        rest = list(_layers(module, name))
        while rest:
            name, layer = rest.pop(0)
            one = folded(layer, rest[0][1]) if self._fold and rest else None
            if one:
                rest.pop(0)
            x, shape = self._layer(one or layer, Layer(self.graph, name, shape), x), self._shapes[name]
        return x

    def _layer(self, layer: Any, at: Layer, x: str) -> str:
        """One layer; of a residual one, both ways."""
        kind = kind_of(layer, _KINDS)
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in _KINDS))
            raise TypeError(
                f"{at.name or '`model`'}: {type(layer).__name__} cannot be written as ONNX; what can be is {known}."
            )
        if kind is nn.Residual:
            ways = ("body", layer.body), ("shortcut", layer.shortcut)
            return at.node("Add", *(self._chain(way, _dotted(at.name, name), x, at.shape) for name, way in ways))
        return WRITERS[kind](layer, at, x)


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Names and layers that do something: those of a Sequential, and of the ones inside it; or the module itself."""
    kind = kind_of(module, _KINDS)
    if kind is nn.Sequential:
        for child_name, child in module.named_children():
            yield from _layers(child, _dotted(name, child_name))
    elif kind not in (nn.Dropout, nn.Identity):
        yield name, module


def _dotted(name: str, child: str) -> str:
    return f"{name}.{child}".lstrip(".")
