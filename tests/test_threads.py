"""The numba backend gives the same bits on any number of threads."""

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import models, nn, optim
from fastcnn.testing import (
    ADAPTIVE_POOL_CASES,
    CONV_CASES,
    CONV_TRANSPOSE_CASES,
    GROUP_NORM_CASES,
    NORM_CASES,
    POOL_CASES,
    AdaptivePoolCase,
    ConvCase,
    ConvTransposeCase,
    GroupNormCase,
    NormCase,
    PoolCase,
    activations,
)
from tests.nd import of

# The cases of the tables, and batches that are large enough to give every thread some work.
CONVS = (
    *CONV_CASES,
    ConvCase("many images", (100, 6, 14, 14), (16, 6, 5, 5)),
    ConvCase("many signals", (100, 6, 120), (16, 6, 5)),
)
CONV_TRANSPOSES = (*CONV_TRANSPOSE_CASES, ConvTransposeCase("many images", (100, 16, 7, 7), (16, 6, 4, 4), 2, 1))
NORMS = (*NORM_CASES, NormCase("many images", (100, 6, 15, 15)), NormCase("many rows", (500, 40)))
GROUP_NORMS = (
    *GROUP_NORM_CASES,
    GroupNormCase("many images", (100, 6, 15, 15), 3),
    GroupNormCase("many rows", (500, 40), (40,)),
)
POOLS = (*POOL_CASES, PoolCase("many images", (100, 6, 15, 15), 3, 2, 1), PoolCase("many signals", (100, 6, 120), 2))

ADAPTIVE_POOLS = (*ADAPTIVE_POOL_CASES, AdaptivePoolCase("many images", (100, 6, 15, 15), 7))


THREADS = (1, 2, 3, 8)


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = fastcnn.get_num_threads()
    yield
    fastcnn.set_num_threads(before)


def assert_same_bits(function):
    results = []
    for threads in THREADS:
        fastcnn.set_num_threads(threads)
        results.append([np.asarray(array).tobytes() for array in function()])
    for threads, result in zip(THREADS, results, strict=True):
        assert result == results[0], f"{threads} threads"


@pytest.mark.parametrize("case", CONVS, ids=lambda case: case.reason)
def test_numba_conv_is_the_same_on_any_number_of_threads(case, dtype, rng):
    x, weight, bias, dy = case.arrays(rng, dtype)
    options = {**case.options, "backend": "numba"}
    forward, backward = of(F, "conv{}d", case), of(F, "conv{}d_backward", case)
    assert_same_bits(lambda: (forward(x, weight, bias, **options), *backward(dy, x, weight, **options)))


@pytest.mark.parametrize("case", CONV_TRANSPOSES, ids=lambda case: case.reason)
def test_numba_conv_transpose_is_the_same_on_any_number_of_threads(case, dtype, rng):
    x, weight, bias, dy = case.arrays(rng, dtype)
    options = {**case.options, "backend": "numba"}
    forward, backward = of(F, "conv_transpose{}d", case), of(F, "conv_transpose{}d_backward", case)
    assert_same_bits(lambda: (forward(x, weight, bias, **options), *backward(dy, x, weight, **options)))


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.reason)
def test_numba_pooling_is_the_same_on_any_number_of_threads(case, dtype, rng):
    x, dy = case.arrays(rng, dtype)

    def pool():
        options = {**case.options, "dilation": case.dilation, "backend": "numba"}
        y, indices = of(F, "max_pool{}d", case)(x, **options, return_indices=True)
        results = [y, indices, of(F, "max_pool{}d_backward", case)(dy, indices, x.shape, backend="numba")]
        if case.dilation == 1:
            results.append(of(F, "avg_pool{}d", case)(x, **case.options, backend="numba"))
            results.append(of(F, "avg_pool{}d_backward", case)(dy, x.shape, **case.options, backend="numba"))
        return results

    assert_same_bits(pool)


