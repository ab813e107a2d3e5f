"""Pooling: literals computed by hand -> naive -> central differences -> the other backends."""

import functools
import re

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import POOL_CASES, assert_close, central_difference
from tests.nd import of

max_cases = pytest.mark.parametrize("case", POOL_CASES, ids=lambda case: case.reason)
avg_cases = pytest.mark.parametrize(
    "case", [case for case in POOL_CASES if case.dilation == 1], ids=lambda case: case.reason
)
divisors = pytest.mark.parametrize(
    "divisor",
    [(True, None), (False, None), (True, 3)],  # count_include_pad, divisor_override
    ids=["count pad", "pixels only", "divisor"],
)
padded_case = next(case for case in POOL_CASES if case.reason == "four different sides")

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("x", "options", "y", "indices"),
    [
        pytest.param([[1, 5, 2, 0], [3, 4, 8, 1]], {"kernel_size": 2}, [[5, 8]], [[1, 6]], id="side by side"),
        pytest.param([[1, 5, 2, 0]], {"kernel_size": (1, 3), "stride": 1}, [[5, 5]], [[1, 1]], id="one wins twice"),
        pytest.param([[7, 7, 7], [7, 7, 7]], {"kernel_size": 2, "stride": 1}, [[7, 7]], [[0, 1]], id="first of equals"),
        pytest.param([[-3, -1], [-2, -4]], {"kernel_size": 2, "padding": 1}, [[-3, -1], [-2, -4]], [[0, 1], [2, 3]],
                     id="padding never wins"),
        pytest.param([[-INF, -INF], [-INF, -INF]], {"kernel_size": 2, "padding": 1}, [[-INF, -INF], [-INF, -INF]],
                     [[0, 1], [2, 3]], id="nor over -inf"),
        pytest.param([[-INF, -INF, -INF]], {"kernel_size": (1, 3)}, [[-INF]], [[0]], id="first of -inf"),
        pytest.param([[INF, 1, INF]], {"kernel_size": (1, 3)}, [[INF]], [[0]], id="first of inf"),
        pytest.param([[1, NAN, 9]], {"kernel_size": (1, 3)}, [[NAN]], [[1]], id="NaN wins before a larger value"),
        pytest.param([[NAN, 9, NAN]], {"kernel_size": (1, 3)}, [[NAN]], [[2]], id="last of NaNs"),
        pytest.param([[NAN, 9, 3, 4]], {"kernel_size": (1, 2)}, [[NAN, 4]], [[0, 3]], id="NaN in its window only"),
        pytest.param([[1, 2, 3, 9, 5]], {"kernel_size": (1, 3), "stride": 1, "dilation": (1, 2)}, [[5]], [[4]],
                     id="dilation looks past the 9"),
        pytest.param([[1, 2, 3]], {"kernel_size": (1, 2), "ceil_mode": True}, [[2, 3]], [[1, 2]], id="ceil_mode"),
        pytest.param([[1, 2, 3]], {"kernel_size": (1, 2)}, [[2]], [[1]], id="no ceil_mode: 3 is not read"),
        pytest.param([[1, 2, 3]], {"kernel_size": (1, 2), "stride": 1, "padding": "same"}, [[2, 3, 3]], [[1, 2, 2]],
                     id="same"),
    ],
)  # fmt: skip
def test_max_pool_by_hand(backend, dtype, x, options, y, indices):
    x = np.array(x, dtype)[None, None]
    actual, actual_indices = F.max_pool2d(x, **options, return_indices=True, backend=backend)
    assert actual.dtype == dtype
    assert actual_indices.dtype == np.int64
    np.testing.assert_array_equal(actual[0, 0], y)
    np.testing.assert_array_equal(actual_indices[0, 0], indices)
    np.testing.assert_array_equal(F.max_pool2d(x, **options, backend=backend), actual)


def test_max_pool_backward_by_hand(backend, dtype):
    # two images of two channels; in the first plane one pixel is the maximum of both windows
    dy = np.array([[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]], dtype)
    indices = np.array([[[[1, 1]], [[0, 2]]], [[[3, 2]], [[5, 0]]]])
    dx = F.max_pool2d_backward(dy, indices, (2, 2, 2, 3), backend=backend)
    assert dx.dtype == dtype
    np.testing.assert_array_equal(
        dx,
        [[[[0, 3, 0], [0, 0, 0]], [[3, 0, 4], [0, 0, 0]]], [[[0, 0, 6], [5, 0, 0]], [[8, 0, 0], [0, 0, 7]]]],
    )


