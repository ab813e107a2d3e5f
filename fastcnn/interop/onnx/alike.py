"""Layers that are a single operator of ONNX: one table entry for each, used for writing and for reading."""

from typing import NamedTuple

from fastcnn import nn
from fastcnn.interop.onnx.graph import Layer


class Attribute(NamedTuple):
    """An attribute of an operator.

    ``value`` is the name of the layer's option, or a constant number. ``default`` is ONNX's default for an operator
    without the attribute.
    """

    value: str | float
    default: float


class Operator:
    """An operator of ONNX with its attributes, given as pairs (value, default)."""

    def __init__(self, name: str, **attributes: tuple[str | float, float]):
        self.name = name
        self.attributes = {name: Attribute(*pair) for name, pair in attributes.items()}

    def write(self, layer: nn.Module, at: Layer, x: str) -> str:
        """Add the operator to a graph; return the name of its output."""
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
"""Layer -> its operator."""
