"""Activations and other elementwise operations on random arrays: all backends compared with naive, with gradients."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcnn import functional as F
from fastcnn.testing import activations
from tests.properties.draws import FAST, batches, dtypes, numbers
from tests.properties.judge import Batch, assert_right, assert_sums, call, finite_or_not, wide

EXP = 4 * 2  # roundings allowed for exp and related functions: NumPy guarantees 4 units in the last place, fastcnn 2.5
NORMAL = {np.float32: 1e-7, np.float64: 2e-14}  # largest error of our normal distribution, as stated in exp.py


@st.composite
def shapes(draw, dtype) -> tuple[int, ...]:
    N = draw(batches(dtype))
    return draw(st.sampled_from([(N, 3), (N, 2, 1, 1), (N, 1, 3, 5)]))


@st.composite
def of_a_shape(draw):
    dtype = draw(dtypes)
    return dtype, draw(shapes(dtype))


def bent(x):
    """Return the argument of the sigmoid in `gelu` by tanh, and its derivative."""
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), 2 * math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)


def sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def mish_slope(x):
    """Return the derivative of the factor of x in `mish`, and the factor."""
    part = np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))
    return sigmoid(x) * (1 - part * part), part


def density(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# For each activation: options, and the sum of its roundings in units of size, forward (from x and y) and backward (from
# dy, x and y). Errors in the argument of exp are multiplied by it, so that the size may exceed that of the result.
ACTIVATIONS = {
    "relu": ({}, lambda x, y: 0 * x, lambda dy, x, y: 0 * x),
    "leaky_relu": ({"negative_slope": 0.2}, lambda x, y: 2 * abs(y), lambda dy, x, y: 2 * abs(dy)),
    "tanh": ({}, lambda x, y: EXP * abs(y), lambda dy, x, y: 4 * abs(dy)),
    "sigmoid": ({}, lambda x, y: (EXP + 2) * y, lambda dy, x, y: 4 * abs(dy) * y),
    "scaled_tanh": (
        {"amplitude": 1.7159, "slope": 2 / 3},
        lambda x, y: (EXP + 4) * abs(y),
        lambda dy, x, y: 9 * abs(dy) * (2 / 3) * 1.7159,
    ),
    "silu": (
        {},
        lambda x, y: (EXP + 3) * abs(y),
        lambda dy, x, y: (2 * EXP + 8) * abs(dy) * sigmoid(x) * (1 + abs(x) * sigmoid(-x)),
    ),
    "elu": (
        {"alpha": 0.5},
        lambda x, y: (EXP + 2) * abs(y),
        lambda dy, x, y: (EXP + 3) * abs(dy) * np.where(x > 0, 1, 0.5 * np.exp(np.minimum(x, 0))),
    ),
    "hardswish": ({}, lambda x, y: 4 * abs(y), lambda dy, x, y: 6 * abs(dy)),
    "softplus": (
        {"beta": 1.0, "threshold": 20.0},
        lambda x, y: (EXP + 6) * y,
        lambda dy, x, y: (EXP + 4) * abs(dy) * sigmoid(x),
    ),
    "mish": (
        {},
        lambda x, y: (2 * EXP + 8) * abs(y),
        lambda dy, x, y: (4 * EXP + 20) * abs(dy) * (mish_slope(x)[1] + abs(x) * mish_slope(x)[0]),
    ),
    "gelu": (
        {"approximate": "tanh"},
        lambda x, y: (EXP + 3 + 6 * abs(bent(x)[0])) * abs(x) * sigmoid(bent(x)[0]),
        lambda dy, x, y: (2 * EXP + 12 + 12 * abs(bent(x)[0])) * abs(dy) * sigmoid(bent(x)[0])
        * (1 + abs(x) * sigmoid(-bent(x)[0]) * bent(x)[1]),
    ),
    "gelu, exact": (
        {"approximate": "none"},
        lambda x, y: (EXP + 6 + x * x) * abs(y),
        lambda dy, x, y: (EXP + 8) * abs(dy) * (1 + abs(x) * (1 + x * x) * density(x)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(of_a_shape(), numbers(), numbers())
def test_activations(name, drawn, x_numbers, dy_numbers):
    dtype, shape = drawn
    options, forward, backward = ACTIVATIONS[name]
    operation = name.partition(",")[0]
    if operation in ("leaky_relu", "elu"):  # at the kink, the result depends on whether a number counts as zero
        x_numbers = x_numbers._replace(exponent=max(x_numbers.exponent, -30), spread=min(x_numbers.spread, 3))
    x, dy = x_numbers.array(shape, dtype), dy_numbers.array(shape, dtype)
    y = getattr(F, operation)(wide(x), **options, backend="naive")
    known = y.astype(dtype) if operation in activations.FROM_OUTPUT else x
    dx = getattr(F, f"{operation}_backward")(wide(dy), wide(known), **options, backend="naive")
    u = np.finfo(dtype).eps / 2 * (1 if dtype == np.float32 else 2)
    with np.errstate(all="ignore"):
        x64, dy64 = wide(x), wide(dy)
        errors = [np.nan_to_num(e * u, nan=0, posinf=0) for e in (forward(x64, y), backward(dy64, x64, wide(known)))]
        if name == "gelu, exact":
            errors[0] += np.nan_to_num(abs(x64) * NORMAL[dtype], posinf=0)
            errors[1] += np.nan_to_num(abs(dy64) * NORMAL[dtype], posinf=0)
        # a factor that is flushed to zero makes its product zero, too
        tiny = 4 * float(np.finfo(dtype).tiny)
        errors[0] = errors[0] + tiny * (1 + np.nan_to_num(abs(x64), posinf=0))
        factor = abs(x64) * (1 + bent(x64)[1] if name == "gelu" else 1)
        errors[1] = errors[1] + tiny * (1 + np.nan_to_num(abs(dy64), posinf=0)) * (1 + np.nan_to_num(factor, posinf=0))
    # zero times infinity: an intermediate result that is or counts as zero, where naive has a finite result
    free = np.isinf(dy) & (abs(dx) < np.inf) if operation in ("silu", "gelu", "elu", "softplus", "mish") else False
    overflow = np.nan_to_num(abs(dy64), posinf=0) * 4
    for backend in FAST:
        found = finite_or_not(lambda b=backend: getattr(F, operation)(x_numbers.laid_out(x), **options, backend=b))
        assert_right(f"{backend} {name}", found, y, errors[0])
        arguments = dy_numbers.laid_out(dy), x_numbers.laid_out(known)
        found = finite_or_not(
            lambda b=backend, a=arguments: getattr(F, f"{operation}_backward")(*a, **options, backend=b)
        )
        assert_right(f"{backend} {name}_backward", found, dx, errors[1], overflow, free)


@given(of_a_shape(), numbers(), numbers(), st.floats(0, 0.9), st.integers(0, 99))
def test_dropout(drawn, x_numbers, dy_numbers, p, seed):
    dtype, shape = drawn
    arrays = [n.array(shape, dtype) for n in (x_numbers, dy_numbers)]
    mask = ((np.random.default_rng(seed).random(shape) >= p) / (1 - p)).astype(dtype)

    def results(backend, x, dy):
        m = Batch(mask.astype(x.dtype))
        return [*call(backend, "dropout", Batch(x), m), *call(backend, "dropout_backward", Batch(dy), m)]

    free = [np.isinf(a) & (mask == 0) for a in arrays]
    assert_sums(["y", "dx"], results, arrays, [x_numbers, dy_numbers], [1, 1], free)


@given(of_a_shape(), numbers(), numbers())
def test_add(drawn, a_numbers, b_numbers):
    dtype, shape = drawn
    arrays = [n.array(shape, dtype) for n in (a_numbers, b_numbers)]
    assert_sums(
        ["sum"], lambda backend, a, b: call(backend, "add", Batch(a), Batch(b)), arrays, [a_numbers, b_numbers], [1]
    )


@given(of_a_shape(), numbers(), st.integers(1, 5))
def test_what_moves_numbers_changes_none(drawn, some, channels):
    dtype, shape = drawn
    x = some.array(shape, dtype)
    rest = shape[1:]
    for backend in FAST:
        laid_out = Batch(some.laid_out(x))
        np.testing.assert_array_equal(*call(backend, "pack", laid_out.array), x)  # and `unpack`
        if len(shape) == 4:
            (rows,) = call(backend, "flatten", laid_out)
            np.testing.assert_array_equal(rows, x.reshape(len(x), -1))
            np.testing.assert_array_equal(*call(backend, "unflatten", Batch(rows), rest), x)
            expected = call("naive", "resize_channels", Batch(x), channels)
            np.testing.assert_array_equal(call(backend, "resize_channels", laid_out, channels), expected)