@pytest.mark.parametrize(
    ("x", "options", "y"),
    [
        pytest.param([[1, 3, 2, 0], [4, 4, 8, 2]], {"kernel_size": 2}, [[3, 3]], id="side by side"),
        # each window of 4 places contains one pixel
        pytest.param([[4, 8], [12, 16]], {"kernel_size": 2, "padding": 1}, [[1, 2], [3, 4]], id="padding counts"),
        pytest.param([[4, 8], [12, 16]], {"kernel_size": 2, "padding": 1, "count_include_pad": False},
                     [[4, 8], [12, 16]], id="padding does not count"),
        pytest.param([[1, 2, 6]], {"kernel_size": (1, 2), "ceil_mode": True}, [[1.5, 6]], id="nothing past the image"),
        # places pad 2 | 4 6 | 8 pad (outside): 2 of the 3 places of the last window are in the padded image
        pytest.param([[2, 4, 6, 8]], {"kernel_size": (1, 3), "stride": 2, "padding": (0, 0, 1, 1), "ceil_mode": True},
                     [[2, 6, 4]], id="ceil_mode counts padding, not what is past it"),
        pytest.param([[2, 4, 6, 8]], {"kernel_size": (1, 3), "stride": 2, "padding": (0, 0, 1, 1), "ceil_mode": True,
                     "count_include_pad": False}, [[3, 6, 8]], id="ceil_mode, pixels only"),
        pytest.param([[1, 2, 6]], {"kernel_size": (1, 2), "stride": 1, "divisor_override": 4}, [[0.75, 2]],
                     id="divisor"),
        pytest.param([[4, 8]], {"kernel_size": 2, "padding": (0, 1, 1, 1), "divisor_override": -1}, [[-4, -8]],
                     id="negative divisor: minus the sum of what is inside"),
        pytest.param([[NAN, 1, 2, 3]], {"kernel_size": (1, 2)}, [[NAN, 2.5]], id="NaN in its window only"),
        pytest.param([[INF, -INF, INF, 3]], {"kernel_size": (1, 2)}, [[NAN, INF]], id="inf - inf"),
    ],
)  # fmt: skip
def test_avg_pool_by_hand(backend, dtype, x, options, y):
    actual = F.avg_pool2d(np.array(x, dtype)[None, None], **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], y)


@pytest.mark.parametrize(
    ("dy", "options", "dx"),
    [
        pytest.param([[4, 8]], {"kernel_size": (1, 2)}, [[2, 2, 4, 4]], id="side by side"),
        pytest.param([[2, 4, 6]], {"kernel_size": (1, 2), "stride": 1}, [[1, 3, 5, 3]], id="overlapping windows"),
        # windows (pad, 1), (2, 3), (4, pad)
        pytest.param([[2, 4, 6]], {"kernel_size": (1, 2), "padding": (0, 0, 1, 1)},
                     [[1, 2, 2, 3]], id="padding counts"),
        pytest.param([[2, 4, 6]], {"kernel_size": (1, 2), "padding": (0, 0, 1, 1), "count_include_pad": False},
                     [[2, 2, 2, 6]], id="padding does not count"),
        # windows (1, 2, 3), (4, outside, outside): the second has one place
        pytest.param([[3, 5]], {"kernel_size": (1, 3), "ceil_mode": True}, [[1, 1, 1, 5]], id="nothing past the image"),
        pytest.param([[2, 4, 6]], {"kernel_size": (1, 2), "stride": 1, "divisor_override": -2}, [[-1, -3, -5, -3]],
                     id="divisor"),
        pytest.param([[3]], {"kernel_size": (1, 3)}, [[1, 1, 1, 0]], id="a pixel outside all windows"),
    ],
)  # fmt: skip
def test_avg_pool_backward_by_hand(backend, dtype, dy, options, dx):
    actual = F.avg_pool2d_backward(np.array(dy, dtype)[None, None], (1, 1, 1, 4), **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], dx)


def max_results(case, arrays, backend):
    """Return y, indices and dx."""
    x, dy = arrays
    options = {**case.options, "dilation": case.dilation, "backend": backend}
    y, indices = of(F, "max_pool{}d", case)(x, **options, return_indices=True)
    return y, indices, of(F, "max_pool{}d_backward", case)(dy, indices, x.shape, **options)


def avg_results(case, arrays, divisor, backend):
    """Return y and dx."""
    x, dy = arrays
    options = {**case.options, "count_include_pad": divisor[0], "backend": backend}
    if divisor[1] is not None:
        if len(case.x) == 3:
            pytest.skip("pooling of signals has no such option")
        options["divisor_override"] = divisor[1]
    return of(F, "avg_pool{}d", case)(x, **options), of(F, "avg_pool{}d_backward", case)(dy, x.shape, **options)


@functools.cache
def naive_max(case, dtype):
    """Return naive's results, and the sums of the absolute values of the terms of dx."""
    x, dy = case.arrays(np.random.default_rng(0), dtype)
    return max_results(case, (x, dy), "naive"), max_results(case, (x, np.abs(dy)), "naive")[2]


