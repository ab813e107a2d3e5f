"""Read an ONNX graph as chains of layers that branch and join."""

import numpy as np

from fastcnn import nn
from fastcnn.interop.onnx.file import Content
from fastcnn.interop.onnx.graph import Node
from fastcnn.interop.onnx.operators import At, read_operator
from fastcnn.interop.onnx.patterns import read_pattern

_BEGINNING = ""  # a virtual value before all inputs; no real value has this name


class Reader:
    """Read a graph backwards, from its output to its inputs.

    Branches that join started at the last value that all of them pass through: their nearest common dominator
    (T. Lengauer, R. E. Tarjan, "A fast algorithm for finding dominators in a flowgraph", TOPLAS 1979; a graph without
    cycles needs one pass only).

    Parameters
    ----------
    content : Content
    rng : numpy.random.Generator
        For layers with random behaviour, such as dropout.
    """

    def __init__(self, content: Content, rng: np.random.Generator):
        self._content, self._rng = _with_nested_joins(content), rng
        self._read: set[str] = set()  # operators that have been turned into layers
        self._before = dict.fromkeys(content.inputs, _BEGINNING)  # value -> its nearest dominator
        self._depths = {_BEGINNING: 0} | dict.fromkeys(content.inputs, 1)
        for name, node in self._content.nodes.items():
            before = self._parting([value for value in node.inputs if value in self._depths])
            self._before[name], self._depths[name] = before, self._depths[before] + 1

    def model(self) -> nn.Sequential:
        """Read the whole graph."""
        inputs, shapes = self._content.inputs, [self._content.shapes[name][1:] for name in self._content.inputs]
        first = inputs[0] if len(inputs) == 1 else _BEGINNING
        model = nn.Sequential(*self._chain(first, self._content.y)).eval()
        model.input_shape = shapes[0] if len(shapes) == 1 else tuple(shapes)
        return model

    def _chain(self, first: str, last: str) -> list[nn.Module]:
        """Read the layers between two values; the first one must dominate the last one."""
        layers: list[nn.Module] = []
        while last != first:
            if last in self._content.inputs:
                raise ValueError(f"each of several inputs needs its own branch to a Concat, but {last!r} has none.")
            at = At(self._content, last, self._rng)
            made, last, read = read_pattern(at) or self._joined(at) or read_operator(at)
            if twice := self._read & read:
                raise ValueError(f"{at.said(twice.pop())} is part of two branches, which no layer of fastcnn allows.")
            self._read |= read
            layers = [*made, *layers]
        return layers

    def _joined(self, at: At) -> tuple[list[nn.Module], str, set[str]] | None:
        """Read branches that join here as one layer; None if there are no two branches."""
        ways = [name for name in at.node.inputs if name not in at.content.arrays]
        if at.node.operator not in _JOINS or not len(ways) == len(at.node.inputs) > 1:
            return None
        parting = self._parting(ways)
        return [_JOINS[at.node.operator](self, at, ways, parting)], parting, {at.name}

    def _added(self, at: At, ways: list[str], parting: str) -> nn.Module:
        """Read two branches that are added as a Residual."""
        if len(ways) > 2:
            raise ValueError(f"{at.said()} adds {len(ways)} branches, but a Residual adds two.")
        body, shortcut = (nn.Sequential(*self._chain(parting, way)) for way in ways)
        body, shortcut = (body, shortcut) if len(body) else (shortcut, body)
        return nn.Residual(body, shortcut if len(shortcut) else None)

    def _concatenated(self, at: At, ways: list[str], parting: str) -> nn.Module:
        """Read branches that are concatenated; neighbours that share a later start form an inner Concat."""
        dim = at.option("axis", 1) % len(at.shape)
        if parting == _BEGINNING:
            inputs = self._content.inputs
            if len(inputs) != len(ways):
                raise ValueError(f"{at.said()} joins {len(ways)} branches of {len(inputs)} inputs, not one of each.")
            return nn.Parallel(*(_one(self._chain(*way)) for way in zip(inputs, ways, strict=True)), dim=dim)
        groups: list[list[str]] = []
        for way in ways:
            if groups and self._parting([*groups[-1], way]) != parting:
                groups[-1].append(way)
            else:
                groups.append([way])
        branches = []
        for group in groups:
            common = self._parting(group)
            inside = [self._concatenated(at, group, common)] if len(group) > 1 else []
            branches.append(_one([*self._chain(parting, common), *inside]))
        return nn.Concat(*branches, dim=dim)

    def _parting(self, values: list[str]) -> str:
        """Return the nearest common dominator of the values."""
        found = set(values)
        while len(found) > 1:
            deepest = max(found, key=lambda name: (self._depths[name], name))
            found = found - {deepest} | {self._before[deepest]}
        return found.pop() if found else _BEGINNING


_JOINS = {"Add": Reader._added, "Sum": Reader._added, "Concat": Reader._concatenated}


def _one(layers: list[nn.Module]) -> nn.Module:
    """Turn a chain into one layer."""
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers) if layers else nn.Identity()


def _with_nested_joins(content: Content) -> Content:
    """Let a Concat whose first inputs are those of an earlier Concat use its output instead, as a DenseNet does."""
    nodes: dict[str, Node] = {}
    joins: dict[tuple, str] = {}
    for name, node in content.nodes.items():
        inputs = node.inputs
        if node.operator == "Concat":
            for length in range(len(inputs) - 1, 1, -1):
                key = inputs[:length], node.attributes.get("axis")
                if key in joins:
                    node = node._replace(inputs=(joins[key], *inputs[length:]))
                    break
            joins.setdefault((inputs, node.attributes.get("axis")), name)
        nodes[name] = node
    return content._replace(nodes=nodes)
