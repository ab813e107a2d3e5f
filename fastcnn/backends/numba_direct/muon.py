"""One step of Muon.

The iteration multiplies matrices of a row for each filter. Their rows are the images of the batch-blocked layout, so
the products are those of fully connected layers. Each product also needs the rows one after the other, as its weights.
"""

import math

import numpy as np

from fastcnn.backends.numba_direct.kernels.correlate import matrix_plan
from fastcnn.backends.numba_direct.kernels.lists import CHUNK, array_of, chunk, launch, of_one_dtype
from fastcnn.backends.numba_direct.kernels.plan import zeros
from fastcnn.backends.numba_direct.layout import BlockedArray, empty, pieces, repack
from fastcnn.backends.numba_direct.optim import sums_of_squares
from fastcnn.backends.numba_direct.runtime.compile import flushing_kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.recorder import given
from fastcnn.backends.numba_direct.simd import lane_count


def muon_update(
    parameters: list[np.ndarray],
    grads: list[np.ndarray],
    velocities: list[np.ndarray],
    rates: list[float],
    momentum: float,
    nesterov: bool,
    decay: float,
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
) -> None:
    """See `fastcnn.optim.Muon`; changes ``parameters`` and ``velocities``."""
    for some_parameters, some_grads, some_velocities, some_rates in of_one_dtype(parameters, grads, velocities, rates):
        dtype = some_parameters[0].dtype
        shapes = [(math.prod(array.shape[:1]), math.prod(array.shape[1:])) for array in some_parameters]
        directions = [aligned(shape, dtype) for shape in shapes]
        launch(_direction, [some_grads, some_velocities, directions], (momentum, 1 - momentum), nesterov=nesterov)
        vectors = [direction for direction in directions if 1 in direction.shape]
        if vectors:
            _stretch_all(vectors, coefficients, steps, eps)
        for direction in directions:
            if 1 not in direction.shape:
                _orthogonalize(direction, coefficients, steps, eps)
        launch(_subtract, [some_parameters, directions], (decay,), rates=given(np.array(some_rates, dtype)))


def _stretch_all(vectors: list[np.ndarray], coefficients: tuple[float, float, float], steps: int, eps: float) -> None:
    """`_orthogonalize` for matrices of one row or column, whose only singular value is their norm."""
    sizes, numbers = np.array([vector.size for vector in vectors]), np.array([*coefficients, eps])
    lists = {"arrays": vectors, "sizes": given(sizes), "like": vectors[0]}
    _stretch(len(vectors), **lists, numbers=given(numbers), steps=steps)


