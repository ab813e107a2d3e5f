"""Padding, interpolation, concatenation, normalization of single images, and losses: all backends versus naive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcnn import backends
from fastcnn._geometry import padded, sampling
from fastcnn.testing import assert_close
from tests.properties.draws import FAST, batches, dtypes, numbers
from tests.properties.judge import Batch, assert_sums, call, wide

FINITE = numbers(-10, 10, odd=False)
NEAR = numbers(-2, 1, odd=False)


@st.composite
def images(draw):
    dtype = draw(dtypes)
    sizes = [draw(st.integers(1, 5)) for _ in range(2)]
    return dtype, (draw(batches(dtype)), draw(st.integers(1, 3)), *sizes)


@given(images(), FINITE, FINITE, st.sampled_from(["constant", "reflect", "replicate", "circular"]), st.data())
def test_pad(drawn, x_numbers, dy_numbers, mode, data):
    dtype, shape = drawn
    most = {"reflect": [e - 1 for e in shape[2:]], "circular": shape[2:]}.get(mode, [3, 3])
    H, W = (data.draw(st.tuples(st.integers(0, m), st.integers(0, m))) for m in most)
    at = padded(shape[2:], (*W, *H), mode)
    arrays = [x_numbers.array(shape, dtype), dy_numbers.array((*shape[:2], len(at.rows), len(at.columns)), dtype)]

    def results(backend, x, dy):
        return [*call(backend, "pad", Batch(x), at, 0.0), *call(backend, "pad_backward", Batch(dy), at)]

    assert_sums(["y", "dx"], results, arrays, [x_numbers, dy_numbers], [1, arrays[1][0, 0].size])


@given(images(), FINITE, FINITE, st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([None, False, True]))
def test_interpolate(drawn, x_numbers, dy_numbers, size, corners):
    dtype, shape = drawn
    at = sampling(shape[2:], size, None, "nearest" if corners is None else "bilinear", corners)
    arrays = [x_numbers.array(shape, dtype), dy_numbers.array((*shape[:2], at.OH, at.OW), dtype)]

    def results(backend, x, dy):
        return [*call(backend, "interpolate", Batch(x), at), *call(backend, "interpolate_backward", Batch(dy), at)]

    rounded = 4  # each weight is also rounded to the array's dtype, along both axes
    lengths = [4 + rounded, arrays[1][0, 0].size + rounded]
    assert_sums(["y", "dx"], results, arrays, [x_numbers, dy_numbers], lengths)


@given(images(), FINITE, st.integers(1, 3))
def test_concatenate(drawn, some, dim):
    dtype, shape = drawn
    x = some.array(shape, dtype)
    for backend in FAST:
        package = backends.load(backend)
        parts = [package.pack(x), package.pack(2 * x), package.pack(-x)]
        y = package.concatenate(parts, dim)
        np.testing.assert_array_equal(package.unpack(y), np.concatenate([x, 2 * x, -x], dim))
        back = package.concatenate_backward(y, (shape[dim],) * 3, dim)
        for one, other in zip(back, parts, strict=True):
            np.testing.assert_array_equal(package.unpack(one), package.unpack(other))


def assert_near(operation, arrays, options, terms):
    """Compare the results of the fast backends with naive in float64, relative to the largest number of each result."""
    exact = call("naive", operation, *(Batch(wide(a)) for a in arrays[:1]), *map(wide, arrays[1:]), *options)
    for backend in FAST:
        found = call(backend, operation, Batch(arrays[0]), *arrays[1:], *options)
        for one, other in zip(found, exact, strict=True):
            largest = np.full(np.shape(other), max(1e-3, np.abs(other).max()))
            assert_close(one, other.astype(one.dtype), terms, largest)


@given(images(), NEAR, NEAR, st.booleans())
def test_prelu(drawn, x_numbers, dy_numbers, each):
    dtype, shape = drawn
    x, dy = x_numbers.array(shape, dtype), dy_numbers.array(shape, dtype)
    slopes = np.linspace(-1, 2, shape[1] if each else 1).astype(dtype)
    assert_near("prelu", [x, slopes], [], 2)
    exact = call("naive", "prelu_backward", Batch(wide(dy)), Batch(wide(x)), wide(slopes), True, True)
    for backend in FAST:
        found = call(backend, "prelu_backward", Batch(dy), Batch(x), slopes, True, True)
        for one, other in zip(found, exact, strict=True):
            size = np.full(other.shape, np.abs(wide(dy) * wide(x)).sum() + np.abs(dy).max())
            assert_close(one, other.astype(dtype), x.size, size)


@given(images(), NEAR, NEAR, st.sampled_from(["group_norm", "group_norm_relu"]))
def test_group_norm(drawn, x_numbers, dy_numbers, operation):
    dtype, shape = drawn
    shape = (*shape[:2], 3, 4)  # enough numbers that their deviation is not dominated by rounding
    x, dy = x_numbers.array(shape, dtype), dy_numbers.array(shape, dtype)
    weight, bias = np.linspace(0.5, 2, shape[1]).astype(dtype), np.linspace(-1, 1, shape[1]).astype(dtype)
    groups, pixels = shape[1], 12
    assert_near(
        operation,
        [
            x,
        ],
        [groups, weight, bias, pixels, 0.1],
        64,
    )
    options = groups, weight, pixels, 0.1, True, True
    exact = call("naive", "group_norm_backward", Batch(wide(dy)), Batch(wide(x)), groups, wide(weight), *options[2:])
    for backend in FAST:
        found = call(backend, "group_norm_backward", Batch(dy), Batch(x), *options)
        for one, other in zip(found, exact, strict=True):
            size = np.full(other.shape, 10 * (np.abs(wide(dy)).sum() + 1e-6))
            assert_close(one, other.astype(dtype), x.size, size)


LOSSES = {
    "mse_loss": [], "l1_loss": [], "smooth_l1_loss": [0.5], "huber_loss": [0.5], "binary_cross_entropy_with_logits": [],
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
@given(dtypes, NEAR, st.integers(1, 40), st.integers(1, 5))
def test_losses_of_elements(name, dtype, some, N, features):
    x = some.array((N, features), dtype)
    target = (np.arange(x.size).reshape(x.shape) % 3 / 2).astype(dtype)
    check_loss(name, (x, target), LOSSES[name])


@given(dtypes, NEAR, st.integers(1, 40), st.integers(1, 5))
def test_losses_of_classes(dtype, some, N, classes):
    x = some.array((N, classes), dtype)
    check_loss("nll_loss", (x, np.arange(N) % classes), [])


def check_loss(name, given_arrays, options):
    """Check losses, their weighted sum, and the gradient."""
    x, target = given_arrays
    exact_target = wide(target) if target.dtype.kind == "f" else target
    naive = backends.load("naive")
    losses = getattr(naive, name)(wide(x), exact_target, *options)
    weights = np.linspace(0.1, 1, losses.size).reshape(losses.shape)
    total = naive.weighted_sum(losses, weights)
    gradient = getattr(naive, f"{name}_backward")(weights, wide(x), exact_target, *options)
    for backend in FAST:
        package = backends.load(backend)
        found = getattr(package, name)(x, target, *options)
        size = np.full(losses.shape, max(1.0, np.abs(losses).max()))
        assert_close(np.asarray(found), losses.astype(found.dtype), 32, size)
        narrow = weights.astype(x.dtype)
        assert abs(float(package.weighted_sum(found, narrow)) - total) <= 1e-4 * max(1, np.abs(losses).sum())
        back = getattr(package, f"{name}_backward")(narrow, x, target, *options)
        near = np.full(gradient.shape, max(1.0, np.abs(gradient).max()))
        assert_close(back, gradient.astype(back.dtype), 32, near)
