"""A convolution, ReLU and max-pooling fused into one operation give the same results as the three one by one."""

import numpy as np
import pytest

from fastcnn import backends
from fastcnn._geometry import conv_windows, pool_windows
from fastcnn.testing import assert_close
from fastcnn.testing.operations import FUSED


def package(name, arrays):
    """Return a backend and the arrays packed for it."""
    loaded = backends.load(name)
    return loaded, [loaded.pack(array) for array in arrays]


def one_by_one(case, pool, relu, x, weight, bias, dy):
    """Compute with naive, one by one: the output, the gradient of the convolution's output, and the gradients."""
    naive, (native, gradient) = package("naive", (x, dy))
    before = naive.conv2d(native, weight, bias, case.windows, case.groups)
    rectified = naive.relu(before) if relu else before
    y, indices = naive.max_pool2d(rectified, pool)
    through = naive.max_pool2d_backward(gradient, indices, before.shape, pool)
    through = naive.relu_backward(through, rectified) if relu else through
    return y, through, naive.conv2d_backward(through, native, weight, case.windows, case.groups, True, True)


@pytest.mark.parametrize("other_relu", [False, True], ids=["as in the table", "the other way"])
@pytest.mark.parametrize(("case", "size", "stride", "relu"), FUSED, ids=[row[0].reason for row in FUSED])
def test_they_are_the_three_one_by_one(backend, case, size, stride, relu, other_relu, rng):
    w, relu = case.windows, relu != other_relu
    pool = pool_windows((w.OH, w.OW), size, stride)
    x, weight, bias, _ = case.arrays(rng, np.float32)
    x, weight = (array if array.ndim == 4 else array[:, :, None] for array in (x, weight))  # signals get one row
    dy = rng.standard_normal((len(x), len(weight), pool.OH, pool.OW)).astype(np.float32)
    expected, through, gradients = one_by_one(case, pool, relu, x, weight, bias, dy)
    sizes = [
        np.abs(array).astype(np.float64)
        for array in (x, weight, bias if case.bias else np.zeros(len(weight), np.float32))
    ]
    exact = backends.load("numpy")
    magnitude, _ = exact.max_pool2d(exact.conv2d(*sizes, w, case.groups), pool)
    magnitudes = exact.conv2d_backward(np.abs(through).astype(np.float64), *sizes[:2], w, case.groups, True, True)

    loaded, (native, gradient) = package(backend, (x, dy))
    y, winners = loaded.conv2d_max_pool2d(native, weight, bias, w, case.groups, pool, relu)
    assert_close(loaded.unpack(y), expected, weight[0].size + 1, magnitude)
    given = gradient, winners, native, weight, w, case.groups, pool
    terms = max(through.size // len(weight), weight.size)
    dx, *found = loaded.conv2d_max_pool2d_backward(*given, True, True)
    for one, other, size in zip((loaded.unpack(dx), *found), gradients, magnitudes, strict=True):
        assert_close(one, other, terms, size)
    none, *alone = loaded.conv2d_max_pool2d_backward(*given, False, True)
    assert none is None
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("image", "size"), [((30, 34), (2, 2)), ((30, 35), (2, 3)), ((32, 35), (3, 3)), ((14, 242), (2, 2))], ids=str
)
def test_filters_learn_the_same_of_large_images_with_a_gradient_of_them_and_without(image, size, padding, rng):
    """With it, the gradient of the convolution's output is stored; without it, patches are computed when needed."""
    pytest.importorskip("numba")
    w = conv_windows(image, (3, 3), padding=padding)
    pool = pool_windows((w.OH, w.OW), size, size)
    x, weight = rng.standard_normal((19, 2, *image), np.float32), rng.standard_normal((6, 2, 3, 3), np.float32)
    dy = rng.standard_normal((19, 6, pool.OH, pool.OW), np.float32)
    loaded, (native, gradient) = package("numba", (x, dy))
    _, winners = loaded.conv2d_max_pool2d(native, weight, None, w, 1, pool, True)
    _, *found = loaded.conv2d_max_pool2d_backward(gradient, winners, native, weight, w, 1, pool, True, True)
    _, *alone = loaded.conv2d_max_pool2d_backward(gradient, winners, native, weight, w, 1, pool, False, True)
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one, other)
