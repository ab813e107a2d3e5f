"""An ONNX graph under construction, made of plain names, numbers and arrays; the onnx package is not needed here."""

from typing import Any, NamedTuple

import numpy as np

from fastcnn._names import dotted


class Node(NamedTuple):
    """An operator with the names of its inputs and its output, and its attributes."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Graph:
    """Operators in the order of execution, and arrays by name.

    Parameters
    ----------
    dtype : float32 or float64
        The dtype of the activations.

    Attributes
    ----------
    nodes : list of Node
    arrays : dict of str to ndarray
        The constants, which ONNX calls initializers.
    """

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._outputs: set[str] = set()

    def node(self, place: str, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator and return the name of its output, which consists of the layer's name and the operator."""
        output, i = f"{place}/{operator}", 0
        while output in self._outputs:
            i += 1
            output = f"{place}/{operator}_{i}"
        self._outputs.add(output)
        self.nodes.append(Node(operator, inputs, output, attributes))
        return output

    def finish(self, y: str, name: str) -> None:
        """Rename the output ``y`` of the last operator to ``name``; add an Identity if ``y`` is from elsewhere."""
        if not self.nodes or self.nodes[-1].output != y:
            self.node("", "Identity", y)
        self.nodes[-1] = self.nodes[-1]._replace(output=name)


class Layer(NamedTuple):
    """A layer to be written: its dotted name, and the shape (C, H, W), (C, L) or (features,) of its input."""

    graph: Graph
    name: str
    shape: tuple[int, ...]

    def node(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator of the layer."""
        return self.graph.node(self.name, operator, *inputs, **attributes)

    def floats(self, name: str, values) -> str:
        """Add an array of the activations' dtype, named as in ``state_dict``."""
        return self.array(name, np.array(values, self.graph.dtype))

    def whole(self, name: str, values) -> str:
        """Add an array of integers, such as indices, axes and sizes."""
        return self.array(name, np.array(values, np.int64))

    def array(self, name: str, array: np.ndarray) -> str:
        """Add an array with its own dtype; return its full name."""
        full = dotted(self.name, name)
        self.graph.arrays[full] = array
        return full