@functools.cache
def naive_avg(case, divisor, dtype):
    """Return naive's results, and the means of the absolute values."""
    arrays = case.arrays(np.random.default_rng(0), dtype)
    sizes = [np.abs(array) for array in arrays]
    return avg_results(case, arrays, divisor, "naive"), avg_results(case, sizes, divisor, "naive")


@max_cases
def test_max_pool_agrees_with_naive(fast_backend, dtype, case, rng):
    y, indices, dx = max_results(case, case.arrays(rng, dtype), fast_backend)
    (expected_y, expected_indices, expected_dx), magnitude = naive_max(case, dtype)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(indices, expected_indices)
    assert_close(dx, expected_dx, case.windows.KH * case.windows.KW, magnitude)


@avg_cases
@divisors
def test_avg_pool_agrees_with_naive(fast_backend, dtype, case, divisor, rng):
    actual = avg_results(case, case.arrays(rng, dtype), divisor, fast_backend)
    for a, expected, magnitude in zip(actual, *naive_avg(case, divisor, dtype), strict=True):
        assert_close(a, expected, case.windows.KH * case.windows.KW, magnitude)


@pytest.mark.parametrize("case", [c for c in POOL_CASES if c.values == "distinct"], ids=lambda case: case.reason)
def test_max_pool_gradient_is_a_central_difference(backend, case, rng):
    x, dy = case.arrays(rng, np.float64)
    _, _, dx = max_results(case, (x, dy), backend)
    direction = rng.standard_normal(x.shape)

    def loss(v):
        return float(
            (of(F, "max_pool{}d", case)(v, **case.options, dilation=case.dilation, backend=backend) * dy).sum()
        )

    # Values are 1/8 apart: with this step the maxima stay the same, so the loss is linear.
    slope = central_difference(loss, x, direction, step=0.005)
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "case", [c for c in POOL_CASES if c.values == "distinct" and c.dilation == 1], ids=lambda case: case.reason
)
@divisors
def test_avg_pool_gradient_is_a_central_difference(backend, case, divisor, rng):
    x, dy = case.arrays(rng, np.float64)
    _, dx = avg_results(case, (x, dy), divisor, backend)
    direction = rng.standard_normal(x.shape)

    def loss(v):
        y, _ = avg_results(case, (v, dy), divisor, backend)
        return float((y * dy).sum())

    slope = central_difference(loss, x, direction, step=1.0)  # linear: exact up to rounding
    assert slope == pytest.approx((dx * direction).sum(), rel=1e-10, abs=1e-9)


@pytest.mark.parametrize(
    "pooling", [max_results, functools.partial(avg_results, divisor=(False, None))], ids=["max", "avg"]
)
def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, pooling, rng):
    arrays = padded_case.arrays(rng, np.float32)
    expected = pooling(padded_case, arrays, backend=backend)
    reordered = [memory_order(array) for array in arrays]
    before = [array.tobytes() for array in reordered]
    for actual, wanted in zip(pooling(padded_case, reordered, backend=backend), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert [array.tobytes() for array in reordered] == before


def test_indices_of_any_integer_type_and_memory_order(backend, rng):
    x, dy = padded_case.arrays(rng, np.float64)
    _, indices, dx = max_results(padded_case, (x, dy), backend)
    for other in (indices.astype(np.int32), indices.astype(np.uint8), np.asfortranarray(indices)):
        found = F.max_pool2d_backward(dy, other, x.shape, **padded_case.options, backend=backend)
        np.testing.assert_array_equal(found, dx)


def test_a_winner_outside_its_window_is_refused(backend):
    dy, indices = np.ones((1, 1, 2, 2)), np.array([[[[0, 2], [8, 11]]]])
    np.testing.assert_array_equal(
        F.max_pool2d_backward(dy, indices, (1, 1, 4, 4), 2, backend=backend).nonzero()[3], [0, 2, 0, 3]
    )
    for wrong, at in ((2, 0), (1, 1), (4, 2)):
        moved = indices.copy()
        moved.reshape(-1)[at] = wrong
        sentence = (
            f"`indices` holds {wrong} at (0, 0, {at // 2}, {at % 2}), but that pixel is not in the output's window."
        )
        with pytest.raises(ValueError, match=re.escape(sentence)):
            F.max_pool2d_backward(dy, moved, (1, 1, 4, 4), 2, backend=backend)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            F.adaptive_max_pool2d_backward(dy, moved, (1, 1, 4, 4), backend=backend)
    between = np.array([[[[1]]]])  # between the pixels 0 and 2 of a dilated window
    with pytest.raises(ValueError, match="but that pixel is not in the output's window"):
        F.max_pool2d_backward(np.ones((1, 1, 1, 1)), between, (1, 1, 1, 3), (1, 2), dilation=2, backend=backend)
