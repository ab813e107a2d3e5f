"""Transposed convolution: literals computed by hand -> naive -> central differences -> the other backends."""

import functools
import math

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import CONV_CASES, CONV_TRANSPOSE_CASES, assert_close, central_difference
from tests.nd import of

cases = pytest.mark.parametrize("case", CONV_TRANSPOSE_CASES, ids=lambda case: case.reason)
few_cases = pytest.mark.parametrize(
    "case",
    [case for case in CONV_TRANSPOSE_CASES if case.reason in ("all together", "one pixel to a kernel")],
    ids=lambda case: case.reason,
)

IMAGE = np.array([[1, 2], [3, 4]], float)[None, None]
FILTER = np.array([[1, 10], [100, 1000]], float)[None, None]


@pytest.mark.parametrize(
    ("options", "y"),
    [
        # 1 * FILTER at (0, 0), 2 * FILTER one to the right, 3 * FILTER one down, 4 * FILTER at (1, 1)
        pytest.param({}, [[1, 12, 20], [103, 1234, 2040], [300, 3400, 4000]], id="filters overlap and add"),
        pytest.param(
            {"stride": 2},
            [[1, 10, 2, 20], [100, 1000, 200, 2000], [3, 30, 4, 40], [300, 3000, 400, 4000]],
            id="stride: no overlap",
        ),
        pytest.param({"stride": (1, 2)}, [[1, 10, 2, 20], [103, 1030, 204, 2040], [300, 3000, 400, 4000]],
                     id="different strides"),
        pytest.param({"stride": 2, "padding": 1}, [[1000, 200], [30, 4]], id="padding cuts all four sides"),
        pytest.param({"padding": (1, 0)}, [[103, 1234, 2040]], id="padding of one axis"),
        pytest.param(
            {"stride": 2, "padding": 1, "output_padding": (0, 1)}, [[1000, 200, 2000], [30, 4, 40]],
            id="output padding gives back what padding cut off",
        ),
        pytest.param(
            {"stride": 2, "output_padding": (1, 0)},
            [[1, 10, 2, 20], [100, 1000, 200, 2000], [3, 30, 4, 40], [300, 3000, 400, 4000], [0, 0, 0, 0]],
            id="output padding that no tap reaches",
        ),
        pytest.param(
            {"stride": 3},
            [[1, 10, 0, 2, 20], [100, 1000, 0, 200, 2000], [0] * 5, [3, 30, 0, 4, 40], [300, 3000, 0, 400, 4000]],
            id="stride wider than the kernel",
        ),
        pytest.param({"dilation": 2}, [[1, 2, 10, 20], [3, 4, 30, 40], [100, 200, 1000, 2000], [300, 400, 3000, 4000]],
                     id="dilation: taps two apart"),
    ],
)  # fmt: skip
def test_forward_by_hand(backend, dtype, options, y):
    actual = F.conv_transpose2d(IMAGE.astype(dtype), FILTER.astype(dtype), **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], y)


def test_channels_bias_and_images_by_hand(backend, dtype):
    x = np.array([[[[2]], [[3]]], [[[-1]], [[1]]]], dtype)  # two images of one pixel, two channels
    weight = np.array([[[[1]], [[10]]], [[[100]], [[1000]]]], dtype)  # channel 0 to outputs 0 and 1; channel 1
    y = F.conv_transpose2d(x, weight, np.array([0.5, -0.5], dtype), backend=backend)
    np.testing.assert_array_equal(y[:, :, 0, 0], [[2 + 300 + 0.5, 20 + 3000 - 0.5], [-1 + 100 + 0.5, -10 + 1000 - 0.5]])


def test_bias_is_on_pixels_that_no_tap_reaches_and_once_on_the_others(backend, dtype):
    x, weight = np.array([[[[1, 2]]]], dtype), np.array([[[[10, 100]]]], dtype)
    y = F.conv_transpose2d(x, weight, np.array([0.5], dtype), stride=(2, 3), output_padding=(1, 1), backend=backend)
    np.testing.assert_array_equal(y[0, 0], [[10.5, 100.5, 0.5, 20.5, 200.5, 0.5], [0.5] * 6])


def test_groups_by_hand(backend, dtype):
    x = np.array([3, 5], dtype).reshape(1, 2, 1, 1)
    weight = np.array([1, 2, 10, 20], dtype).reshape(2, 2, 1, 1)
    y = F.conv_transpose2d(x, weight, groups=2, backend=backend)
    np.testing.assert_array_equal(y[0, :, 0, 0], [3, 6, 50, 100])  # each channel gives two


