"""Visit the layers of a model in the order in which they compute, to write them in another format."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastcnn import nn
from fastcnn._inputs import each, joined
from fastcnn._names import dotted
from fastcnn.interop.kinds import kind_of
from fastcnn.nn.folding import IDLE, folded
from fastcnn.nn.summaries import checked_shapes, steps_of

PLAIN = nn.Sequential, *IDLE
"""The layers that every format has, as nothing is written for them."""


class Walk:
    """Visit the layers of a model as they compute in evaluation mode.

    The subclass of a format defines `written`, which writes one layer. An activation is whatever the format needs to
    find it again, such as a name. Layers without effect are skipped.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int, or of such sequences
        Shape of one image or row; for several inputs, the shape of each.
    kinds : iterable of class
        The layers that the format has.
    form : str
        The name of the format, for errors.
    fold_batch_norm : bool
        Whether to fold batch normalizations into the layers before them.

    Attributes
    ----------
    input_shapes : tuple of tuple of int
    output_shape : tuple of int
        Shape of the output for one image or row.

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit the model.
    """

    def __init__(self, model: nn.Module, input_shape, kinds: Iterable[type], form: str, *, fold_batch_norm: bool):
        self.input_shapes = checked_shapes(model, input_shape)
        steps = steps_of(model, self.input_shapes)
        self._shapes = {(step.module, each(_of_one, step.x)): _of_one(step.y) for step in steps}
        self._model, self._fold = model, fold_batch_norm
        self._kinds, self._form = {*PLAIN, *kinds}, form
        self.output_shape = _of_one(steps[0].y)

    def write(self, *inputs: Any) -> Any:
        """Write all layers for these input activations; return the output activation.

        Raises
        ------
        TypeError
            If the format has no such layer.
        """
        return self._chain(self._model, "", joined(inputs), joined(self.input_shapes))

    def written(self, kind: type[nn.Module], layer: Any, name: str, inputs: list, shape: Any, y_shape: tuple) -> Any:
        """Write one layer of class ``kind``; return its output activation.

        ``inputs`` holds the input, or the outputs of the branches of a `Residual`, `Concat` or `Parallel`. ``shape`` is
        that of the layer's input.
        """
        raise NotImplementedError(f"{type(self).__name__} must define written.")

    def _chain(self, module: nn.Module, name: str, x: Any, shape: Any) -> Any:
        """Write layers one after the other; for several inputs, ``x`` and ``shape`` are tuples."""
        rest = list(self._layers(module, name))
        while rest:
            name, layer = rest.pop(0)
            one = folded(layer, rest[0][1]) if self._fold and rest else None
            y_shape = self._shapes[layer, shape]
            if one:
                rest.pop(0)
            x, shape = self._layer(one or layer, name, x, shape, y_shape), y_shape
        return x

    def _layers(self, module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
        """Yield the layers of a (nested) Sequential with their names, or the module; skip those without effect."""
        kind = kind_of(module, self._kinds)
        if kind is nn.Sequential:
            for child_name, child in module.named_children():
                yield from self._layers(child, dotted(name, child_name))
        elif kind not in IDLE:
            yield name, module

    def _layer(self, layer: Any, name: str, x: Any, shape: Any, y_shape: tuple) -> Any:
        """Write one layer, after its branches if it has any."""
        kind = kind_of(layer, self._kinds)
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in self._kinds))
            raise TypeError(
                f"{name or '`model`'}: {type(layer).__name__} cannot be written as {self._form}. Supported are {known}."
            )
        inputs = [x]
        if kind is nn.Residual:
            inputs = [self._chain(getattr(layer, way), dotted(name, way), x, shape) for way in ("body", "shortcut")]
        elif kind in (nn.Concat, nn.Parallel):
            given: Any = zip(x, shape, strict=True) if kind is nn.Parallel else [(x, shape)] * len(layer)
            inputs = [
                self._chain(branch, dotted(name, own), *its)
                for (own, branch), its in zip(layer.named_children(), given, strict=True)
            ]
        return self.written(kind, layer, name, inputs, shape, y_shape)


def _of_one(batch: np.ndarray) -> tuple[int, ...]:
    """Return the shape of one image or row of a batch."""
    return batch.shape[1:]
