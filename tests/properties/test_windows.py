"""Convolutions and poolings on random arrays: all backends compared with naive, with gradients."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcnn import functional as F
from fastcnn._geometry import index_type, pool_windows
from tests.properties.draws import (
    FAST,
    adaptive_cases,
    conv_cases,
    conv_transpose_cases,
    numbers,
    of_some_dtype,
    pool_cases,
)
from tests.properties.judge import Batch, assert_sums, bad, call, flushed, strong, weak


def terms(case, groups: int) -> tuple[int, int]:
    """Return the largest number of terms in a sum of the convolution, and of the gradient of its input."""
    taps = case.weight[2] * case.weight[3]
    return case.weight[1] * taps, case.weight[0] // groups * taps


@given(of_some_dtype(conv_cases), st.tuples(numbers(), numbers(), numbers(), numbers()))
def test_conv2d(drawn, four):
    dtype, case = drawn
    w = case.windows
    dy_shape = case.x[0], case.weight[0], w.OH, w.OW
    shapes = case.x, case.weight, dy_shape[1:2], dy_shape
    x, weight, bias, dy = arrays = [n.array(shape, dtype) for n, shape in zip(four, shapes, strict=True)]
    arrays[2] = bias = bias if case.bias else None

    def results(backend, x, weight, bias, dy):
        y = F.conv2d(x, weight, bias, **case.options, backend=backend)
        return [y, *F.conv2d_backward(dy, x, weight, **case.options, backend=backend)]

    forward, backward = terms(case, case.groups)
    pixels = dy.size // len(weight)
    free = None
    if not all(np.isfinite(a).all() for a in (x, weight, dy)):
        # places where non-finite numbers meet only padding or numbers that count as zero
        y, dx, _, _ = results("numpy", strong(x), bad(weight), None, strong(dy))
        _, _, dweight, _ = results("numpy", strong(x), bad(weight), None, bad(dy))
        weak_y, weak_dx, _, _ = results("numpy", bad(x), weak(weight), None, bad(dy))
        _, _, weak_dweight, _ = results("numpy", bad(x), weak(weight), None, weak(dy))
        by_group = bad(weight).reshape(case.groups, -1, *case.weight[1:]).sum((1, 3, 4)).reshape(1, -1, 1, 1)
        free = [
            (bad(weight).sum((1, 2, 3))[:, None, None] > y) | (weak_y > 0),
            (by_group > dx) | (weak_dx > 0),
            (bad(dy).sum((0, 2, 3))[:, None, None, None] > dweight) | (weak_dweight > 0),
            False,
        ]
    names = ["y", "dx", "dweight", "dbias"]
    assert_sums(names, results, arrays, four, [forward + 1, backward, pixels, pixels], free)


@given(of_some_dtype(conv_transpose_cases), st.tuples(numbers(), numbers(), numbers(), numbers()))
def test_conv_transpose2d(drawn, four):
    dtype, case = drawn
    w = case.windows
    dy_shape = case.x[0], case.weight[1] * case.groups, w.H, w.W
    shapes = case.x, case.weight, dy_shape[1:2], dy_shape
    x, weight, bias, dy = arrays = [n.array(shape, dtype) for n, shape in zip(four, shapes, strict=True)]
    arrays[2] = bias = bias if case.bias else None

    def results(backend, x, weight, bias, dy):
        y = F.conv_transpose2d(x, weight, bias, **case.options, backend=backend)
        return [y, *F.conv_transpose2d_backward(dy, x, weight, **case.options, backend=backend)]

    backward, forward = terms(case, case.groups)
    free = None
    if not all(np.isfinite(a).all() for a in (x, weight, dy)):
        y, dx, _, _ = results("numpy", strong(x), bad(weight), None, strong(dy))
        _, _, dweight, _ = results("numpy", bad(x), bad(weight), None, strong(dy))
        weak_y, weak_dx, _, _ = results("numpy", bad(x), weak(weight), None, bad(dy))
        _, _, weak_dweight, _ = results("numpy", weak(x), weak(weight), None, bad(dy))
        by_group = bad(weight).reshape(case.groups, -1, *case.weight[1:]).sum((1, 3, 4)).reshape(1, -1, 1, 1)
        free = [
            (by_group > y) | (weak_y > 0),
            (bad(weight).sum((1, 2, 3))[:, None, None] > dx) | (weak_dx > 0),
            (bad(x).sum((0, 2, 3))[:, None, None, None] > dweight) | (weak_dweight > 0),
            False,
        ]
    pixels, outputs = x.size // len(weight), dy.size // dy.shape[1]
    names = ["y", "dx", "dweight", "dbias"]
    assert_sums(names, results, arrays, four, [forward + 1, backward, pixels, outputs], free)


@given(of_some_dtype(conv_cases), st.booleans(), st.tuples(*[numbers()] * 4), st.data())
def test_conv2d_relu_and_conv2d_max_pool2d_are_their_parts_bit_for_bit(drawn, relu, four, data):
    dtype, case = drawn
    w = case.windows
    x, weight, bias = (
        n.array(shape, dtype) for n, shape in zip(four, (case.x, case.weight, case.weight[:1]), strict=False)
    )
    divisors = [[k for k in (1, 2, 3) if extent % k == 0] for extent in (w.OH, w.OW)]
    pool = pool_windows((w.OH, w.OW), tuple(data.draw(st.sampled_from(d), "window") for d in divisors))
    dy = four[3].array((case.x[0], case.weight[0], pool.OH, pool.OW), dtype)
    for backend in FAST:
        (y,) = call(backend, "conv2d", Batch(x), weight, bias, w, case.groups)
        (rectified,) = call(backend, "relu", Batch(y))
        (fused,) = call(backend, "conv2d_relu", Batch(x), weight, bias, w, case.groups)
        # if all taps are outside the image, the bias alone may be a denormal number; see fastcnn.nn.fusion
        counted = flushed if backend == "numba" else np.asarray
        np.testing.assert_array_equal(counted(fused), counted(rectified))
        if (w.top or w.left or w.bottom or w.right) and not np.isfinite(weight).all():
            continue  # non-finite numbers times padding may be NaN
        (y,) = call(backend, "conv2d", Batch(x), weight, bias := counted(bias), w, case.groups)
        (rectified,) = call(backend, "relu", Batch(y))
        before = rectified if relu else y
        pooled, indices = call(backend, "max_pool2d", Batch(before), pool)
        _fused_pool(backend, case, x, weight, bias, pool, relu, dy, before, pooled, indices)


def _fused_pool(backend, case, x, weight, bias, pool, relu, dy, before, pooled, indices):
    from fastcnn import backends

    package, w = backends.load(backend), case.windows
    native = package.pack(x)
    with np.errstate(over="ignore", under="ignore"):
        y, winners = package.conv2d_max_pool2d(native, weight, bias, w, case.groups, pool, relu)
        np.testing.assert_array_equal(package.unpack(y), pooled)
        arguments = package.pack(dy), winners, native, weight, w, case.groups, pool, True, True
        dx, *gradients = package.conv2d_max_pool2d_backward(*arguments)
    (through,) = call(backend, "max_pool2d_backward", Batch(dy), of_type(indices, dy), before.shape, pool)
    if relu:
        (through,) = call(backend, "relu_backward", Batch(through), Batch(before))
    expected = call(backend, "conv2d_backward", Batch(through), Batch(x), weight, w, case.groups, True, True)
    for one, other in zip((package.unpack(dx), *gradients), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def of_type(indices, dy) -> Batch:
    """Convert indices to the integer type of the backends, which is as wide as the gradients."""
    return Batch(indices.astype(index_type(dy.dtype)))


@given(of_some_dtype(pool_cases), numbers(), numbers())
def test_max_pool2d(drawn, x_numbers, dy_numbers):
    dtype, case = drawn
    x = x_numbers.array(case.x, dtype)
    options = {**case.options, "dilation": case.dilation}
    y, indices = F.max_pool2d(x, **options, return_indices=True, backend="naive")
    for backend in FAST:
        found = F.max_pool2d(x_numbers.laid_out(x), **options, return_indices=True, backend=backend)
        np.testing.assert_array_equal(found[0], y)  # including NaN
        np.testing.assert_array_equal(found[1], indices)

    def results(backend, dy):
        return [
            F.max_pool2d_backward(dy, indices, x.shape, backend=backend),
            F.max_pool2d_backward(dy, indices, x.shape, **options, backend=backend),
        ]

    taps = case.windows.KH * case.windows.KW
    assert_sums(["dx", "dx of windows"], results, [dy_numbers.array(y.shape, dtype)], [dy_numbers], [taps, taps])


@given(of_some_dtype(pool_cases), st.booleans(), st.sampled_from([None, None, 1, 3, 7, -2]), numbers(), numbers())
def test_avg_pool2d(drawn, count_include_pad, divisor, x_numbers, dy_numbers):
    dtype, case = drawn
    case = case._replace(dilation=1)
    try:
        w = case.windows
    except ValueError:
        return
    options = {**case.options, "count_include_pad": count_include_pad}
    shape = case.x[0], case.x[1], w.OH, w.OW

    def results(divisor):
        def both(backend, x, dy):
            known = {**options, "divisor_override": divisor, "backend": backend}
            return [F.avg_pool2d(x, **known), F.avg_pool2d_backward(dy, case.x, **known)]

        return both

    arrays = [x_numbers.array(case.x, dtype), dy_numbers.array(shape, dtype)]
    assert_means(results, divisor, arrays, [x_numbers, dy_numbers], w.KH * w.KW)


def assert_means(results, divisor, arrays, drawn, taps):
    """Like `assert_sums`, for means with a divisor that may be negative or larger than the number of terms."""

    def signed(backend, *arrays):
        sign = 1 if divisor is None or divisor > 0 else -1
        return [sign * array for array in results(divisor)(backend, *arrays)]

    assert_sums(["y", "dx"], signed, arrays, drawn, [taps + 1, taps + 1], spread=max(taps, abs(divisor or 1)))


@given(of_some_dtype(adaptive_cases), numbers(), numbers())
def test_adaptive_max_pool2d(drawn, x_numbers, dy_numbers):
    dtype, case = drawn
    x = x_numbers.array(case.x, dtype)
    y, indices = F.adaptive_max_pool2d(x, case.output_size, return_indices=True, backend="naive")
    for backend in FAST:
        laid_out = x_numbers.laid_out(x)
        found = F.adaptive_max_pool2d(laid_out, case.output_size, return_indices=True, backend=backend)
        np.testing.assert_array_equal(found[0], y)
        np.testing.assert_array_equal(found[1], indices)

    def results(backend, dy):
        return [F.adaptive_max_pool2d_backward(dy, indices, x.shape, backend=backend)]

    many = y.shape[2] * y.shape[3]
    assert_sums(["dx"], results, [dy_numbers.array(y.shape, dtype)], [dy_numbers], [many])


@given(of_some_dtype(adaptive_cases), numbers(), numbers())
def test_adaptive_avg_pool2d(drawn, x_numbers, dy_numbers):
    dtype, case = drawn
    rows, columns = case.windows.rows, case.windows.columns

    def results(_):
        def both(backend, x, dy):
            y = F.adaptive_avg_pool2d(x, case.output_size, backend=backend)
            return [y, F.adaptive_avg_pool2d_backward(dy, case.x, backend=backend)]

        return both

    arrays = [x_numbers.array(case.x, dtype), dy_numbers.array((*case.x[:2], len(rows), len(columns)), dtype)]
    taps = max(case.x[2] * case.x[3], len(rows) * len(columns))
    assert_means(results, None, arrays, [x_numbers, dy_numbers], taps)
