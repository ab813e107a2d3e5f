"""Adaptive pooling: literals computed by hand -> naive -> central differences -> the other backends."""

import functools

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import ADAPTIVE_POOL_CASES, assert_close, central_difference
from tests.nd import of

cases = pytest.mark.parametrize("case", ADAPTIVE_POOL_CASES, ids=lambda case: case.reason)
finite_cases = pytest.mark.parametrize(
    "case", [case for case in ADAPTIVE_POOL_CASES if case.values == "distinct"], ids=lambda case: case.reason
)
few_cases = pytest.mark.parametrize(
    "case",
    [case for case in ADAPTIVE_POOL_CASES if case.reason in ("windows of one size", "windows of three heights")],
    ids=lambda case: case.reason,
)

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("x", "output_size", "y", "indices"),
    [
        pytest.param([[1, 5, 2, 0], [3, 4, 8, 1]], (1, 2), [[5, 8]], [[1, 6]], id="side by side"),
        # windows of columns 0 1, 1 2 3, 3 4
        pytest.param([[1, 2, 9, 4, 3]], (1, 3), [[2, 9, 4]], [[1, 2, 3]], id="neighbours share a column"),
        pytest.param([[1], [7], [2]], (2, 1), [[7], [7]], [[1], [1]], id="one wins twice"),
        pytest.param([[1, 2], [4, 3]], 1, [[4]], [[2]], id="global"),
        pytest.param([[5, 6]], (2, 3), [[5, 6, 6], [5, 6, 6]], [[0, 1, 1], [0, 1, 1]], id="larger than the image"),
        pytest.param([[5, 6], [7, 8]], (None, None), [[5, 6], [7, 8]], [[0, 1], [2, 3]], id="unchanged"),
        pytest.param([[7, 7, 7, 7, 7]], (1, 3), [[7, 7, 7]], [[0, 1, 3]], id="first of equals"),
        pytest.param([[-INF, -INF, -INF]], (1, 2), [[-INF, -INF]], [[0, 1]], id="first of -inf"),
        pytest.param([[NAN, 9, NAN, 1, 2]], (1, 3), [[NAN, NAN, 2]], [[0, 2, 4]], id="last of NaNs"),
    ],
)  # fmt: skip
def test_max_by_hand(backend, dtype, x, output_size, y, indices):
    x = np.array(x, dtype)[None, None]
    actual, actual_indices = F.adaptive_max_pool2d(x, output_size, return_indices=True, backend=backend)
    assert actual.dtype == dtype
    assert actual_indices.dtype == np.int64
    np.testing.assert_array_equal(actual[0, 0], y)
    np.testing.assert_array_equal(actual_indices[0, 0], indices)
    np.testing.assert_array_equal(F.adaptive_max_pool2d(x, output_size, backend=backend), actual)


@pytest.mark.parametrize(
    ("x", "output_size", "y"),
    [
        pytest.param([[1, 3, 2, 0], [4, 4, 8, 2]], (1, 2), [[3, 3]], id="side by side"),
        pytest.param([[2, 4, 9, 8, 2]], (1, 3), [[3, 7, 5]], id="neighbours share a column"),
        pytest.param([[1, 2, 3], [4, 5, 9]], 1, [[4]], id="global"),
        pytest.param([[6], [2], [4]], (2, None), [[4], [3]], id="one axis stays"),
        pytest.param([[5, 7]], (2, 3), [[5, 6, 7], [5, 6, 7]], id="larger than the image"),
        pytest.param([[NAN, 1, 2, 3, 5]], (1, 3), [[NAN, 2, 4]], id="NaN in its window only"),
        pytest.param([[INF, -INF, INF, 3]], (1, 2), [[NAN, INF]], id="inf - inf"),
        pytest.param([[INF, -INF, 3]], (1, 2), [[NAN, -INF]], id="inf - inf, shared"),
    ],
)  # fmt: skip
def test_avg_by_hand(backend, dtype, x, output_size, y):
    actual = F.adaptive_avg_pool2d(np.array(x, dtype)[None, None], output_size, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], y)


def test_max_backward_by_hand(backend, dtype):
    # two images of two channels, windows of columns 0 1 and 1 2; in the first plane one pixel is the maximum of both
    dy = np.array([[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]], dtype)
    indices = np.array([[[[1, 1]], [[0, 2]]], [[[0, 1]], [[1, 2]]]])
    dx = F.adaptive_max_pool2d_backward(dy, indices, (2, 2, 1, 3), backend=backend)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, [[[[0, 3, 0]], [[3, 0, 4]]], [[[5, 6, 0]], [[0, 7, 8]]]])


