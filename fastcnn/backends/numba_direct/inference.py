"""A net made ready for batches of a shape: see `fastcnn.nn.Inference`."""

from collections.abc import Callable

import numpy as np

from fastcnn.backends import numba_direct
from fastcnn.backends.numba_direct.layout import pack, unpack
from fastcnn.backends.numba_direct.one_image import OneImage
from fastcnn.backends.numba_direct.runtime.processor import lanes
from fastcnn.backends.numba_direct.runtime.program import Program, record

_FEW = 4  # images, times as many as there are lanes at most, that are computed one by one
_WORTH_THREADS = 20_000  # multiply-adds of vectors: with fewer, meeting another thread takes longer than half of them


def prepared_size(N: int, dtype) -> int:
    """For batches of how many images `prepare` prepares in order to compute N."""
    return 1 if lanes(dtype) >= N * _FEW else N


def prepare(
    forward: Callable, shape: tuple[int, ...], dtype, allocate: Callable[[int], np.ndarray], known: list[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """What computes ``forward(x, backend)`` for batches of this shape, in memory of ``allocate``.

    Prepared for one image, it computes few ones, too. ``known`` are the arrays of the net's parameters.
    """
    if shape[0] * _FEW > lanes(dtype):
        program = _recorded(lambda x: unpack(forward(pack(x), numba_direct)), shape, dtype, allocate, known)
        return lambda x: program(x)[0]
    backend = OneImage()
    program = _recorded(lambda x: backend.unpack(forward(backend.pack(x), backend)), shape, dtype, allocate, known)
    if backend.largest < _WORTH_THREADS:
        program.run_alone()
    return lambda x: np.concatenate([program(x[n : n + 1])[0] for n in range(len(x))]) if len(x) > 1 else program(x)[0]


def _recorded(compute: Callable, shape: tuple[int, ...], dtype, allocate, known) -> Program:
    program, _ = record(lambda x: [compute(x)], [np.zeros(shape, dtype)], known)
    program.share(allocate)
    return program
