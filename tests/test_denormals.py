"""Kernels of the numba backend treat denormal numbers as zero, on every thread; other code does not."""

import platform

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import activations
from fastcnn.testing.optimizers import OPTIMIZERS, make

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64", "aarch64", "arm64"),
    reason="flushing denormals is not implemented for this processor",
)


@pytest.fixture(autouse=True)
def numba_backend():
    before = fastcnn.get_num_threads()
    with fastcnn.use_backend("numba"):
        yield
    fastcnn.set_num_threads(before)


def tiny(dtype) -> np.floating:
    """Return a thousandth of the smallest normal number."""
    return np.finfo(dtype).tiny / dtype(1000)


@pytest.mark.parametrize("images", [(40, 3, 8, 8), (40, 3, 1, 1)], ids=["tiles of pixels", "tiles of blocks"])
def test_convolutions_of_them_are_zero(images, dtype):
    x = np.full(images, tiny(dtype))
    weight = np.ones((4, 3, min(images[2], 3), min(images[3], 3)), dtype)
    y = F.conv2d(x, weight)
    assert not y.any()
    dx, dweight, dbias = F.conv2d_backward(np.full_like(y, tiny(dtype)), x, weight)
    assert not dx.any()
    assert not dweight.any()


def test_products_are_zero_too(dtype):
    small = np.sqrt(np.finfo(dtype).tiny) / dtype(100)
    assert not F.linear(np.full((3, 5), small), np.full((2, 5), small)).any()


@pytest.mark.parametrize("name", [name for name in activations.NAMES if name != "relu"])
def test_activations_of_them_are_those_of_zero(name, dtype):
    x = np.full(5000, tiny(dtype))
    np.testing.assert_array_equal(getattr(F, name)(x), getattr(F, name)(np.zeros_like(x)))
    assert not getattr(F, f"{name}_backward")(x, -np.ones_like(x)).any()


def test_softmax_leaves_none(dtype):
    limit = np.log(np.finfo(dtype).tiny)
    assert (F.softmax(np.array([[0, limit + 1, limit - 1]], dtype)) > 0).tolist() == [[True, True, False]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_remembers_does_not_fade_to_them(name, dtype):
    parameter, limit = nn.Parameter(np.ones(5000, dtype)), np.finfo(dtype).tiny
    optimizer = make(name, [parameter])
    for array in optimizer._arrays():
        array[...] = limit * dtype(1.01)
    for _ in range(100):
        parameter.grad = np.zeros_like(parameter.data)
        optimizer.step()
    for array in optimizer._arrays():
        assert ((array == 0) | (abs(array) >= limit)).all()


def test_results_do_not_depend_on_the_number_of_threads(dtype, rng):
    x, weight = rng.standard_normal((100, 3, 8, 8)).astype(dtype), rng.standard_normal((4, 3, 3, 3)).astype(dtype)
    x[rng.random(x.shape) < 0.5] *= np.finfo(dtype).tiny
    weight[::2] *= np.finfo(dtype).tiny
    results = []
    for threads in (1, 2, 3, 8):
        fastcnn.set_num_threads(threads)
        y = F.conv2d(x, weight)
        results.append([array.tobytes() for array in (y, *F.conv2d_backward(y, x, weight))])
    assert all(result == results[0] for result in results)


def test_other_code_computes_with_them_as_before(dtype):
    import numba

    @numba.njit(parallel=True)
    def halves(y, x):
        for i in numba.prange(x.size):
            y[i] = x[i] * dtype(0.5)

    x = np.full(1000, tiny(dtype))
    F.conv2d(x.reshape(10, 1, 10, 10), np.ones((1, 1, 3, 3), dtype))
    y = np.zeros_like(x)
    halves(y, x)
    assert (y == x / 2).all()
    assert y.all()