def _orthogonalize(matrix: np.ndarray, coefficients: tuple[float, float, float], steps: int, eps: float) -> None:
    """Give a matrix singular values near 1, by Newton–Schulz iteration on it or, if it is tall, on its transpose."""
    a, b, c = coefficients
    (M, K), dtype = matrix.shape, matrix.dtype
    R, C = min(M, K), max(M, K)
    strides = {"row": 1, "column": K} if M > K else {"row": K, "column": 1}
    rows, own, product = aligned((R, C), dtype), empty((R, C), dtype), empty((R, C), dtype)
    gram, gram_rows, factor = empty((R, R), dtype), aligned((R, R), dtype), empty((R, R), dtype)
    NB, _, L = own.blocks.shape
    sums = sums_of_squares([matrix])
    _normalize(-(-R * C // CHUNK), x=matrix, **strides, rows=rows, C=C, sums=sums, eps=given(np.array([eps])))
    repack(rows, own)
    for step in range(steps):
        matrix_plan(NB, C, R, L, (C, 1))(x=own.blocks, weight=rows, bias=zeros(R, dtype), y=gram.blocks)
        _unblock(gram, gram_rows, R, 1)
        matrix_plan(NB, R, R, L, (R, 1))(x=gram.blocks, weight=gram_rows, bias=zeros(R, dtype), y=factor.blocks)
        _combine(factor, c, gram, b)
        matrix_plan(NB, R, C, L, (1, C))(x=factor.blocks, weight=rows, bias=zeros(C, dtype), y=product.blocks)
        _combine(own, a, product, 1)
        if step < steps - 1:
            _unblock(own, rows, C, 1)
    _unblock(own, matrix, **strides)


def _combine(x: BlockedArray, a: float, y: BlockedArray, b: float) -> None:
    """Replace x by ``a * x + b * y``."""
    tasks, size = pieces(x)
    _weighted_sum(tasks, x=x.blocks, y=y.blocks, factors=given(np.array([a, b], x.dtype)), piece=size)


def _unblock(x: BlockedArray, out: np.ndarray, row: int, column: int) -> None:
    """Write x in rows, ``row`` and ``column`` elements apart."""
    # Its tasks belong to no block, as each block of the following product reads all rows.
    N, C = x.shape
    _to_rows(-(-C // _COLUMNS), x=x.blocks, out=out, N=N, C=C, row=row, column=column)


_COLUMNS = 16  # of a task of `_to_rows`


@flushing_kernel
def _direction(first, last, a, scratch):
    momentum, rest, nesterov = a.settings[0], a.settings[1], a.nesterov
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        grad, velocity, direction = array_of(0, k, a), array_of(1, k, a), array_of(2, k, a)
        for i in range(start, stop):
            new = rest * grad[i]
            velocity[i] = momentum * velocity[i] + new
            direction[i] = momentum * velocity[i] + new if nesterov else velocity[i]


@flushing_kernel
def _stretch(first, last, a, scratch):
    """A task is a vector."""
    for k in range(first, last):
        vector, total = array_of(0, k, a), 0.0
        for i in range(vector.size):
            total += np.float64(vector[i]) * np.float64(vector[i])
        norm = math.sqrt(total)
        least = a.numbers[3] if norm < a.numbers[3] else norm  # NaN stays NaN
        value, factor = norm / least, 1 / least
        for _ in range(a.steps):
            square = value * value
            change = a.numbers[0] + (a.numbers[1] + a.numbers[2] * square) * square
            value, factor = value * change, factor * change
        for i in range(vector.size):
            vector[i] = vector[i] * factor


@flushing_kernel(writes="rows")
def _normalize(first, last, a, scratch):
    """A task is a chunk of the rows."""
    x, rows, C, row, column, sums = a.x, a.rows, a.C, a.row, a.column, a.sums
    total = sums[0]
    for i in range(1, sums.size):
        total += sums[i]
    norm = math.sqrt(total)  # in float64, which holds the norm of all numbers of float32
    norm = a.eps[0] if norm < a.eps[0] else norm  # NaN stays NaN
    for i in range(first * CHUNK, min(last * CHUNK, rows.size)):
        n, c = divmod(i, C)
        rows[i] = x[n * row + c * column] / norm


@flushing_kernel(writes="x")
def _weighted_sum(first, last, a, scratch):
    """A task is a piece of the values."""
    x, y, piece, a_x, a_y = a.x, a.y, a.piece, a.factors[0], a.factors[1]
    for i in range(first * piece, min(last * piece, x.size)):
        x[i] = a_x * x[i] + a_y * y[i]


@flushing_kernel(writes="out")
def _to_rows(first, last, a, scratch):
    """A task is some columns of all rows."""
    x, out, N, C, row, column, L = a.x, a.out, a.N, a.C, a.row, a.column, lane_count(a.x)
    for n in range(N):
        block, lane = divmod(n, L)
        for c in range(first * _COLUMNS, min(last * _COLUMNS, C)):
            out[n * row + c * column] = x[(block * C + c) * L + lane]


@flushing_kernel
def _subtract(first, last, a, scratch):
    decay, rates = a.settings[0], a.rates
    for task in range(first, last):
        k, start, stop = chunk(task, a.first_tasks, a.sizes)
        parameter, step = array_of(0, k, a), array_of(1, k, a)
        rate = rates[k]
        for i in range(start, stop):
            parameter[i] -= decay * parameter[i] + rate * step[i]