def test_backward_by_hand(backend, dtype):
    dy = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype)[None, None]
    dx, dweight, dbias = F.conv_transpose2d_backward(dy, IMAGE.astype(dtype), FILTER.astype(dtype), backend=backend)
    # the filter slides over dy: 1 * 1 + 2 * 10 + 4 * 100 + 5 * 1000 = 5421, and so on
    np.testing.assert_array_equal(dx[0, 0], [[5421, 6532], [8754, 9865]])
    # the image slides over dy in the same way: 1 * 1 + 2 * 2 + 4 * 3 + 5 * 4 = 37
    np.testing.assert_array_equal(dweight[0, 0], [[37, 47], [67, 77]])
    np.testing.assert_array_equal(dbias, [45])
    assert dx.dtype == dweight.dtype == dbias.dtype == dtype


def test_backward_with_stride_padding_and_output_padding_by_hand(backend, dtype):
    dy = np.array([[1, 2, 3], [4, 5, 6]], dtype)[None, None]
    options = {"stride": 2, "padding": 1, "output_padding": (0, 1), "backend": backend}
    dx, dweight, dbias = F.conv_transpose2d_backward(dy, IMAGE.astype(dtype), FILTER.astype(dtype), **options)
    # in dy, pixel 1 meets 1 with tap 1000; 2: 2 with 100, 3 with 1000; 3: 4 with 10; 4: 5 with 1, 6 with 10
    np.testing.assert_array_equal(dx[0, 0], [[1000, 3200], [40, 65]])
    np.testing.assert_array_equal(dweight[0, 0], [[4 * 5, 3 * 4 + 4 * 6], [2 * 2, 1 * 1 + 2 * 3]])
    np.testing.assert_array_equal(dbias, [21])


def test_backward_of_groups_by_hand(backend, dtype):
    x = np.array([3, 5], dtype).reshape(1, 2, 1, 1)
    weight = np.array([1, 2, 10, 20], dtype).reshape(2, 2, 1, 1)
    dy = np.array([1, 1, 2, 3], dtype).reshape(1, 4, 1, 1)
    dx, dweight, dbias = F.conv_transpose2d_backward(dy, x, weight, groups=2, backend=backend)
    np.testing.assert_array_equal(dx[0, :, 0, 0], [1 + 2, 20 + 60])
    np.testing.assert_array_equal(dweight[:, :, 0, 0], [[3, 3], [10, 15]])
    np.testing.assert_array_equal(dbias, [1, 1, 2, 3])


def results(case, arrays, backend):
    """Return y, dx, dweight and dbias."""
    x, weight, bias, dy = arrays
    y = of(F, "conv_transpose{}d", case)(x, weight, bias, **case.options, backend=backend)
    return y, *of(F, "conv_transpose{}d_backward", case)(dy, x, weight, **case.options, backend=backend)


@functools.cache
def naive(case, dtype):
    """Return naive's results, and the sums of the absolute values of their terms."""
    arrays = case.arrays(np.random.default_rng(0), dtype)
    sizes = [None if array is None else np.abs(array) for array in arrays]
    return results(case, arrays, "naive"), results(case, sizes, "naive")


@cases
def test_gradients_are_central_differences(backend, case, rng):
    x, weight, bias, dy = case.arrays(rng, np.float64)
    bias = np.zeros(dy.shape[1]) if bias is None else bias
    gradients = of(F, "conv_transpose{}d_backward", case)(dy, x, weight, **case.options, backend=backend)

    def loss(x, weight, bias):
        return float((of(F, "conv_transpose{}d", case)(x, weight, bias, **case.options, backend=backend) * dy).sum())

    losses = lambda v: loss(v, weight, bias), lambda v: loss(x, v, bias), lambda v: loss(x, weight, v)
    for function, at, gradient in zip(losses, (x, weight, bias), gradients, strict=True):
        direction = rng.standard_normal(at.shape)
        # The loss is linear in each argument: a step of 1 is exact up to rounding.
        slope = central_difference(function, at, direction, step=1.0)
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-10, abs=1e-9)


@cases
def test_agrees_with_naive(fast_backend, dtype, case, rng):
    arrays = x, weight, _, dy = case.arrays(rng, dtype)
    channels, filters, *kernel = weight.shape
    taps = math.prod(kernel)
    lengths = channels // case.groups * taps, filters * taps, x.size // channels, dy.size // dy.shape[1]
    actual = results(case, arrays, fast_backend)
    for a, expected, magnitude, length in zip(actual, *naive(case, dtype), lengths, strict=True):
        assert_close(a, expected, length, magnitude)


