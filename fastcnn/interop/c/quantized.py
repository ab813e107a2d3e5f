"""Quantize a trained net to 8-bit integers, after training.

The scheme is that of B. Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018, with a scale for each filter as in TensorFlow Lite. Each activation is
encoded by the range that it has for calibration images.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn.data import Preprocessing
from fastcnn.interop.c import integers
from fastcnn.interop.c.encoding import Encoding
from fastcnn.interop.c.integers import CUTTING, MAKERS, SAME, Operation
from fastcnn.interop.c.pixels import Pixels, on_pixels
from fastcnn.interop.c.steps import Array, Step

_BATCH = 32  # calibration images at a time, to bound the memory


class Quantized(NamedTuple):
    """A net in integers: its operations, of which the last ones return floats, and its output."""

    operations: list[Operation]
    output: Array

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Compute the outputs for a batch of images, bit for bit as the C program does before a softmax."""
        arrays = {0: images}
        for call, compute in self.operations:
            arrays[call.y.number] = compute(*(arrays[array.number] for array in call.x))
        return arrays[self.output.number]


def quantized(steps: list[Step], image: Array, output: Array, images: np.ndarray) -> Quantized:
    """Quantize a net.

    Parameters
    ----------
    steps : list of Step
        The net in float32. A softmax at its end stays in float.
    image, output : Array
        Its input and its output.
    images : ndarray of shape (N, C, H, W), (N, C, L) or (N, features)
        Images for calibration: uint8 if the steps begin with a preprocessing, else float32.

    Raises
    ------
    ValueError
        If there is no such operation in integers.
    """
    steps, ends = list(steps), []
    if steps and steps[-1].kind is nn.Softmax:
        ends = [steps.pop()]
        output = ends[0].x[0]
    beyond = Array(1 + max([output.number, *(step.y.number for step in steps)]), image.shape)  # a number not yet used
    start: list[Operation] = []
    if steps and steps[0].kind is Preprocessing:
        steps = on_pixels(steps)
        ranges = _ranges(steps, images)
    else:
        ranges = _ranges(steps, images)
        start = [integers.quantize(image, beyond, Encoding.of(*ranges[0]))]
        ranges[beyond.number] = ranges[0]
        steps = [step._replace(x=tuple(_moved(array, beyond) for array in step.x)) for step in steps]
        output = _moved(output, beyond)
    steps = _without_relus(steps)
    encodings: dict[int, Encoding] = {number: Encoding.of(*span) for number, span in ranges.items()}
    for step in steps:
        if step.kind not in MAKERS:
            raise ValueError(f"{step.name or '`model`'}: {step.kind.__name__} cannot be written in int8.")
        if MAKERS[step.kind] in SAME:
            encodings[step.y.number] = encodings[step.x[0].number]
        elif step.kind is Pixels:
            encodings[step.y.number] = Encoding(1.0, -128)
    operations = [MAKERS[step.kind](step, encodings) for step in steps]
    last = Array(beyond.number + 1, output.shape)
    operations = [*start, *operations, integers.dequantize(output, last, encodings[output.number])]
    for step in ends:
        operations.append(integers.softmax(step._replace(x=(last,), y=last._replace(number=last.number + 1))))
    return Quantized(operations, operations[-1].call.y)


def _moved(array: Array, new: Array) -> Array:
    """Return the array, or, if it is the input, the same with another number."""
    return array if array.number else array._replace(number=new.number)


def _ranges(steps: list[Step], images: np.ndarray) -> dict[int, tuple[float, float]]:
    """Return the least and the largest number of each activation, by its number."""
    ranges: dict[int, tuple[float, float]] = {}
    for start in range(0, len(images), _BATCH):
        arrays = {0: images[start : start + _BATCH]}
        for step in steps:
            arrays[step.y.number] = step.compute(*(arrays[array.number] for array in step.x))
        for number, array in arrays.items():
            low, high = ranges.get(number, (np.inf, -np.inf))
            ranges[number] = min(low, float(array.min())), max(high, float(array.max()))
    return ranges


def _without_relus(steps: list[Step]) -> list[Step]:
    """Leave out each ReLU that the step before it can do: an encoding of numbers from 0 up cuts off all others."""
    readers = Counter(array.number for step in steps for array in step.x)
    kept: list[Step] = []
    for step in steps:
        number = step.x[0].number
        before = kept[-1] if kept else None
        if (
            step.kind is nn.ReLU
            and before is not None
            and before.y.number == number
            and readers[number] == 1
            and MAKERS.get(before.kind) in CUTTING
        ):
            y = before.y._replace(number=step.y.number)
            kept[-1] = before._replace(y=y, then=f", then {step.name}: ReLU")
        else:
            kept.append(step)
    return kept