@pytest.mark.parametrize(
    ("dy", "size", "dx"),
    [
        pytest.param([[4, 8]], (1, 4), [[2, 2, 4, 4]], id="side by side"),
        # windows of 2, 3 and 2 columns
        pytest.param([[2, 6, 4]], (1, 5), [[1, 3, 2, 4, 2]], id="neighbours share a column"),
        pytest.param([[8]], (2, 2), [[2, 2], [2, 2]], id="global"),
        # both rows of windows contain both pixels; the middle column of windows takes the mean of the two
        pytest.param([[1, 2, 3], [10, 20, 30]], (1, 2), [[22, 44]], id="larger than the image"),
    ],
)
def test_avg_backward_by_hand(backend, dtype, dy, size, dx):
    actual = F.adaptive_avg_pool2d_backward(np.array(dy, dtype)[None, None], (1, 1, *size), backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], dx)


def max_results(case, arrays, backend):
    """Return y, indices and dx."""
    x, dy = arrays
    y, indices = of(F, "adaptive_max_pool{}d", case)(x, case.output_size, return_indices=True, backend=backend)
    return y, indices, of(F, "adaptive_max_pool{}d_backward", case)(dy, indices, x.shape, backend=backend)


def avg_results(case, arrays, backend):
    """Return y and dx."""
    x, dy = arrays
    y = of(F, "adaptive_avg_pool{}d", case)(x, case.output_size, backend=backend)
    return y, of(F, "adaptive_avg_pool{}d_backward", case)(dy, x.shape, backend=backend)


@functools.cache
def naive_max(case, dtype):
    """Return naive's results, and the sums of the absolute values of the terms of dx."""
    x, dy = case.arrays(np.random.default_rng(0), dtype)
    return max_results(case, (x, dy), "naive"), max_results(case, (x, np.abs(dy)), "naive")[2]


@functools.cache
def naive_avg(case, dtype):
    """Return naive's results, and the means of the absolute values."""
    arrays = case.arrays(np.random.default_rng(0), dtype)
    return avg_results(case, arrays, "naive"), avg_results(case, [np.abs(array) for array in arrays], "naive")


@cases
def test_max_agrees_with_naive(fast_backend, dtype, case, rng):
    arrays = x, dy = case.arrays(rng, dtype)
    y, indices, dx = max_results(case, arrays, fast_backend)
    (expected_y, expected_indices, expected_dx), magnitude = naive_max(case, dtype)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    assert_close(dx, expected_dx, dy[0, 0].size, magnitude)


@cases
def test_avg_agrees_with_naive(fast_backend, dtype, case, rng):
    arrays = x, dy = case.arrays(rng, dtype)
    for a, expected, magnitude in zip(avg_results(case, arrays, fast_backend), *naive_avg(case, dtype), strict=True):
        assert_close(a, expected, max(x[0, 0].size, dy[0, 0].size), magnitude)


@cases
def test_the_layer_finds_the_same_winners(backend, case, rng):
    # the layer passes the positions of the windows to the backend, which the function cannot know
    x, dy = case.arrays(rng, np.float64)
    y, _, dx = max_results(case, (x, dy), backend)
    layer = of(nn, "AdaptiveMaxPool{}d", case)(case.output_size)
    with fastcnn.use_backend(backend):
        np.testing.assert_array_equal(layer(x), y)
        assert_close(layer.backward(dy), dx, dy[0, 0].size, np.full(dx.shape, np.abs(dy).sum()))


@finite_cases
def test_max_gradient_is_a_central_difference(backend, case, rng):
    x, dy = case.arrays(rng, np.float64)
    _, _, dx = max_results(case, (x, dy), backend)
    direction = rng.standard_normal(x.shape)

    def loss(v):
        return float((of(F, "adaptive_max_pool{}d", case)(v, case.output_size, backend=backend) * dy).sum())

    # Values are 1/8 apart: with this step the maxima stay the same, so the loss is linear.
    slope = central_difference(loss, x, direction, step=0.005)
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-9, abs=1e-9)


@finite_cases
def test_avg_gradient_is_a_central_difference(backend, case, rng):
    x, dy = case.arrays(rng, np.float64)
    _, dx = avg_results(case, (x, dy), backend)
    direction = rng.standard_normal(x.shape)

    def loss(v):
        return float((of(F, "adaptive_avg_pool{}d", case)(v, case.output_size, backend=backend) * dy).sum())

    slope = central_difference(loss, x, direction, step=1.0)  # linear: exact up to rounding
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-10, abs=1e-9)


@few_cases
@pytest.mark.parametrize("pooling", [max_results, avg_results], ids=["max", "avg"])
def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, pooling, case, rng):
    arrays = case.arrays(rng, np.float32)
    expected = pooling(case, arrays, backend)
    reordered = [memory_order(array) for array in arrays]
    before = [array.tobytes() for array in reordered]
    for actual, wanted in zip(pooling(case, reordered, backend), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert [array.tobytes() for array in reordered] == before
