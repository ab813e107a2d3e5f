"""Batch normalization on random arrays: all backends compared with naive."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.draws import FAST, batches, dtypes, numbers
from tests.properties.judge import Batch, assert_right, bad, call, gamma, size, weak, wide


@st.composite
def normalized(draw):
    dtype = draw(dtypes)
    N = draw(batches(dtype))
    return dtype, draw(st.sampled_from([(N, 3), (N, 2, 2, 3), (N, 1, 1, 1)]))


def beside(x, channels):
    return channels.reshape(-1, *(1,) * (x.ndim - 2))


def per_channel(x):
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)  # (C, all values of a channel)


@given(normalized(), numbers())
def test_batch_moments(drawn, some):
    dtype, shape = drawn
    x = some.array(shape, dtype)
    mean, var = call("naive", "batch_moments", Batch(wide(x)))
    values, n = per_channel(x), x.size // x.shape[1]
    average = size(values).mean(1)
    mean_error = gamma(dtype, n + 4) * average + n * float(np.finfo(dtype).tiny)
    # sum of squared deviations from a mean that is off by `mean_error`
    with np.errstate(invalid="ignore", over="ignore"):
        square = np.nan_to_num(size(var) + mean_error**2)
        root = np.sqrt(size(var)) * mean_error
    var_error = gamma(dtype, n + 8) * square + 4 * (mean_error**2 + root * gamma(dtype, n + 8))
    var_error += 1e-15 * n * average**2 * (dtype == np.float64) + 4 * n * float(np.finfo(dtype).tiny) * (1 + average)
    # sums, and squares of up to twice the largest number, may overflow in the dtype of the numbers
    with np.errstate(over="ignore"):
        largest = np.maximum(size(values).sum(1), (2 * size(values)).max(1) ** 2 * n)
    too_large = ~(largest * 1.001 < np.finfo(dtype).max)
    for backend in FAST:
        found_mean, found_var = call(backend, "batch_moments", Batch(some.laid_out(x)))
        # results are float64, but may be infinite because of the dtype of the numbers
        for name, found, exact, error in (
            ("mean", found_mean, mean, mean_error),
            ("variance", found_var, var, var_error),
        ):
            kept = ~(too_large & ~np.isfinite(found))
            assert_right(f"{backend} {name}", found[kept], exact[kept], error[kept])


@given(normalized(), st.tuples(numbers(), numbers()), numbers(-3, 3, odd=False), st.booleans(), st.booleans())
def test_batch_norm(drawn, two, small, affine, training):
    dtype, shape = drawn
    C, tiny = shape[1], float(np.finfo(dtype).tiny)
    x, dy = (n.array(shape, dtype) for n in two)
    # realistic means; an inverse standard deviation is limited by eps
    rng = np.random.default_rng(small.seed)
    picked = np.nan_to_num(per_channel(x)[:, 0], nan=0.0, posinf=1.0, neginf=1.0)
    mean, invstd = picked, np.abs(small.array((C,), dtype)) + dtype(1e-3)
    weight, bias = (rng.standard_normal((2, C)).astype(dtype)) if affine else (None, None)
    wide_ones = [wide(a) for a in (mean, invstd, weight, bias)]
    (y,) = call("naive", "batch_norm", Batch(wide(x)), *wide_ones)
    scale = size(invstd) * (1 if weight is None else size(weight))
    spread = beside(x, scale) * (size(x) + size(beside(x, mean)))
    level = 0 if bias is None else beside(x, size(bias))
    lost = 4 * tiny * (1 + beside(x, scale)) + 2 * tiny * (size(x) + size(beside(x, mean)))
    n = x.size // C
    if n == 1:
        training = False
    arguments = mean, invstd, weight, training, True, True
    wide_dy, wide_x = Batch(wide(dy)), Batch(wide(x))
    gradients = call("naive", "batch_norm_backward", wide_dy, wide_x, *wide_ones[:3], training, True, True)
    deviations = (size(x) + size(beside(x, mean))) * size(beside(x, invstd))
    sums = per_channel(size(dy)).sum(1), per_channel(size(dy) * deviations).sum(1)
    raw = per_channel(size(dy) * (size(x) + size(beside(x, mean)))).sum(1)
    through = size(dy)
    if training:
        through = through + beside(x, sums[0]) / n + deviations * beside(x, sums[1]) / n
    # in the dtype of the numbers, these may overflow or underflow before they are scaled
    steep = sums[1] * size(invstd) * np.maximum(scale, 1) * np.maximum(size(invstd), 1) + raw
    largest = beside(x, np.maximum(raw, steep)) + through * np.maximum(beside(x, scale), 1)
    largest = largest + (deviations * beside(x, steep) if training else 0)
    g = gamma(dtype, n + 12)
    vanished = 8 * n * tiny * (1 + scale) * (1 + size(invstd) ** 2)
    vanished_x = beside(x, vanished) * (1 + deviations + size(x) + size(beside(x, mean)))
    per = [g * sums[1] + vanished * (1 + per_channel(size(dy) + deviations + size(x)).max(1)), g * sums[0] + vanished]
    errors = [g * through * beside(x, scale) * 2 + vanished_x, *per]
    spoiled = beside(x, bad(per_channel(x)).max(1) + bad(per_channel(dy)).max(1)) * np.ones(shape) > 0
    some_weak = beside(x, weak(per_channel(x)).max(1) + weak(per_channel(dy)).max(1)) * np.ones(shape) > 0
    for backend in FAST:
        (found,) = call(backend, "batch_norm", Batch(two[0].laid_out(x)), mean, invstd, weight, bias)
        assert_right(f"{backend} y", found, y, gamma(dtype, 6) * (spread + level) + lost, np.maximum(spread, spread / (
            beside(x, scale) + tiny)))  # fmt: skip
        found = call(backend, "batch_norm_backward", Batch(two[1].laid_out(dy)), Batch(x), *arguments)
        limits = [largest, per_channel(largest).max(1), per_channel(largest).max(1)]
        free = [spoiled & (training | some_weak), per_channel(spoiled & some_weak).any(1), False]
        for name, one, exact, error, limit, where in zip(
            ("dx", "dweight", "dbias"), found, gradients, errors, limits, free, strict=True
        ):
            assert_right(f"{backend} {name}", one, exact, error, limit, where)
        wanted = training, True, True
        with_relu = call(backend, "batch_norm_relu_backward", Batch(dy), Batch(x), *arguments[:3], bias, *wanted)
        (y_relu,) = call(backend, "batch_norm_relu", Batch(x), mean, invstd, weight, bias)
        one_by_one = call(
            backend, "relu", *map(Batch, call(backend, "batch_norm", Batch(x), mean, invstd, weight, bias))
        )
        through = call(backend, "relu_backward", Batch(dy), Batch(y_relu))
        one_by_one += call(backend, "batch_norm_backward", *map(Batch, through), Batch(x), *arguments)
        for one, other in zip((y_relu, *with_relu), one_by_one, strict=True):
            np.testing.assert_array_equal(one, other)


@given(
    dtypes,
    st.integers(0, 2**32 - 1),
    st.none() | st.floats(-2, 2),
    st.integers(0, 1000),
    st.integers(2, 10**6),
    st.floats(1e-6, 1),
)
def test_what_is_made_of_moments(dtype, seed, momentum, batches, count, eps):
    rng = np.random.default_rng(seed)
    running, (mean, var) = np.abs(rng.standard_normal((2, 70))).astype(dtype), np.abs(rng.standard_normal((2, 70)))
    found = []
    for backend in ("naive", *FAST):
        moved, counted = running.copy(), np.array(batches)
        call(backend, "track_moments", *moved, counted, mean, var, count, momentum)
        assert counted == batches + 1
        statistics = call(backend, "norm_statistics", mean, var, eps, dtype)
        assert all(array.dtype == dtype for array in statistics)
        found.append([*moved, *statistics])
    units = 4 * np.finfo(dtype).eps
    for other in found[1:]:
        for one, exact, largest in zip(other, found[0], (6, 12, 1, 1), strict=True):
            np.testing.assert_allclose(one, exact, rtol=units, atol=units * largest)
