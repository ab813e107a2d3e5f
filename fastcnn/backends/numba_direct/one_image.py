"""A net drawn up as a table of steps, for `steps.run`.

The layers' own ``forward_native`` does it: they are given a `Sketch` in the place of a backend, which notes what they
ask for, and batches of one image that have a shape but no numbers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastcnn._geometry import AdaptiveWindows, Windows, index_type
from fastcnn.backends.numba_direct import steps
from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, flat, lanes
from fastcnn.backends.numba_direct.conv import covers_image
from fastcnn.backends.numba_direct.correlate import sums_channels_last
from fastcnn.backends.numba_direct.lifetimes import Lifetime, place, vectors
from fastcnn.backends.numba_direct.memory import aligned
from fastcnn.backends.numba_direct.pooling import window_counts
from fastcnn.backends.numba_direct.steps import Step


class UnsupportedError(Exception):
    """A layer asks for what no step does."""


_POINT = Windows(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1)


@dataclass(eq=False)
class _Image:
    """A batch of one image, or of one row of features: ``maps`` is (C, H, W), which a row keeps."""

    shape: tuple[int, ...]
    dtype: np.dtype
    maps: tuple[int, int, int]
    memory: Lifetime = field(default_factory=Lifetime)  # the same for a row and the image that it was


@dataclass(eq=False)
class _Operation:
    """A step whose places are yet to be found."""

    kind: int
    x: _Image
    y: _Image
    other: _Image | None = None
    relu: bool = False
    windows: Windows = _POINT
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    channels_last: bool = False


class Sketch:
    """What layers ask of a backend, noted."""

    def __init__(self) -> None:
        self.operations: list[_Operation] = []

    def __getattr__(self, name: str):
        raise UnsupportedError(name)

    def conv2d(self, x, weight, bias, windows: Windows, groups: int):
        """See `fastcnn.functional.conv2d`."""
        return self._conv2d(x, weight, bias, windows, groups, relu=False)

    def conv2d_relu(self, x, weight, bias, windows: Windows, groups: int):
        """See `fastcnn.nn.fusion`."""
        return self._conv2d(x, weight, bias, windows, groups, relu=True)

    def conv2d_max_pool2d(self, x, weight, bias, windows: Windows, groups: int, pool: Windows, relu: bool):
        """See `fastcnn.nn.fusion`."""
        y, _ = self.max_pool2d(self._conv2d(x, weight, bias, windows, groups, relu=False), pool)
        self.operations[-1].relu = relu
        return y, None

    def linear(self, x, weight, bias):
        """See `fastcnn.functional.linear`."""
        return self._linear(x, weight, bias, relu=False)

    def linear_relu(self, x, weight, bias):
        """See `fastcnn.nn.fusion`."""
        return self._linear(x, weight, bias, relu=True)

    def max_pool2d(self, x, windows: Windows):
        """See `fastcnn.functional.max_pool2d`."""
        return self._note(steps.MAX_POOL, x, (x.maps[0], windows.OH, windows.OW), windows=windows), None

    def avg_pool2d(self, x, windows: Windows, count_include_pad: bool, divisor_override: int | None):
        """See `fastcnn.functional.avg_pool2d`."""
        counts = window_counts(windows, count_include_pad, divisor_override, x.dtype)
        maps = x.maps[0], windows.OH, windows.OW
        return self._note(steps.AVG_POOL, x, maps, windows=windows, arrays={"weight": _blocks(counts)})

    def adaptive_avg_pool2d(self, x, windows: AdaptiveWindows):
        """See `fastcnn.functional.adaptive_avg_pool2d`."""
        if not windows.regular:
            raise UnsupportedError("adaptive_avg_pool2d")
        return self.avg_pool2d(x, windows.regular, True, None)

    def relu(self, x):
        """See `fastcnn.functional.relu`."""
        return self._note(steps.RELU, x, x.maps, x.shape, relu=True)

    def add(self, a, b):
        """See `fastcnn.nn.Residual`."""
        if a.maps != b.maps:
            raise UnsupportedError("add")
        return self._note(steps.ADD, a, a.maps, a.shape, other=b)

    def resize_channels(self, x, channels: int):
        """See `fastcnn.nn.ResizeChannels`."""
        return self._note(steps.RESIZE, x, (channels, *x.maps[1:]))

    def batch_norm(self, x, mean, invstd, weight, bias):
        """See `fastcnn.functional.batch_norm`."""
        if x.maps[0] != x.shape[1]:  # a row of several pixels of a channel
            raise UnsupportedError("batch_norm")
        factor = invstd if weight is None else invstd * weight
        arrays = {"mean": mean, "weight": factor, "bias": np.zeros_like(mean) if bias is None else bias}
        return self._note(steps.SCALE, x, x.maps, x.shape, arrays={k: _blocks(v) for k, v in arrays.items()})

    def flatten(self, x):
        """The same image, as a row."""
        return _Image((1, math.prod(x.maps)), x.dtype, x.maps, x.memory)

    def _conv2d(self, x, weight, bias, w: Windows, groups: int, relu: bool):
        (C, H, W), O = x.maps, len(weight)
        depthwise = groups == C == O > 1
        if groups > 1 and not depthwise:
            raise UnsupportedError("conv2d")
        arrays = {"bias": _blocks(np.zeros(O, x.dtype) if bias is None else bias)}
        blocked = 1, C, H, W, lanes(x.dtype)
        last = not covers_image(w, groups) and sums_channels_last(w, groups, weight.shape, blocked)
        if last and not depthwise:
            weight = weight.transpose(0, 2, 3, 1)  # (O, KH, KW, C)
        arrays["weight"] = _blocks(weight.reshape(O, -1))
        kind = steps.DEPTHWISE if depthwise else steps.CONV
        return self._note(kind, x, (O, w.OH, w.OW), windows=w, relu=relu, arrays=arrays, channels_last=last)

    def _linear(self, x, weight, bias, relu: bool):
        C, H, W = x.maps
        whole = Windows(H, W, H, W, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1)
        y = self._conv2d(x, weight.reshape(-1, C, H, W), bias, whole, 1, relu)
        y.shape = y.shape[:2]
        return y

    def _note(self, kind: int, x: _Image, maps: tuple[int, int, int], shape=None, **what) -> _Image:
        y = _Image(shape or (1, *maps), x.dtype, maps)
        self.operations.append(_Operation(kind, x, y, **what))
        return y


def _blocks(values: np.ndarray) -> np.ndarray:
    """(O,) or (O, taps) as (blocks of O, taps, LANES)."""
    L = lanes(values.dtype)
    rows = values.reshape(len(values), -1)
    padded = np.zeros((-(-len(rows) // L) * L, rows.shape[1]), values.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(-1, L, rows.shape[1]).swapaxes(1, 2).reshape(-1)


class OneImage:
    """A net for one image after the other.

    Parameters
    ----------
    forward : callable
        Output of a backend's batch, from the batch and the backend.
    shape : tuple of int
        Of the batches, (N, C, H, W) or (N, features), for any N.
    dtype : {float32, float64}
    allocate : callable
        Gives the memory, so many bytes.

    Raises
    ------
    UnsupportedError
        If there is no step for a layer.
    """

    _taps: Any  # lists of arrays at first, then one array
    _weights: Any

    def __init__(self, forward: Callable, shape: tuple[int, ...], dtype, allocate: Callable[[int], np.ndarray]):
        if len(shape) not in (2, 4):
            raise UnsupportedError(f"{len(shape)} dimensions")
        sketch, (C, H, W) = Sketch(), (*shape[1:], 1, 1)[:3]
        x = _Image((1, *shape[1:]), np.dtype(dtype), (C, H, W))
        y = forward(x, sketch)
        operations = _with_relu(sketch.operations, y)
        if not operations:
            raise UnsupportedError("nothing")
        self._margin = max(_reach(operation) for operation in operations)
        self._taps, self._weights, memory = [], [], self._places(operations, x, y, allocate)
        rows = [self._step(operation) for operation in operations]
        self._table = np.array(rows, steps.TABLE)
        self._taps = np.concatenate([np.empty(0, np.int64), *self._taps]).astype(index_type(x.dtype))
        numbers = np.concatenate([np.empty(0, x.dtype), *self._weights])
        self._weights = aligned(numbers.shape, x.dtype)
        self._weights[:] = numbers
        self._memory, self._shape = memory, y.shape[1:]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Output for a batch."""
        y = np.empty((len(x), *self._shape), x.dtype)
        steps.run(self._table, self._margin, self._taps, self._weights, self._memory, flat(x), y.reshape(-1))
        return y

    def _places(self, operations, x: _Image, y: _Image, allocate) -> np.ndarray:
        """Find a place for each image, and return the memory in which they lie."""
        images = [x, *(operation.y for operation in operations)]
        for image in images:
            C, H, W = image.maps
            blocks, m = -(-C // lanes(x.dtype)), self._margin
            image.memory.size = blocks * (H + 2 * m) * (W + 2 * m) * VECTOR_BYTES
            if image.memory.size > np.iinfo(np.int32).max:  # taps are int32 offsets
                raise UnsupportedError(f"{image.memory.size} bytes an image")
        x.memory.live(-1)
        for i, operation in enumerate(operations):
            for image in (operation.x, operation.y, operation.other):
                if image:
                    image.memory.live(i)
        y.memory.live(len(operations))
        return vectors(allocate, place([image.memory for image in images])).view(x.dtype)

    def _step(self, operation: _Operation) -> Step:
        """The row of the table."""
        x, y, w, size = operation.x, operation.y, operation.windows, operation.x.dtype.itemsize
        at = {"taps": sum(map(len, self._taps))}
        for name, array in operation.arrays.items():
            at[name] = sum(map(len, self._weights))
            self._weights.append(array)
        if operation.kind == steps.CONV:
            self._taps.append(self._tap_list(x, w, operation.channels_last))
            at["tap_count"] = len(self._taps[-1])
        other = operation.other.memory.place // size if operation.other else 0
        places = x.memory.place // size, other, y.memory.place // size
        windows = w.KH, w.KW, w.SH, w.SW, w.top, w.left, w.DH, w.DW
        return Step(operation.kind, *places, int(operation.relu), *x.maps, *y.maps, *windows, **at)

    def _tap_list(self, x: _Image, w: Windows, channels_last: bool) -> np.ndarray:
        """How far each tap of a convolution is from its first, in the order of the sum."""
        C, H, W = x.maps
        L, m = lanes(x.dtype), self._margin
        axes = np.arange(C), np.arange(w.KH), np.arange(w.KW)
        c, ky, kx = np.meshgrid(*axes, indexing="ij")
        row = (W + 2 * m) * L
        taps = c // L * (H + 2 * m) * row + c % L + ky * w.DH * row + kx * w.DW * L
        return (taps.transpose(1, 2, 0) if channels_last else taps).reshape(-1)


def _with_relu(operations: list[_Operation], y: _Image) -> list[_Operation]:
    """The operations, but each ReLU in the one that makes what only it is given."""
    uses = [image.memory for operation in operations for image in (operation.x, operation.other) if image]
    uses.append(y.memory)
    makers: dict[int, _Operation] = {}
    rest: list[_Operation] = []
    for operation in operations:
        maker = makers.get(id(operation.x.memory))
        alone = sum(memory is operation.x.memory for memory in uses) == 1
        if operation.kind == steps.RELU and alone and maker and maker.kind != steps.RESIZE:
            maker.relu, maker.y = True, operation.y
        else:
            maker = operation
            rest.append(operation)
        makers[id(operation.y.memory)] = maker
    return rest


def _reach(operation: _Operation) -> int:
    """How far outside the image a convolution's taps are."""
    w = operation.windows
    if operation.kind not in (steps.CONV, steps.DEPTHWISE):
        return 0
    below = (w.OH - 1) * w.SH - w.top + (w.KH - 1) * w.DH - (w.H - 1)
    right = (w.OW - 1) * w.SW - w.left + (w.KW - 1) * w.DW - (w.W - 1)
    return max(0, w.top, w.left, below, right)
