"""Write a model as an ONNX graph, layer by layer."""

import numpy as np

from fastcnn import _validate, nn
from fastcnn.interop.onnx.graph import Graph, Layer
from fastcnn.interop.onnx.layers import WRITERS
from fastcnn.interop.walk import Walk


class Writer(Walk):
    """Write a model as an ONNX graph. Activations are names in it.

    Parameters
    ----------
    model : Module
    input_shape : sequence of int, or of such sequences
        Shape of one image or row; for several inputs, the shape of each.
    fold_batch_norm : bool

    Attributes
    ----------
    graph : Graph

    Raises
    ------
    TypeError, ValueError
        If `input_shape` does not fit the model.
    """

    def __init__(self, model: nn.Module, input_shape, *, fold_batch_norm: bool):
        fold_batch_norm = _validate.flag("fold_batch_norm", fold_batch_norm)
        super().__init__(model, input_shape, WRITERS, "ONNX", fold_batch_norm=fold_batch_norm)
        self.graph = Graph(next((parameter.dtype for parameter in model.parameters()), np.float32))

    def written(self, kind, layer, name: str, inputs: list, shape, y_shape) -> str:
        """Add the operators of a layer; return the name of its output."""
        return WRITERS[kind](layer, Layer(self.graph, name, shape), *inputs)
