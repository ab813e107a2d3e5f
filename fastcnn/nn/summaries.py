"""What a model consists of and what it costs, as a table."""

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

_IMAGES = 2  # that are passed through: batch normalization can take statistics of them


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
        Without the batch, (C, H, W), (C, L) or (features,).
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


@dataclass(frozen=True, repr=False)
class Summary:
    """Rows and their sums; ``print`` of it shows the table, and so does a notebook whose cell it is the value of.

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
        table = [("  " * depth + name, *cells) for depth, name, *cells in self._table()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        head, *rows = (
            "  ".join((f"{line[0]:{widths[0]}}", *map(str.rjust, line[1:], widths[1:]))).rstrip() for line in table
        )
        rule = "-" * max(map(len, (head, *rows)))
        return "\n".join((head, rule, *rows[:-1], rule, rows[-1], *said(self.unrecorded)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        lines: list[str] = []
        for depth, *cells in self._table():
            tag, (name, *others) = "td" if lines else "th", map(html.escape, cells)
            first = f'<{tag} style="text-align: left; padding-left: {0.5 + 1.5 * depth}em">{name}</{tag}>'
            rest = (f'<{tag} style="text-align: right">{cell}</{tag}>' for cell in others)
            lines.append(f"<tr>{first}{''.join(rest)}</tr>")
        notes = (f"<p>{html.escape(line)}</p>" for line in said(self.unrecorded))
        return f"<table>{''.join(lines)}</table>{''.join(notes)}"

    def _table(self) -> list[tuple]:
        """Depths and cells of all lines, the heads of the columns first, the sums last."""
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
    """Which layers are called one by one and why, in a line; none, if there are none."""
    layers = [f"{name or 'the model itself'} ({reason})" for name, reason in unrecorded.items()]
    return [f"layer by layer: {', '.join(layers)}"] if layers else []


def summarize(model: Module, input_shape: InputShape | None = None) -> Summary:
    """What each module of ``model`` has and does, and the sums; `Module.summary` prints it.

    Parameters
    ----------
    model : Module
        It stays as it is.
    input_shape : sequence of int, or of such sequences, optional
        Of one image, (C, H, W), or (C, L), or (features,); by default the model's own ``input_shape``. Of a model with
        several inputs, the shape of each.

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
    """The shape of each input, without the batch, from that of one or of several; by default the model's own."""
    input_shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if input_shape is None:
        raise ValueError(f"`input_shape` is needed, (C, H, W): this {type(model).__name__} has none of its own.")
    given: Any = input_shape if isinstance(input_shape, Sequence) and input_shape else ()
    several = bool(given) and all(isinstance(shape, Sequence) and shape for shape in given)
    if not given or isinstance(given, str) or any(isinstance(shape, str) for shape in given):
        raise TypeError(f"`input_shape` must be a sequence of whole numbers, (C, H, W), not {input_shape!r}.")
    named = {f"input_shape[{i}]": shape for i, shape in enumerate(given)} if several else {"input_shape": given}
    return tuple(
        tuple(_validate.count(f"{name}[{i}]", size) for i, size in enumerate(shape)) for name, shape in named.items()
    )


def steps_of(model: Module, shapes: tuple[tuple[int, ...], ...]) -> list[Step]:
    """What each module makes of a batch of images of these shapes."""
    dtype = next((parameter.dtype for parameter in model.parameters()), np.dtype(np.float32))
    with use_backend("numpy"):  # nothing to compile
        return trace(model, joined(tuple(np.zeros((_IMAGES, *shape), dtype) for shape in shapes)))


def _memories(steps: list[Step]) -> list[int]:
    """Bytes of each output, where the step made it: no view of its input, and not made by a module inside it."""
    memories, seen = [0] * len(steps), set()
    for i in sorted(range(len(steps)), key=lambda i: -steps[i].depth):
        maker = _owner(steps[i].y)
        given = [_owner(x) for x in listed(steps[i].x)]
        if not any(maker is one for one in given) and id(maker) not in seen:
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
