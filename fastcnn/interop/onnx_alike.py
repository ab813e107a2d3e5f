"""Layers that are an operator of ONNX by themselves: one entry for each, by which it is written and read."""

from typing import NamedTuple

from fastcnn import nn
from fastcnn.interop.onnx_graph import Layer


class Attribute(NamedTuple):
    """An attribute of an operator: the layer's option of this name, or the number that it always is.

    The default is ONNX's: what an operator means that does not have the attribute.
    """

    value: str | float
    default: float


class Operator:
    """An operator, its attributes as pairs (value, default)."""

    def __init__(self, name: str, **attributes: tuple[str | float, float]):
        self.name = name
        self.attributes = {name: Attribute(*pair) for name, pair in attributes.items()}

    def write(self, layer: nn.Module, at: Layer, x: str) -> str:
        """Add it to a graph."""
        values = {name: attribute.value for name, attribute in self.attributes.items()}
        options = {name: getattr(layer, v) if isinstance(v, str) else v for name, v in values.items()}
        return at.node(self.name, x, **options)


ALIKE: dict[type[nn.Module], Operator] = {
    nn.ELU: Operator("Elu", alpha=("alpha", 1.0)),
    nn.Hardswish: Operator("HardSwish"),
    nn.LeakyReLU: Operator("LeakyRelu", alpha=("negative_slope", 0.01)),
    nn.ReLU: Operator("Relu"),
    nn.Sigmoid: Operator("Sigmoid"),
    nn.Tanh: Operator("Tanh"),
}
"""The operator that each layer is."""
