"""What a model consists of and what it costs, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastcnn import _validate
from fastcnn.backends import use_backend
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter
from fastcnn.nn.recording import unrecorded
from fastcnn.nn.tracing import Step, trace


class Row(NamedTuple):
    """What one module has and does, for one image, without what is inside it.

    Attributes
    ----------
    name : str
        Dotted, as in `Module.state_dict`; "" is the model itself.
    kind : str
        Its class.
    depth : int
        0 is the model itself.
    output_shape : tuple of int
        Without the batch, (C, H, W) or (features,).
    parameters : int
    multiply_adds : int
        Of convolutions and linear layers, taps on padding included, biases not.
    memory : int
        Bytes of its output, 0 where that is (a view of) an array counted already.
    """

    name: str
    kind: str
    depth: int
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory: int


@dataclass(frozen=True)
class Summary:
    """Rows and their sums; ``str`` of it is the table.

    Attributes
    ----------
    rows : list of Row
        In the order of the forward pass.
    parameters : int
        Of the whole model, each counted once.
    multiply_adds, memory : int
        Of one image, forward.
    unrecorded : dict of str to str
        Which layers are called one by one and why; see `fastcnn.nn.unrecorded`.
    """

    rows: list[Row]
    parameters: int
    multiply_adds: int
    memory: int
    unrecorded: dict[str, str] = field(default_factory=dict)

    @property
    def training_multiply_adds(self) -> int:
        """Of one image in a training step: forward, filters' gradient, and, but for the first layer, the input's."""
        first = next((row.multiply_adds for row in self.rows if row.multiply_adds), 0)
        return 3 * self.multiply_adds - first

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [("layer", "output", "parameters", "multiply-adds", "memory, kB")]
        for row in self.rows:
            name = f"{row.name.rpartition('.')[2]}: {row.kind}" if row.name else row.kind
            shape = " x ".join(map(str, row.output_shape))
            table.append(("  " * row.depth + name, shape, *_numbers(row)))
        table.append(("total", "", *_numbers(self)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join((f"{line[0]:{widths[0]}}", *map(str.rjust, line[1:], widths[1:]))).rstrip() for line in table
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join((lines[0], rule, *lines[1:-1], rule, lines[-1], *said(self.unrecorded)))


def said(unrecorded: dict[str, str]) -> list[str]:
    """Which layers are called one by one and why, in a line; none, if there are none."""
    layers = [f"{name or 'the model itself'} ({reason})" for name, reason in unrecorded.items()]
    return [f"layer by layer: {', '.join(layers)}"] if layers else []


def summarize(model: Module, input_shape: Sequence[int] | None = None) -> Summary:
    """What each module of ``model`` has and does, and the sums; `Module.summary` prints it.

    Parameters
    ----------
    model : Module
        It stays as it is.
    input_shape : sequence of int, optional
        Of one image, (C, H, W), or of one row, (features,); by default the model's own ``input_shape``.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError, ValueError
        If there is no `input_shape`, or it does not fit a layer.

    Examples
    --------
    >>> from fastcnn import models, nn
    >>> summary = nn.summarize(models.LeNet5())
    >>> summary.parameters, summary.multiply_adds, summary.training_multiply_adds
    (61706, 416520, 1131960)
    """
    input_shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if input_shape is None:
        raise ValueError(f"`input_shape` is needed, (C, H, W): this {type(model).__name__} has none of its own.")
    if not isinstance(input_shape, Sequence) or not input_shape:
        raise TypeError(f"`input_shape` must be a sequence of whole numbers, (C, H, W), not {input_shape!r}.")
    shape = tuple(_validate.count(f"input_shape[{i}]", size) for i, size in enumerate(input_shape))
    parameters = {id(parameter): parameter for parameter in model.parameters()}.values()
    dtype = next((parameter.dtype for parameter in parameters), np.dtype(np.float32))
    images = 2  # of which batch normalization can take statistics
    with use_backend("numpy"):  # nothing to compile
        steps = trace(model, np.zeros((images, *shape), dtype))
    counted: set[int] = set()
    rows, memories = [], _memories(steps)
    for step, memory in zip(steps, memories, strict=True):
        own = [
            value for value in vars(step.module).values() if isinstance(value, Parameter) and id(value) not in counted
        ]
        counted.update(map(id, own))
        size, kind = sum(parameter.size for parameter in own), type(step.module).__name__
        cost = step.module.multiply_adds(step.x.shape[1:], step.y.shape[1:])
        rows.append(Row(step.name, kind, step.depth, step.y.shape[1:], size, cost, memory // images))
    total = sum(parameter.size for parameter in parameters)
    costs = sum(row.multiply_adds for row in rows), sum(row.memory for row in rows)
    return Summary(rows, total, *costs, unrecorded(model))


Module._summarize = staticmethod(summarize)


def _memories(steps: list[Step]) -> list[int]:
    """Bytes of each output, where the step made it: no view of its input, and not made by a module inside it."""
    memories, seen = [0] * len(steps), set()
    for i in sorted(range(len(steps)), key=lambda i: -steps[i].depth):
        maker = _owner(steps[i].y)
        if maker is not _owner(steps[i].x) and id(maker) not in seen:
            seen.add(id(maker))
            memories[i] = steps[i].y.nbytes
    return memories


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _numbers(row: Row | Summary) -> tuple[str, ...]:
    """The columns of numbers, empty for 0."""
    numbers = (row.parameters, ","), (row.multiply_adds, ","), (row.memory / 1000, ",.2f")
    return tuple(f"{number:{form}}" if number else "" for number, form in numbers)
