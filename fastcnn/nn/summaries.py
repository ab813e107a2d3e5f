"""Tables of a model's layers and their cost."""

import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _validate
from fastcnn._inputs import joined, listed
from fastcnn.backends import use_backend
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Parameter
from fastcnn.nn.recording import unrecorded
from fastcnn.nn.tracing import Step, trace

InputShape = Sequence[int] | Sequence[Sequence[int]]

_IMAGES = 2  # in the batch: batch normalization needs more than one value for its statistics


class Row(NamedTuple):
    """Size and cost of one module for one image, without the modules inside it.

    Attributes
    ----------
    name : str
        Dotted name, as in `Module.state_dict`; "" is the model itself.
    kind : str
        Name of its class.
    depth : int
        0 for the model itself.
    output_shape : tuple of int
        Shape without the batch axis: (C, H, W), (C, L) or (features,).
    parameters : int
    multiply_adds : int
        Multiply-adds of convolutions and linear layers, with those on padding but without biases.
    memory : int
        Bytes of its output, or 0 if that is an array that was counted already or a view of one.
    """

    name: str
    kind: str
    depth: int
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory: int


@dataclass(frozen=True, repr=False)
class Summary:
    """Rows and their sums; printing it shows a table, and so does a notebook cell that ends with it.

    Attributes
    ----------
    rows : list of Row
        In the order of the forward pass.
    parameters : int
        Number of parameters of the whole model, each counted once.
    multiply_adds, memory : int
        Sums over the forward pass of one image.
    unrecorded : dict of str to str
        Layers that are called one by one, and why; see `fastcnn.nn.unrecorded`.
    """

    rows: list[Row]
    parameters: int
    multiply_adds: int
    memory: int
    unrecorded: dict[str, str] = field(default_factory=dict)

    @property
    def training_multiply_adds(self) -> int:
        """Of one image in a training step: forward, and the gradients of weights and, but for the first, inputs."""
        first = next((row.multiply_adds for row in self.rows if row.multiply_adds), 0)
        return 3 * self.multiply_adds - first

    def __str__(self) -> str:
        table = [("  " * depth + name, *cells) for depth, name, *cells in self._table()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        head, *rows = (
            "  ".join((f"{line[0]:{widths[0]}}", *map(str.rjust, line[1:], widths[1:]))).rstrip() for line in table
        )
        rule = "-" * max(map(len, (head, *rows)))
        return "\n".join((head, rule, *rows[:-1], rule, rows[-1], *said(self.unrecorded)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table as HTML, for a notebook."""
        lines: list[str] = []
        for depth, *cells in self._table():
            tag, (name, *others) = "td" if lines else "th", map(html.escape, cells)
            first = f'<{tag} style="text-align: left; padding-left: {0.5 + 1.5 * depth}em">{name}</{tag}>'
            rest = (f'<{tag} style="text-align: right">{cell}</{tag}>' for cell in others)
            lines.append(f"<tr>{first}{''.join(rest)}</tr>")
        notes = (f"<p>{html.escape(line)}</p>" for line in said(self.unrecorded))
        return f"<table>{''.join(lines)}</table>{''.join(notes)}"

    def _table(self) -> list[tuple]:
        """Return the depth and the cells of each line: first the column heads, last the sums."""
        table: list[tuple] = [(0, "layer", "output", "parameters", "multiply-adds", "memory, kB")]
        for row in self.rows:
            name = f"{row.name.rpartition('.')[2]}: {row.kind}" if row.name else row.kind
            table.append((row.depth, name, " x ".join(map(str, row.output_shape)), *_numbers(row)))
        return [*table, (0, "total", "", *_numbers(self))]

    def show(self) -> None:
        """Print the table; in a notebook, display it."""
        ipython = sys.modules.get("IPython")
        if ipython and ipython.get_ipython():
            ipython.display.display(self)
        else:
            print(self)


def said(unrecorded: dict[str, str]) -> list[str]:
    """Return a line that lists the layers that are called one by one and why, or no line if there are none."""
    layers = [f"{name or 'the model itself'} ({reason})" for name, reason in unrecorded.items()]
    return [f"layer by layer: {', '.join(layers)}"] if layers else []


def summarize(model: Module, input_shape: InputShape | None = None) -> Summary:
    """Return the size and cost of each module of ``model``, and the sums; `Module.summary` prints them.

    Parameters
    ----------
    model : Module
        It is not changed.
    input_shape : sequence of int, or of such sequences, optional
        Shape of one image without the batch axis: (C, H, W), (C, L) or (features,). By default it is the model's own
        ``input_shape``. For a model with several inputs, a sequence of the shapes of each.

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
    steps = steps_of(model, checked_shapes(model, input_shape))
    parameters = {id(parameter): parameter for parameter in model.parameters()}.values()
    counted: set[int] = set()
    rows, memories = [], _memories(steps)
    for step, memory in zip(steps, memories, strict=True):
        own = [
            value for value in vars(step.module).values() if isinstance(value, Parameter) and id(value) not in counted
        ]
        counted.update(map(id, own))
        size, kind = sum(parameter.size for parameter in own), type(step.module).__name__
        cost = step.module.multiply_adds(listed(step.x)[0].shape[1:], step.y.shape[1:])
        rows.append(Row(step.name, kind, step.depth, step.y.shape[1:], size, cost, memory // _IMAGES))
    total = sum(parameter.size for parameter in parameters)
    costs = sum(row.multiply_adds for row in rows), sum(row.memory for row in rows)
    return Summary(rows, total, *costs, unrecorded(model))


Module._summarize = staticmethod(summarize)


def checked_shapes(model: Module, input_shape: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each input without the batch axis; ``input_shape`` defaults to that of the model."""
    input_shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if input_shape is None:
        raise ValueError(f"`input_shape` must be given, as (C, H, W): this {type(model).__name__} has none of its own.")
    given: Any = input_shape if isinstance(input_shape, Sequence) and input_shape else ()
    several = bool(given) and all(isinstance(shape, Sequence) and shape for shape in given)
    if not given or isinstance(given, str) or any(isinstance(shape, str) for shape in given):
        raise TypeError(f"`input_shape` must be a sequence of whole numbers, (C, H, W), not {input_shape!r}.")
    named = {f"input_shape[{i}]": shape for i, shape in enumerate(given)} if several else {"input_shape": given}
    return tuple(
        tuple(_validate.count(f"{name}[{i}]", size) for i, size in enumerate(shape)) for name, shape in named.items()
    )


def steps_of(model: Module, shapes: tuple[tuple[int, ...], ...]) -> list[Step]:
    """Run a batch of zeros of these shapes; return the input and output of each module."""
    dtype = next((parameter.dtype for parameter in model.parameters()), np.dtype(np.float32))
    with use_backend("numpy"):  # nothing to compile
        return trace(model, joined(tuple(np.zeros((_IMAGES, *shape), dtype) for shape in shapes)))


def _memories(steps: list[Step]) -> list[int]:
    """Return the bytes of each output, or 0 if it is a view of the input or a module inside returned it."""
    memories, seen = [0] * len(steps), set()
    for i in sorted(range(len(steps)), key=lambda i: -steps[i].depth):
        maker = _owner(steps[i].y)
        given = [_owner(x) for x in listed(steps[i].x)]
        if not any(maker is one for one in given) and id(maker) not in seen:
            seen.add(id(maker))
            memories[i] = steps[i].y.nbytes
    return memories


def _owner(array: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _numbers(row: Row | Summary) -> tuple[str, ...]:
    """Return the cells of the numeric columns; they are empty for 0."""
    numbers = (row.parameters, ","), (row.multiply_adds, ","), (row.memory / 1000, ",.2f")
    return tuple(f"{number:{form}}" if number else "" for number, form in numbers)
