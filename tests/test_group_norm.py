"""Normalization of each image by itself: values computed by hand -> naive -> the other backends; and the layers."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn, optim, training
from fastcnn.testing import GROUP_NORM_CASES, GroupNormCase, assert_close, central_difference

NO_VARIANCE = (
    GroupNormCase("groups of one number", (3, 2, 1, 1), 2),
    GroupNormCase("layer norm of single numbers", (4, 3, 2, 1), (1,)),
    GroupNormCase("a constant that is rounded", (20, 4, 6, 6), 2, values="constant"),
)
cases = pytest.mark.parametrize("case", [*GROUP_NORM_CASES, *NO_VARIANCE], ids=lambda case: case.reason)
NAN, INF = np.nan, np.inf


def forward(case, x, weight, bias, backend):
    return getattr(F, case.operation)(x, case.over, weight, bias, case.eps, backend=backend)


def backward(case, dy, x, weight, backend, **options):
    return getattr(F, f"{case.operation}_backward")(dy, x, case.over, weight, case.eps, backend=backend, **options)


def test_by_hand(backend, dtype):
    x = np.array([[[[1, 3]], [[10, 50]]], [[[-7, -7]], [[0, 4]]]], dtype)  # (2, 2, 1, 2)
    weight, bias = np.array([1, 2], dtype), np.array([0, 5], dtype)
    # with eps = 0 a pair a < b is -1, 1; with eps = 12 and deviations ±2 it is -1/2, 1/2
    y = F.group_norm(x[:1], 2, weight, bias, 0, backend=backend)
    np.testing.assert_array_equal(y.ravel(), [-1, 1, 3, 7])
    y = F.group_norm(x[1:], 2, weight, bias, 12, backend=backend)
    np.testing.assert_allclose(y.ravel(), [0, 0, 4, 6], rtol=1e-6)
    # 1, 3, 10, 50: mean 16, deviations -15, -13, -6, 34, whose squares are 225, 169, 36, 1156 and their mean 396.5
    y = F.group_norm(x[:1], 1, weight, bias, 3.5, backend=backend)
    np.testing.assert_allclose(y.ravel(), [-0.75, -0.65, 4.4, 8.4], rtol=1e-6)
    y = F.layer_norm(x[:1], (2, 1, 2), np.array([[[1, 2]], [[3, 4]]], dtype), None, 3.5, backend=backend)
    np.testing.assert_allclose(y.ravel(), [-0.75, -1.3, -0.9, 6.8], rtol=1e-6)


def test_gradients_by_hand(backend, dtype):
    # x: deviations -2, 0, 2 and invstd 1/2, so z = -1, 0, 1; dy * weight = 6, 3, 0 with mean 3, times z: mean -2
    x, dy = np.array([[1, 3, 5]], dtype), np.array([[6, 3, 0]], dtype)
    dx, dweight, dbias = F.layer_norm_backward(dy, x, 3, np.ones(3, dtype), 4 / 3, backend=backend)
    np.testing.assert_allclose(dx, [[0.5, 0, -0.5]], atol=1e-6)
    np.testing.assert_allclose(dweight, [-6, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(dbias, [6, 3, 0])
    dx, dweight, dbias = F.group_norm_backward(dy, x, 1, np.array([0, 1, 0], dtype), 4 / 3, backend=backend)
    np.testing.assert_allclose(dx, [[-0.5, 1, -0.5]], atol=1e-6)  # 3/2 in the middle, minus the mean, 1/2
    np.testing.assert_allclose(dweight, [-6, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(dbias, [6, 3, 0])


@cases
def test_agrees_with_naive(fast_backend, dtype, case, rng):
    x, weight, bias, dy = case.arrays(rng, dtype)
    y = forward(case, x, weight, bias, "naive")
    # without variance only rounding errors remain, times 1 / sqrt(eps)
    scale = 10 / np.sqrt(case.eps) if case in NO_VARIANCE else 1
    assert_close(forward(case, x, weight, bias, fast_backend), y, 256, np.full(y.shape, np.abs(y).max() * scale))
    gradients = backward(case, dy, x, weight, "naive")
    for found, expected in zip(backward(case, dy, x, weight, fast_backend), gradients, strict=True):
        assert_close(found, expected, 256, np.full(expected.shape, np.abs(expected).max() + scale))
    dx, *found = backward(case, dy, x, weight, fast_backend, input_grad=False)
    assert dx is None
    for without, expected in zip(found, gradients[1:], strict=True):
        assert_close(without, expected, 256, np.full(expected.shape, np.abs(expected).max() + scale))


@cases
def test_gradients_are_central_differences(backend, case, rng):
    if case in NO_VARIANCE or case.values == "a quarter":
        pytest.skip("a step away from a constant is as large as its variance")
    x, weight, bias, dy = case.arrays(rng, np.float64)
    shape = case.over if isinstance(case.over, tuple) else case.x[1:2]
    weight, bias = np.ones(shape) if weight is None else weight, np.zeros(shape) if bias is None else bias
    given = x, weight, bias
    for k, gradient in enumerate(backward(case, dy, x, weight, backend)):
        direction = rng.standard_normal(given[k].shape) / np.sqrt(given[k].size)

        def loss(value, k=k):
            arrays = [value if i == k else array for i, array in enumerate(given)]
            return float((forward(case, *arrays, backend) * dy).sum())

        terms = gradient * direction
        slope = central_difference(loss, given[k], direction)
        assert slope == pytest.approx(terms.sum(), rel=1e-6, abs=1e-6 * (np.abs(terms).sum() + 1e-2))


@pytest.mark.parametrize(("operation", "over"), [("group_norm", 2), ("layer_norm", (4, 16, 16))])
def test_numbers_around_ten_thousand_lose_nothing(backend, operation, over, rng):
    """In float32, a mean that is wrong by half a unit in the last place would be off by 5e-4 standard deviations."""
    x = (1e4 + rng.standard_normal((20, 4, 16, 16))).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    exact = getattr(F, operation)(x.astype(np.float64), over, backend="numpy")
    np.testing.assert_allclose(getattr(F, operation)(x, over, backend=backend), exact, rtol=0, atol=2e-6)
    backward = getattr(F, f"{operation}_backward")
    expected = backward(dy.astype(np.float64), x.astype(np.float64), over, backend="numpy")
    for found, gradient in zip(backward(dy, x, over, backend=backend), expected, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=0, atol=2e-6 * np.abs(gradient).max())


def test_long_sums_lose_nothing(fast_backend, rng):
    x = rng.uniform(1, 3, (2, 1, 400, 500)).astype(np.float32)
    exact = F.layer_norm(x.astype(np.float64), (400, 500), backend="numpy")
    np.testing.assert_allclose(F.layer_norm(x, (400, 500), backend=fast_backend), exact, rtol=0, atol=1e-6)


def test_what_is_not_finite_stays_in_its_group(backend, dtype):
    x = np.ones((3, 4, 2, 1), dtype) * np.array([1, 2], dtype)[:, None]
    x[0, 0, 0], x[1, 3, 0] = NAN, INF
    y = F.group_norm(x, 2, backend=backend)
    assert np.isnan(y[0, :2]).all()
    assert np.isnan(y[1, 2:]).all()
    assert np.isfinite(y[0, 2:]).all()
    assert np.isfinite(y[1, :2]).all()
    assert np.isfinite(y[2]).all()
    dx, dweight, _ = F.group_norm_backward(np.ones_like(x), x, 2, backend=backend)
    assert np.isnan(dx[0, :2]).all()
    assert np.isfinite(dx[2]).all()
    np.testing.assert_array_equal(np.isnan(dweight), [True, True, True, True])


def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, rng):
    x, dy = rng.standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    x_there, dy_there = memory_order(x), memory_order(dy)
    np.testing.assert_array_equal(F.group_norm(x_there, 2, backend=backend), F.group_norm(x, 2, backend=backend))
    found = F.layer_norm_backward(dy_there, x_there, (5, 6), backend=backend)
    for a, b in zip(found, F.layer_norm_backward(dy, x, (5, 6), backend=backend), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(x_there, x)
    np.testing.assert_array_equal(dy_there, dy)


LAYERS = {
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (3, 3, 4)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), (3, 3, 4)),
    "LayerNorm": (lambda: nn.LayerNorm((4, 3, 3)), (4, 3, 3)),
}


def net(norm):
    """Make a net for images (N, 2, 5, 5)."""
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, rng=rng), norm, nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, rng=rng), nn.GroupNorm(4, 4),
        nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 3, rng=rng),
    )  # fmt: skip


@pytest.mark.parametrize("make", [make for make, _ in LAYERS.values()], ids=LAYERS)
def test_a_step_is_the_loop_and_the_same_on_any_number_of_threads(make, backend):
    def trained(threads, stepped):
        fastcnn.set_num_threads(threads)
        model, loss, rng = net(make()), nn.CrossEntropyLoss(), np.random.default_rng(1)
        assert not nn.unrecorded(model)
        optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
        step = training.TrainStep(model, optimizer, loss)
        for N in (37, 37, 37, 5):
            x, labels = rng.standard_normal((N, 2, 5, 5)).astype(np.float32), rng.integers(0, 3, N)
            if stepped:
                step(x, labels)
                continue
            loss(model(x), labels)
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
        return list(model.state_dict().values())

    before = fastcnn.get_num_threads()
    try:
        with fastcnn.use_backend(backend):
            expected = trained(1, False)
            runs = [trained(threads, True) for threads in ((1, 2, 3) if backend == "numba" else (1,))]
    finally:
        fastcnn.set_num_threads(before)
    for run in runs:
        for a, b in zip(run, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("layer", "shape", "error", "text"),
    [
        pytest.param(nn.GroupNorm(2, 4), (3, 6, 2, 2), ValueError,
                     "GroupNorm(2, 4) needs 4 channels but its input has shape (3, 6, 2, 2).", id="channels"),
        pytest.param(nn.GroupNorm(2, 4, dtype=np.float64), (3, 4), TypeError,
                     "GroupNorm(2, 4) is float64 but its input is float32; convert it with", id="dtype"),
        pytest.param(nn.InstanceNorm2d(4), (3, 4), ValueError, "(4) needs images (N, C, H, W) but", id="rows"),
        pytest.param(nn.InstanceNorm2d(4), (3, 5, 2, 2), ValueError, "needs 4 channels", id="other channels"),
        pytest.param(nn.InstanceNorm2d(4), (3, 4, 1, 1), ValueError, "has one pixel (shape (3, 4, 1, 1)):", id="pixel"),
        pytest.param(nn.LayerNorm((4, 2)), (3, 4), ValueError,
                     "The input of LayerNorm((4, 2)) has shape (3, 4), but after the batch axis it must end with "
                     "(4, 2), the `normalized_shape`.", id="axes"),
        pytest.param(nn.LayerNorm((3, 4)), (3, 4), ValueError, "must end with (3, 4)", id="the batch"),
    ],
)  # fmt: skip
def test_layers_say_what_does_not_fit(layer, shape, error, text, backend):
    with fastcnn.use_backend(backend), pytest.raises(error, match=re.escape(text)):
        layer(np.ones(shape, np.float32))


def test_what_they_are_called():
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4)"
    assert repr(nn.GroupNorm(2, 4, 0.1, False)) == "GroupNorm(2, 4, eps=0.1, affine=False)"
    assert repr(nn.InstanceNorm2d(4, affine=True)) == "InstanceNorm2d(4, affine=True)"
    assert repr(nn.LayerNorm(4, bias=False)) == "LayerNorm((4,), bias=False)"
    assert repr(nn.LayerNorm([4, 2], elementwise_affine=False)) == "LayerNorm((4, 2), elementwise_affine=False)"


def test_an_initialisation_leaves_them_alone(rng):
    model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm((2, 3)), nn.GroupNorm(2, 4), nn.LayerNorm(6))
    nn.init.he_(model, rng)
    for layer in model.layers[1:]:
        np.testing.assert_array_equal(layer.weight.data, np.ones(layer.weight.shape))
        np.testing.assert_array_equal(layer.bias.data, np.zeros(layer.bias.shape))
    assert not (model[0].weight.data == 1).any()


def test_one_image_is_computed_as_it_is_in_a_batch(rng):
    """On the numba backend, lanes are then channels."""
    for make, _ in LAYERS.values():
        model = net(make()).eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * rng.standard_normal(parameter.shape).astype(np.float32)
        x = rng.standard_normal((40, 2, 5, 5)).astype(np.float32)
        infer = model.compile_inference()
        np.testing.assert_array_equal(infer(x), model(x))
        np.testing.assert_allclose(infer(x[:1]), model(x)[:1], rtol=1e-4, atol=1e-5)
