"""Preparing a net for batches of one shape: see `fastcnn.nn.Inference`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.backends import numba_direct
from fastcnn.backends.numba_direct.one_image import OneImage
from fastcnn.backends.numba_direct.runtime.processor import lanes
from fastcnn.backends.numba_direct.runtime.program import record

_FEW = 4  # images are computed one by one if this many times their number is at most the number of lanes
_WORTH_THREADS = 20_000  # vector multiply-adds; with fewer, waiting for another thread takes longer than half of them


def prepared_size(N: int, dtype) -> int:
    """The batch size to `prepare` a net for in order to compute N images."""
    return 1 if lanes(dtype) >= N * _FEW else N


def prepare(
    forward: Callable,
    shapes: Sequence[tuple[int, ...]],
    dtype,
    allocate: Callable[[int], np.ndarray],
    known: list[np.ndarray],
) -> Callable[..., np.ndarray]:
    """Make a function that computes ``forward(inputs, backend)`` for inputs of these shapes in memory of ``allocate``.

    Prepared for one image, the function also takes several images and computes them one by one. ``known`` are the
    arrays of the net's parameters.
    """
    few = shapes[0][0] * _FEW <= lanes(dtype)
    backend: Any = OneImage() if few else numba_direct

    def compute(*inputs: np.ndarray) -> list[np.ndarray]:
        return [backend.unpack(forward(tuple(map(backend.pack, inputs)), backend))]

    program, _ = record(compute, [np.zeros(shape, dtype) for shape in shapes], known)
    program.share(allocate)
    if few and backend.largest < _WORTH_THREADS:
        program.run_alone()

    def one_by_one(*inputs: np.ndarray) -> np.ndarray:
        ys = [program(*(x[n : n + 1] for x in inputs))[0] for n in range(len(inputs[0]))]
        return np.concatenate(ys) if len(ys) > 1 else ys[0]

    return one_by_one if few else lambda *inputs: program(*inputs)[0]
