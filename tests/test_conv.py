"""Convolution: literals computed by hand -> naive -> central differences -> the other backends."""

import functools
import math

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import CONV_CASES, assert_close, central_difference
from tests.nd import of

cases = pytest.mark.parametrize("case", CONV_CASES, ids=lambda case: case.reason)
few_cases = pytest.mark.parametrize(
    "case",
    [
        case
        for case in CONV_CASES
        if case.reason in ("four different sides with stride", "groups with dilation and stride")
    ],
    ids=lambda case: case.reason,
)

IMAGE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], float)[None, None]
FILTER = np.array([[1, 2], [3, 4]], float)[None, None]


@pytest.mark.parametrize(
    ("options", "y"),
    [
        # 1*1 + 2*2 + 4*3 + 5*4 = 37, and so on
        pytest.param({}, [[37, 47], [67, 77]], id="filters are not flipped"),
        # windows at the corners; taps on the padding give 0: 1*4, 2*3 + 3*4, 4*2 + 7*4, and all of 5 6 8 9
        pytest.param({"stride": 2, "padding": 1}, [[4, 18], [36, 77]], id="stride and padding"),
        # one column of padding on the left, one row at the bottom
        pytest.param(
            {"padding": (0, 1, 1, 0)},
            [[1 * 2 + 4 * 4, 37, 47], [4 * 2 + 7 * 4, 67, 77], [7 * 2, 7 * 1 + 8 * 2, 8 * 1 + 9 * 2]],
            id="two of four sides",
        ),
        # a row at the bottom and a column at the right
        pytest.param(
            {"padding": "same"},
            [[37, 47, 3 * 1 + 6 * 3], [67, 77, 6 * 1 + 9 * 3], [7 * 1 + 8 * 2, 8 * 1 + 9 * 2, 9]],
            id="same, even kernel",
        ),
        # the four corners: 1*1 + 3*2 + 7*3 + 9*4
        pytest.param({"dilation": 2}, [[64]], id="dilation"),
        # taps two apart on the padded image; with stride 3, one tap of every window is inside: 5*4, 5*3, 5*2, 5*1
        pytest.param({"dilation": 2, "padding": 1, "stride": 2}, [[5 * 4, 5 * 3], [5 * 2, 5 * 1]], id="all together"),
    ],
)
def test_forward_by_hand(backend, dtype, options, y):
    actual = F.conv2d(IMAGE.astype(dtype), FILTER.astype(dtype), **options, backend=backend)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual[0, 0], y)


def test_channels_filters_bias_and_images_by_hand(backend, dtype):
    x = np.array([[[[2]], [[3]]], [[[-1]], [[1]]]], dtype)  # two images of one pixel, two channels
    weight = np.array([[[[1]], [[10]]], [[[100]], [[1000]]]], dtype)
    y = F.conv2d(x, weight, np.array([0.5, -0.5], dtype), backend=backend)
    np.testing.assert_array_equal(y[:, :, 0, 0], [[2 + 30 + 0.5, 200 + 3000 - 0.5], [-1 + 10 + 0.5, -100 + 1000 - 0.5]])


def test_groups_by_hand(backend, dtype):
    x = np.array([3, 5], dtype).reshape(1, 2, 1, 1)
    weight = np.array([1, 2, 10, 20], dtype).reshape(4, 1, 1, 1)
    y = F.conv2d(x, weight, groups=2, backend=backend)
    np.testing.assert_array_equal(y[0, :, 0, 0], [3, 6, 50, 100])  # two filters see channel 0, two see channel 1


def test_backward_by_hand(backend, dtype):
    dy = np.array([[[[1, 2], [3, 4]]]], dtype)
    dx, dweight, dbias = F.conv2d_backward(dy, IMAGE.astype(dtype), FILTER.astype(dtype), backend=backend)
    # all four windows read the middle pixel, each with another tap: 1*4 + 2*3 + 3*2 + 4*1 = 20
    np.testing.assert_array_equal(dx[0, 0], [[1, 4, 4], [6, 20, 16], [9, 24, 16]])
    np.testing.assert_array_equal(dweight[0, 0], [[37, 47], [67, 77]])  # dy slides over the image like FILTER
    np.testing.assert_array_equal(dbias, [10])
    assert dx.dtype == dweight.dtype == dbias.dtype == dtype


def test_backward_with_stride_and_padding_by_hand(backend, dtype):
    dy = np.array([[[[1, 10], [100, 1000]]]], dtype)
    dx, dweight, dbias = F.conv2d_backward(
        dy, IMAGE.astype(dtype), FILTER.astype(dtype), stride=2, padding=1, backend=backend
    )
    # each pixel is read once: pixel 1 by tap 4, 2 and 3 by taps 3 and 4, 4 and 7 by taps 2 and 4, the others by all
    np.testing.assert_array_equal(dx[0, 0], [[4, 30, 40], [200, 1000, 2000], [400, 3000, 4000]])
    np.testing.assert_array_equal(dweight[0, 0], [[5000, 6000 + 400], [8000 + 20, 9000 + 700 + 30 + 1]])
    np.testing.assert_array_equal(dbias, [1111])


def test_backward_of_groups_by_hand(backend, dtype):
    x = np.array([3, 5], dtype).reshape(1, 2, 1, 1)
    weight = np.array([1, 2, 10, 20], dtype).reshape(4, 1, 1, 1)
    dy = np.array([1, 1, 2, 3], dtype).reshape(1, 4, 1, 1)
    dx, dweight, dbias = F.conv2d_backward(dy, x, weight, groups=2, backend=backend)
    np.testing.assert_array_equal(dx[0, :, 0, 0], [1 + 2, 20 + 60])
    np.testing.assert_array_equal(dweight[:, 0, 0, 0], [3, 3, 10, 15])
    np.testing.assert_array_equal(dbias, [1, 1, 2, 3])