@pytest.mark.parametrize(
    "case", [case for case in CONV_CASES if isinstance(case.padding, int)], ids=lambda case: case.reason
)
def test_is_the_input_gradient_of_the_convolution(backend, case, rng):
    x, weight, _, dy = case.arrays(rng, np.float64)
    w = case.windows
    unread = [
        (extent + 2 * case.padding - (taps - 1) * spread - 1) % stride
        for extent, taps, spread, stride in ((w.H, w.KH, w.DH, w.SH), (w.W, w.KW, w.DW, w.SW))[2 - x.ndim :]
    ]
    dx, _, _ = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, weight_grad=False, backend=backend)
    y = of(F, "conv_transpose{}d", case)(dy, weight, **case.options, output_padding=unread, backend=backend)
    assert_close(y, dx, weight.size, np.full(dx.shape, np.abs(dx).max()))


@few_cases
def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, case, rng):
    arrays = case.arrays(rng, np.float32)
    expected = results(case, arrays, backend)
    reordered = [memory_order(array) for array in arrays]
    before = [array.tobytes() for array in reordered]
    for actual, wanted in zip(results(case, reordered, backend), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert [array.tobytes() for array in reordered] == before


@few_cases
def test_only_what_was_asked(backend, case, rng):
    x, weight, _, dy = case.arrays(rng, np.float32)
    dx, dweight, dbias = of(F, "conv_transpose{}d_backward", case)(dy, x, weight, **case.options, backend=backend)
    only_x = of(F, "conv_transpose{}d_backward", case)(
        dy, x, weight, **case.options, weight_grad=False, backend=backend
    )
    only_weight = of(F, "conv_transpose{}d_backward", case)(
        dy, x, weight, **case.options, input_grad=False, backend=backend
    )
    assert only_x[1:] == (None, None)
    assert only_weight[0] is None
    for actual, expected in zip((only_x[0], *only_weight[1:]), (dx, dweight, dbias), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_infinities_make_nan_as_ieee_754_says_without_a_warning(backend, dtype):
    x = np.array([[[[np.inf, -np.inf, 1]]]], dtype)
    y = F.conv_transpose2d(x, np.ones((1, 1, 1, 2), dtype), backend=backend)
    np.testing.assert_array_equal(y[0, 0], [[np.inf, np.nan, -np.inf, 1]])
    y = F.conv_transpose2d(x, np.ones((1, 1, 1, 1), dtype), np.array([-np.inf], dtype), backend=backend)
    np.testing.assert_array_equal(y[0, 0], [[np.nan, -np.inf, -np.inf]])
    images = np.array([np.inf, -np.inf], dtype).reshape(2, 1, 1, 1)
    _, _, dbias = F.conv_transpose2d_backward(images, images, np.ones((1, 1, 1, 1), dtype), backend=backend)
    np.testing.assert_array_equal(dbias, [np.nan])
    dy = np.array([[[[np.inf, -np.inf, 1, 2]]]], dtype)
    ones = np.ones((1, 1, 1, 3), dtype)
    dx, dweight, dbias = F.conv_transpose2d_backward(dy, ones, np.ones((1, 1, 1, 2), dtype), backend=backend)
    np.testing.assert_array_equal(dx[0, 0], [[np.nan, -np.inf, 3]])
    np.testing.assert_array_equal(dweight[0, 0], [[np.nan, -np.inf]])
    np.testing.assert_array_equal(dbias, [np.nan])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_a_pixel_that_is_not_finite_spoils_its_taps_only(backend, dtype, value, rng):
    # only in image 17 of 20: other images in the same vector must stay finite
    x = rng.standard_normal((20, 2, 5, 5)).astype(dtype)
    weight = rng.standard_normal((2, 3, 3, 3)).astype(dtype)
    clean = F.conv_transpose2d(x, weight, stride=2, padding=1, backend=backend)
    x[17, 1, 0, 2] = value
    y = F.conv_transpose2d(x, weight, stride=2, padding=1, backend=backend)
    spoilt = np.zeros(y.shape, bool)
    spoilt[17, :, 0:2, 3:6] = True  # rows -1, 0, 1 and columns 3, 4, 5
    assert not np.isfinite(y[spoilt]).any()
    np.testing.assert_array_equal(y[~spoilt], clean[~spoilt])
    dx, dweight, dbias = F.conv_transpose2d_backward(np.ones_like(y), x, weight, stride=2, padding=1, backend=backend)
    assert np.isfinite(dx).all()
    assert np.isfinite(dbias).all()
    assert np.isfinite(dweight[0]).all()
    assert not np.isfinite(dweight[1, :, 1:]).any()  # taps of row 0 are cut off there