@pytest.mark.parametrize("case", GROUP_NORMS, ids=lambda case: case.reason)
def test_numba_group_norm_is_the_same_on_any_number_of_threads(case, dtype, rng):
    x, weight, bias, dy = case.arrays(rng, dtype)

    def normalize():
        y = getattr(F, case.operation)(x, case.over, weight, bias, case.eps, backend="numba")
        backward = getattr(F, f"{case.operation}_backward")
        return y, *backward(dy, x, case.over, weight, case.eps, backend="numba")

    assert_same_bits(normalize)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", NORMS, ids=lambda case: case.reason)
def test_numba_batch_norm_is_the_same_on_any_number_of_threads(case, training, dtype, rng):
    x, running_mean, running_var, weight, bias, dy = case.arrays(rng, dtype)

    def normalize():
        running = running_mean.copy(), running_var.copy()
        y, mean, invstd = F.batch_norm(
            x, *running, weight, bias, training, eps=case.eps, return_statistics=True, backend="numba"
        )
        return y, *running, *F.batch_norm_backward(dy, x, mean, invstd, weight, training, backend="numba")

    assert_same_bits(normalize)


@pytest.mark.parametrize("case", ADAPTIVE_POOLS, ids=lambda case: case.reason)
def test_numba_adaptive_pooling_is_the_same_on_any_number_of_threads(case, dtype, rng):
    x, dy = case.arrays(rng, dtype)

    def pool():
        y, indices = of(F, "adaptive_max_pool{}d", case)(x, case.output_size, return_indices=True, backend="numba")
        dx = of(F, "adaptive_max_pool{}d_backward", case)(dy, indices, x.shape, backend="numba")
        average = of(F, "adaptive_avg_pool{}d", case)(x, case.output_size, backend="numba")
        return y, indices, dx, average, of(F, "adaptive_avg_pool{}d_backward", case)(dy, x.shape, backend="numba")

    assert_same_bits(pool)


@pytest.mark.parametrize("N", [1, 40, 500])
def test_numba_linear_and_losses_are_the_same_on_any_number_of_threads(N, dtype, rng):
    x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((N, 84), (10, 84), (10,), (N, 10)))
    target = rng.integers(0, 10, N)

    def layer():
        y = F.linear(x, weight, bias, backend="numba")
        loss = F.cross_entropy(y, target, backend="numba")
        dlogits = F.cross_entropy_backward(y, target, backend="numba")
        return y, loss, dlogits, *F.linear_backward(dy, x, weight, backend="numba"), F.tanh(x, backend="numba")

    assert_same_bits(layer)


@pytest.mark.parametrize("name", activations.NAMES)
def test_numba_activations_are_the_same_on_any_number_of_threads(name, dtype, rng):
    x, dy = (3 * rng.standard_normal((2, 50, 3, 17, 13))).astype(dtype)
    x[0, 0, 0, :4] = np.nan, np.inf, np.finfo(dtype).tiny / 2, -np.inf
    assert_same_bits(
        lambda: (
            getattr(F, name)(x, backend="numba"),
            getattr(F, f"{name}_backward")(dy, x, backend="numba"),
        )
    )


@pytest.mark.parametrize("shape", [(40, 10), (3, 700), (500, 33)], ids=str)
def test_numba_softmax_is_the_same_on_any_number_of_threads(shape, dtype, rng):
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(dtype)

    def both():
        y, log_y = F.softmax(x, backend="numba"), F.log_softmax(x, backend="numba")
        gradients = F.softmax_backward(dy, y, backend="numba"), F.log_softmax_backward(dy, log_y, backend="numba")
        return y, log_y, *gradients

    assert_same_bits(both)


def test_training_lenet5_is_the_same_on_any_number_of_threads(dtype):
    def train():
        rng = np.random.default_rng(0)
        model, loss = models.LeNet5(rng=rng, dtype=dtype), nn.CrossEntropyLoss()
        optimizer = optim.Adam(model.parameters(), lr=0.003)
        losses = []
        for N in (100, 7, 128):
            x, labels = rng.standard_normal((N, 1, 32, 32)).astype(dtype), rng.integers(0, 10, N)
            losses.append(loss(model(x), labels))
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
        return losses, *model.state_dict().values()

    with fastcnn.use_backend("numba"):
        assert_same_bits(train)