def results(case, arrays, backend):
    """Return y, dx, dweight and dbias."""
    x, weight, bias, dy = arrays
    y = of(F, "conv{}d", case)(x, weight, bias, **case.options, backend=backend)
    return y, *of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, backend=backend)


@functools.cache
def naive(case, dtype):
    """Return naive's results, and the sums of the absolute values of their terms."""
    arrays = case.arrays(np.random.default_rng(0), dtype)
    sizes = [None if array is None else np.abs(array) for array in arrays]
    return results(case, arrays, "naive"), results(case, sizes, "naive")


@cases
def test_gradients_are_central_differences(backend, case, rng):
    x, weight, bias, dy = case.arrays(rng, np.float64)
    bias = np.zeros(len(weight)) if bias is None else bias
    gradients = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, backend=backend)

    def loss(x, weight, bias):
        return float((of(F, "conv{}d", case)(x, weight, bias, **case.options, backend=backend) * dy).sum())

    losses = lambda v: loss(v, weight, bias), lambda v: loss(x, v, bias), lambda v: loss(x, weight, v)
    for function, at, gradient in zip(losses, (x, weight, bias), gradients, strict=True):
        direction = rng.standard_normal(at.shape)
        # The loss is linear in each argument: a step of 1 is exact up to rounding.
        slope = central_difference(function, at, direction, step=1.0)
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-10, abs=1e-9)


@cases
def test_agrees_with_naive(fast_backend, dtype, case, rng):
    arrays = case.arrays(rng, dtype)
    filters, channels, *kernel = case.weight
    taps = math.prod(kernel)
    pixels = arrays[-1].size // filters
    lengths = channels * taps, filters // case.groups * taps, pixels, pixels
    actual = results(case, arrays, fast_backend)
    for a, expected, magnitude, length in zip(actual, *naive(case, dtype), lengths, strict=True):
        assert_close(a, expected, length, magnitude)


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
    dx, dweight, dbias = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, backend=backend)
    only_x = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, weight_grad=False, backend=backend)
    only_weight = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, input_grad=False, backend=backend)
    assert only_x[1:] == (None, None)
    assert only_weight[0] is None
    for actual, expected in zip((only_x[0], *only_weight[1:]), (dx, dweight, dbias), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_infinities_make_nan_as_ieee_754_says_without_a_warning(backend, dtype):
    x = np.array([[[[np.inf, -np.inf, 1, 2]]]], dtype)
    y = F.conv2d(x, np.ones((1, 1, 1, 2), dtype), backend=backend)
    np.testing.assert_array_equal(y[0, 0], [[np.nan, -np.inf, 3]])
    y = F.conv2d(x, np.array([[[[1, 0]]]], dtype), backend=backend)
    np.testing.assert_array_equal(y[0, 0], [[np.nan, -np.inf, 1]])  # -inf * 0
    dx, dweight, _ = F.conv2d_backward(np.ones((1, 1, 1, 3), dtype), x, np.ones((1, 1, 1, 2), dtype), backend=backend)
    np.testing.assert_array_equal(dx[0, 0], [[1, 2, 2, 1]])
    np.testing.assert_array_equal(dweight[0, 0], [[np.nan, -np.inf]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_a_pixel_that_is_not_finite_spoils_its_windows_only(backend, dtype, value, rng):
    # only in image 17 of 20: other images in the same vector must stay finite
    x = rng.standard_normal((20, 2, 6, 6)).astype(dtype)
    weight = rng.standard_normal((3, 2, 3, 3)).astype(dtype)
    clean = F.conv2d(x, weight, padding=1, backend=backend)
    x[17, 1, 0, 2] = value
    y = F.conv2d(x, weight, padding=1, backend=backend)
    spoilt = np.zeros(y.shape, bool)
    spoilt[17, :, 0:2, 1:4] = True
    assert not np.isfinite(y[spoilt]).any()
    np.testing.assert_array_equal(y[~spoilt], clean[~spoilt])
    dx, dweight, dbias = F.conv2d_backward(np.ones_like(y), x, weight, padding=1, backend=backend)
    assert np.isfinite(dx).all()
    assert np.isfinite(dbias).all()
    assert not np.isfinite(dweight[:, 1, :2]).any()  # taps of rows 0 and 1 read it; tap row 2 never does
    assert np.isfinite(dweight[:, 0]).all()


def test_gradients_of_a_batch_of_many_blocks(fast_backend, rng):
    # so many that numba sums several blocks of images, and several tiles of filters, in one task
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((500, 4, 5, 5), (64, 4, 3, 3)))
    dy = rng.standard_normal((500, 64, 3, 3)).astype(np.float32)
    found = F.conv2d_backward(dy, x, weight, backend=fast_backend)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (2, 3))
    np.testing.assert_allclose(found[1], np.einsum("nohw,nchwij->ocij", dy, windows, optimize=True), atol=2e-3)
    np.testing.assert_allclose(found[2], dy.sum((0, 2, 3), dtype=np.float64), atol=1e-3)


def test_groups_of_a_batch_of_many_blocks(fast_backend, rng):
    # numba takes tiles of several blocks here, as the images are small
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((64, 4, 2, 2), (6, 2, 3, 3)))
    bias = rng.standard_normal(6).astype(np.float32)
    y = F.conv2d(x, weight, bias, padding=1, groups=2, backend=fast_backend)
    expected = F.conv2d(x[::21], weight, bias, padding=1, groups=2, backend="naive")
    np.testing.assert_allclose(y[::21], expected, atol=1e-5)
