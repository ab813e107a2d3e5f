"""The fully connected layer: literals computed by hand -> naive -> central differences -> the other backends."""

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import assert_close, central_difference

shapes = pytest.mark.parametrize(
    ("N", "C", "filters"),
    [
        pytest.param(1, 3, 2, id="batch of 1"),
        pytest.param(5, 1, 1, id="one feature in and out"),
        pytest.param(3, 4, 13, id="outputs that do not fill a tile"),
        pytest.param(24, 7, 5, id="last block of the batch half full"),
        pytest.param(40, 6, 3, id="more than two blocks"),
        pytest.param(2, 120, 84, id="LeNet's F6"),
        pytest.param(3, 84, 10, id="LeNet's output"),
    ],
)


def arrays_of(rng, N, C, filters, dtype):
    """Return x, weight, bias and dy."""
    return [rng.standard_normal(shape).astype(dtype) for shape in ((N, C), (filters, C), (filters,), (N, filters))]


def results(arrays, backend):
    """Return y, dx, dweight and dbias."""
    x, weight, bias, dy = arrays
    return F.linear(x, weight, bias, backend=backend), *F.linear_backward(dy, x, weight, backend=backend)


def test_by_hand(backend, dtype):
    x = np.array([[1, 2], [3, -1]], dtype)
    weight = np.array([[1, 10], [2, 20], [3, 30]], dtype)
    bias = np.array([0.5, 0, -0.5], dtype)
    y = F.linear(x, weight, bias, backend=backend)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [[21.5, 42, 62.5], [-6.5, -14, -21.5]])
    np.testing.assert_array_equal(F.linear(x, weight, backend=backend), [[21, 42, 63], [-7, -14, -21]])

    dy = np.array([[1, 0, 2], [0, -1, 1]], dtype)
    dx, dweight, dbias = F.linear_backward(dy, x, weight, backend=backend)
    np.testing.assert_array_equal(dx, [[1 + 6, 10 + 60], [-2 + 3, -20 + 30]])
    np.testing.assert_array_equal(dweight, [[1, 2], [-3, 1], [2 + 3, 4 - 1]])
    np.testing.assert_array_equal(dbias, [1, -1, 3])
    assert dx.dtype == dweight.dtype == dbias.dtype == dtype


@shapes
def test_gradients_are_central_differences(backend, N, C, filters, rng):
    x, weight, bias, dy = arrays_of(rng, N, C, filters, np.float64)
    gradients = F.linear_backward(dy, x, weight, backend=backend)

    def loss(x, weight, bias):
        return float((F.linear(x, weight, bias, backend=backend) * dy).sum())

    losses = lambda v: loss(v, weight, bias), lambda v: loss(x, v, bias), lambda v: loss(x, weight, v)
    for function, at, gradient in zip(losses, (x, weight, bias), gradients, strict=True):
        direction = rng.standard_normal(at.shape)
        slope = central_difference(function, at, direction, step=1.0)  # linear: exact up to rounding
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-10, abs=1e-9)


@shapes
def test_agrees_with_naive(fast_backend, dtype, N, C, filters, rng):
    arrays = arrays_of(rng, N, C, filters, dtype)
    sizes = [np.abs(array) for array in arrays]
    lengths = C, filters, N, N
    rows = zip(results(arrays, fast_backend), results(arrays, "naive"), results(sizes, "naive"), lengths, strict=True)
    for actual, expected, magnitude, length in rows:
        assert_close(actual, expected, length, magnitude)


def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, rng):
    arrays = arrays_of(rng, 5, 4, 3, np.float32)
    reordered = [memory_order(array) for array in arrays]
    before = [array.tobytes() for array in reordered]
    for actual, expected in zip(results(reordered, backend), results(arrays, backend), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert [array.tobytes() for array in reordered] == before


def test_only_what_was_asked(backend, rng):
    x, weight, _, dy = arrays_of(rng, 5, 4, 3, np.float32)
    dx, dweight, dbias = F.linear_backward(dy, x, weight, backend=backend)
    only_x = F.linear_backward(dy, x, weight, weight_grad=False, backend=backend)
    only_weight = F.linear_backward(dy, x, weight, input_grad=False, backend=backend)
    assert only_x[1:] == (None, None)
    assert only_weight[0] is None
    for actual, expected in zip((only_x[0], *only_weight[1:]), (dx, dweight, dbias), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_infinities_make_nan_as_ieee_754_says_without_a_warning(backend, dtype):
    x, weight = np.array([[np.inf, -np.inf], [1, 2]], dtype), np.array([[1, 1], [0, 1]], dtype)
    np.testing.assert_array_equal(F.linear(x, weight, backend=backend), [[np.nan, np.nan], [3, 2]])
    dx, dweight, _ = F.linear_backward(np.array([[1, 0], [1, 1]], dtype), x, weight, backend=backend)
    np.testing.assert_array_equal(dx, [[1, 1], [1, 2]])
    np.testing.assert_array_equal(dweight, [[np.inf, -np.inf], [np.nan, np.nan]])


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_a_row_that_is_not_finite_spoils_itself_only(backend, dtype, value, rng):
    x, weight, bias, _ = arrays_of(rng, 20, 4, 3, dtype)
    clean = F.linear(x, weight, bias, backend=backend)
    x[17, 1] = value
    y = F.linear(x, weight, bias, backend=backend)
    assert not np.isfinite(y[17]).any()
    np.testing.assert_array_equal(np.delete(y, 17, axis=0), np.delete(clean, 17, axis=0))
