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
from fastcnn.interop.c.encoding import LEVELS, Encoding
from fastcnn.interop.c.inputs import on_floats, on_pixels
from fastcnn.interop.c.integers import CUTTING, MAKERS, SAME, Operation
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
    softmax, shape = steps[-1] if steps and steps[-1].kind is nn.Softmax else None, output.shape
    if softmax:
        steps, output = steps[:-1], softmax.x[0]
    if steps and steps[0].kind is Preprocessing:
        steps = on_pixels(steps)
    else:
        steps, output = on_floats(steps, image, output)
    ranges = _ranges(steps, images)
    steps = _without_relus(steps)
    encodings = _encodings(steps, ranges)
    operations = [MAKERS[step.kind](step, encodings) for step in steps]
    floats = Array(1 + max(ranges), output.shape)
    operations.append(integers.dequantize(output, floats, encodings[output.number]))
    if softmax:
        last = Array(1 + floats.number, shape)
        operations.append(integers.softmax(softmax._replace(x=(floats,), y=last)))
    return Quantized(operations, operations[-1].call.y)


def _encodings(steps: list[Step], ranges: dict[int, tuple[float, float]]) -> dict[int, Encoding]:
    """Choose the encoding of each activation, by its number."""
    encodings = {0: LEVELS}  # of the image, if it consists of pixels
    for step in steps:
        if step.kind not in MAKERS:
            raise ValueError(
                f"{step.name or '`model`'}: {step.kind.__name__} can be written in int8 only at the end of the model."
            )
        if MAKERS[step.kind] in SAME:
            encodings[step.y.number] = encodings[step.x[0].number]
        else:
            encodings[step.y.number] = Encoding.of(*ranges[step.y.number])
    return encodings


@np.errstate(all="ignore")  # the error says more
def _ranges(steps: list[Step], images: np.ndarray) -> dict[int, tuple[float, float]]:
    """Return the least and the largest number of each activation, by its number."""
    ranges: dict[int, tuple[float, float]] = {}
    for start in range(0, len(images), _BATCH):
        arrays = {0: images[start : start + _BATCH].astype(np.float32)}
        for step in steps:
            y = arrays[step.y.number] = step.compute(*(arrays[array.number] for array in step.x))
            if not np.isfinite(y).all():
                raise ValueError(
                    f"{step.name or '`model`'}: for images of `calibration`, the output of {step.kind.__name__} has "
                    "numbers that are not finite, which 8-bit integers cannot stand for."
                )
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
            kept[-1] = before._replace(y=y, then=f"{before.then}, then {step.name}: ReLU")
        else:
            kept.append(step)
    return kept
