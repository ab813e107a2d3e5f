"""Batch normalization and its layers: literals computed by hand -> naive -> central differences -> other backends."""

import copy

import numpy as np
import pytest

import fastcnn
from fastcnn import backends, nn
from fastcnn import functional as F
from fastcnn.nn import fusion
from fastcnn.nn.recording import layer_by_layer
from fastcnn.testing import NORM_CASES, assert_close, central_difference
from fastcnn.training import load_weights, save_weights

cases = pytest.mark.parametrize("case", NORM_CASES, ids=lambda case: case.reason)
in_training = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])

# Two channels of two images of two pixels: means 4 and -4, variances 5; with eps 11 the standard deviation is 4.
X = [[[[1, 3]], [[-7, -5]]], [[[5, 7]], [[-3, -1]]]]


def test_training_by_hand(backend, dtype):
    x, weight, bias = np.array(X, dtype), np.array([4, 8], dtype), np.array([1, 0], dtype)
    running_mean, running_var = np.array([0, 2], dtype), np.array([1, 1], dtype)
    y, mean, invstd = F.batch_norm(
        x, running_mean, running_var, weight, bias, True, 0.5, 11, return_statistics=True, backend=backend
    )
    assert y.dtype == mean.dtype == invstd.dtype == dtype
    np.testing.assert_array_equal(y, [[[[-2, 0]], [[-6, -2]]], [[[2, 4]], [[2, 6]]]])
    np.testing.assert_array_equal(mean, [4, -4])
    np.testing.assert_array_equal(invstd, [0.25, 0.25])
    np.testing.assert_array_equal(running_mean, [2, -1])
    np.testing.assert_array_equal(running_var, np.array([(1 + 20 / 3) / 2] * 2, dtype))  # unbiased: 20 by 3, not by 4

    dy = np.array([[[[4, 0]], [[0, 0]]], [[[0, 0]], [[1, 1]]]], dtype)
    dx, dweight, dbias = F.batch_norm_backward(dy, x, mean, invstd, weight, True, backend=backend)
    assert dx.dtype == dweight.dtype == dbias.dtype == dtype
    # z is -3/4, -1/4, 1/4, 3/4 in both channels
    np.testing.assert_array_equal(dbias, [4, 2])
    np.testing.assert_array_equal(dweight, [-3, 1])
    # 4 / 4 * (dy - 4 / 4 + z * 3 / 4) and 8 / 4 * (dy - 2 / 4 - z * 1 / 4)
    np.testing.assert_array_equal(
        dx, [[[[2.4375, -1.1875]], [[-0.625, -0.875]]], [[[-0.8125, -0.4375]], [[0.875, 0.625]]]]
    )


def test_evaluation_by_hand(backend, dtype):
    x, mean, var = np.array([[1, 3], [5, 7]], dtype), np.array([1, 5], dtype), np.array([3, 15], dtype)
    weight, bias, before = np.array([2, -8], dtype), np.array([0, 1], dtype), (mean.copy(), var.copy())
    y, used_mean, invstd = F.batch_norm(
        x, mean, var, weight, bias, eps=1, return_statistics=True, backend=backend
    )  # fmt: skip
    np.testing.assert_array_equal(y, [[0, 5], [4, -3]])  # deviations 0, -2, 4, 2 divided by standard deviations 2, 4
    np.testing.assert_array_equal((mean, var), before)
    np.testing.assert_array_equal(invstd, [0.5, 0.25])
    dx, dweight, dbias = F.batch_norm_backward(
        np.array([[1, 2], [3, 4]], dtype), x, used_mean, invstd, weight, backend=backend
    )
    np.testing.assert_array_equal(dx, [[1, -4], [3, -8]])
    np.testing.assert_array_equal(dweight, [6, 1])
    np.testing.assert_array_equal(dbias, [4, 6])


def results(case, arrays, training, backend):
    """Return y, running_mean, running_var, dx, dweight and dbias."""
    x, running_mean, running_var, weight, bias, dy = arrays
    running = running_mean.copy(), running_var.copy()
    options = {"training": training, "backend": backend}
    y, *statistics = F.batch_norm(x, *running, weight, bias, eps=case.eps, **options, return_statistics=True)
    return y, *running, *F.batch_norm_backward(dy, x, *statistics, weight, **options)


def magnitudes(case, arrays, training):
    """Return, for each result, the sum of the absolute values of its terms, in float64."""
    x, running_mean, running_var, weight, bias, dy = (
        None if array is None else np.abs(array.astype(np.float64)) for array in arrays
    )
    axes = (0, *range(2, x.ndim))
    mean, var = (x.mean(axes), arrays[0].var(axes, np.float64)) if training else (running_mean, running_var)
    mean, invstd, weight, bias = (
        value.reshape(-1, *(1,) * (x.ndim - 2))
        for value in (mean, 1 / np.sqrt(var + case.eps), np.float64(1) if weight is None else weight,
                      np.float64(0) if bias is None else bias)
    )  # fmt: skip
    z = (x + mean) * invstd
    dbias, dweight = dy.sum(axes, keepdims=True)[0], (dy * z).sum(axes, keepdims=True)[0]
    count = x.size / x.shape[1]
    dx = weight * invstd * (dy + (dbias / count + z * dweight / count) * training)
    moved = running_mean + mean.ravel(), running_var + var
    return z * weight + bias, *moved, dx, dweight.ravel(), dbias.ravel()


@cases
@in_training
def test_agrees_with_naive(fast_backend, dtype, case, training, rng):
    arrays = case.arrays(rng, dtype)
    actual, expected = (results(case, arrays, training, backend) for backend in (fast_backend, "naive"))
    length = arrays[0].size // arrays[0].shape[1]
    for a, b, magnitude in zip(actual, expected, magnitudes(case, arrays, training), strict=True):
        assert_close(a, b, length, magnitude)


@pytest.mark.parametrize("case", [case for case in NORM_CASES if case.values != "constant"], ids=lambda c: c.reason)
@in_training
def test_gradients_are_central_differences(backend, case, training, rng):
    x, mean, var, weight, bias, dy = case.arrays(rng, np.float64)
    weight, bias = (np.ones_like(mean) if array is None else array for array in (weight, bias))
    *_, dx, dweight, dbias = results(case, (x, mean, var, weight, bias, dy), training, backend)

    def loss(x, weight, bias):
        y = F.batch_norm(x, mean.copy(), var.copy(), weight, bias, training, eps=case.eps, backend=backend)
        return float((y * dy).sum())

    losses = lambda v: loss(v, weight, bias), lambda v: loss(x, v, bias), lambda v: loss(x, weight, v)
    for function, at, gradient in zip(losses, (x, weight, bias), (dx, dweight, dbias), strict=True):
        direction = rng.standard_normal(at.shape)
        slope = central_difference(function, at, direction)
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-6, abs=1e-6)


def test_variance_of_large_numbers_that_differ_little(backend, rng):
    """A float32 near 1000 is accurate to 6e-5, a hundredth of the standard deviation of these 131,072 numbers."""
    shape = (128, 2, 32, 32) if backend != "naive" else (16, 2, 16, 16)
    x = (1000 + 0.01 * rng.standard_normal(shape)).astype(np.float32)
    x[:, 1, 0, 0] = 0  # a first pixel far from the others must not reduce the accuracy
    running_mean, running_var = np.zeros(2, np.float32), np.zeros(2, np.float32)
    F.batch_norm(x, running_mean, running_var, training=True, momentum=1.0, backend=backend)
    values = x.transpose(1, 0, 2, 3).reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(running_mean, values.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(running_var, values.var(axis=1, ddof=1), rtol=1e-5)


def test_variance_of_numbers_whose_mean_is_no_float32(backend):
    """Half of the numbers are one float32, half the next; deviations from a rounded mean would double the variance."""
    x = np.float32(2**20) + np.float32(0.125) * (np.arange(256) % 2).astype(np.float32).reshape(16, 1, 4, 4)
    running_mean, running_var = np.zeros(1, np.float32), np.zeros(1, np.float32)
    F.batch_norm(x, running_mean, running_var, training=True, momentum=1.0, backend=backend)
    np.testing.assert_allclose(running_var, 0.0625**2 * 256 / 255, rtol=1e-6)


def test_memory_order_does_not_matter_and_inputs_stay(backend, memory_order, rng):
    case = NORM_CASES[0]
    arrays = case.arrays(rng, np.float32)
    reordered = [memory_order(array) for array in arrays]
    before = [array.tobytes() for array in reordered]
    for actual, expected in zip(
        results(case, reordered, True, backend), results(case, arrays, True, backend), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    assert [array.tobytes() for array in reordered] == before


def test_running_statistics_change_in_place_wherever_they_lie(backend, rng):
    x, table = rng.standard_normal((4, 3, 5, 5)), np.zeros((3, 2))
    F.batch_norm(x, table[:, 0], table[:, 1], training=True, momentum=1.0, backend=backend)
    np.testing.assert_allclose(table[:, 0], x.mean((0, 2, 3)))
    np.testing.assert_allclose(table[:, 1], x.var((0, 2, 3), ddof=1))


def test_training_does_without_running_statistics(backend, rng):
    x = rng.standard_normal((4, 3))
    y = F.batch_norm(x, None, None, training=True, backend=backend)
    np.testing.assert_array_equal(y, F.batch_norm(x, np.zeros(3), np.ones(3), training=True, backend=backend))


def test_only_what_was_asked(backend, rng):
    x, dy = rng.standard_normal((2, 5, 3))
    mean, invstd = np.zeros(3), np.ones(3)
    for training in (True, False):
        _, *gradients = F.batch_norm_backward(dy, x, mean, invstd, training=training, backend=backend)
        none, *asked = F.batch_norm_backward(dy, x, mean, invstd, None, training, input_grad=False, backend=backend)
        assert none is None
        np.testing.assert_array_equal(asked, gradients)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_a_number_that_is_not_finite_spoils_its_channel_only(backend, dtype, value, rng):
    x, dy = rng.standard_normal((2, 20, 3, 4, 4)).astype(dtype)
    x[17, 1, 2, 3] = value
    y, *statistics = F.batch_norm(x, None, None, training=True, return_statistics=True, backend=backend)
    dx, dweight, dbias = F.batch_norm_backward(dy, x, *statistics, training=True, backend=backend)
    for array in (y, dx):
        assert np.isnan(array[:, 1]).all()
        assert np.isfinite(array[:, [0, 2]]).all()
    assert np.isfinite(dbias).all()
    np.testing.assert_array_equal(np.isnan(dweight), [False, True, False])


@in_training
def test_lanes_without_an_image_count_for_nothing_and_become_zero(dtype, training, rng):
    numba = backends.load("numba")
    x, dy = rng.standard_normal((2, 3, 2, 5, 5)).astype(dtype)
    native, native_dy = numba.pack(x), numba.pack(dy)
    native.blocks[..., 3:] = np.nan
    running = [np.zeros(2, dtype), np.ones(2, dtype)]
    if training:
        running = numba.batch_moments(native)
        np.testing.assert_allclose(running, [x.mean((0, 2, 3)), x.var((0, 2, 3))], rtol=1e-5)
    mean, invstd = (array.astype(dtype) for array in (running[0], 1 / np.sqrt(running[1])))
    y = numba.batch_norm(native, mean, invstd, None, None)
    dx, dweight, dbias = numba.batch_norm_backward(native_dy, native, mean, invstd, None, training, True, True)
    for array in (y, dx):
        assert np.isfinite(array.blocks).all()
        assert not array.blocks[..., 3:].any()
    assert np.isfinite([dweight, dbias]).all()


# layers


def small_net(dtype=np.float64) -> nn.Sequential:
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False, rng=rng, dtype=dtype),
        nn.BatchNorm2d(3, dtype=dtype),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, rng=rng, dtype=dtype),
        nn.BatchNorm2d(4, affine=False, dtype=dtype),
        nn.Flatten(),
        nn.Linear(16, 5, rng=rng, dtype=dtype),
        nn.BatchNorm1d(5, momentum=None, dtype=dtype),
    )


@in_training
def test_a_net_computes_the_same_on_all_backends(fast_backend, training, rng):
    x, dy = rng.standard_normal((19, 2, 6, 6)), rng.standard_normal((19, 5))
    found = []
    for backend in (fast_backend, "naive"):
        model = small_net()
        with fastcnn.use_backend(backend):
            model(2 * x)  # changes the running statistics from their initial values
            model.train(training)
            y = model(x)
            dx = model.backward(dy)
        found.append([y, dx, *(parameter.grad for parameter in model.parameters()), *model.state_dict().values()])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)


NORMALIZED = {
    "images": (nn.BatchNorm2d, (19, 3, 4, 5)),
    "one block": (nn.BatchNorm2d, (8, 2, 3, 3)),
    "rows": (nn.BatchNorm1d, (40, 7)),
    "many rows": (nn.BatchNorm1d, (1100, 3)),
}


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}], ids=str)
@pytest.mark.parametrize(("make", "shape"), NORMALIZED.values(), ids=NORMALIZED)
@in_training
def test_relu_fused_with_it_changes_no_bit(make, shape, training, options, dtype, fast_backend, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    x[-1, 0] = np.nan
    x[:3, 1] = 0  # like the first bias and, in evaluation, the mean
    found = []
    for fused in (False, True):
        norm = make(shape[1], dtype=dtype, **options).train(training)
        if norm.affine:
            norm.weight.data[...], norm.bias.data[...] = np.linspace(-1, 2, shape[1]), np.linspace(-1, 1, shape[1])
            norm.bias.data[1] = 0
        chain = nn.Sequential(norm, nn.ReLU()) if fused else nn.Sequential(nn.Sequential(norm), nn.ReLU())
        assert (len(fusion.fuse(chain.layers)) == 1) == fused
        with fastcnn.use_backend(fast_backend):
            y = chain(x)
            dx = chain.backward(dy)
        found.append([y, dx, *(parameter.grad for parameter in norm.parameters()), *norm.state_dict().values()])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_evaluation_neither_uses_the_batch_nor_counts_it(rng):
    layer, x = nn.BatchNorm2d(2, dtype=np.float64), rng.standard_normal((4, 2, 3, 3))
    layer(x)
    state = layer.eval().state_dict()
    y = layer(x)
    np.testing.assert_allclose(layer(x[:1]), y[:1], rtol=1e-12)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert not np.allclose(layer.train()(x), y)
    assert layer.num_batches_tracked.data == 2


def test_without_momentum_the_running_statistics_are_averages(rng):
    layer, batches = nn.BatchNorm1d(3, momentum=None, dtype=np.float64), rng.standard_normal((4, 5, 3))
    for x in batches:
        layer(x)
    np.testing.assert_allclose(layer.running_mean.data, batches.mean((0, 1)))
    np.testing.assert_allclose(layer.running_var.data, batches.var(axis=1, ddof=1).mean(axis=0))


def test_with_momentum_0_the_running_statistics_stay(backend, rng):
    layer = nn.BatchNorm1d(3, momentum=0.0)
    with fastcnn.use_backend(backend):
        layer(rng.standard_normal((5, 3), np.float32))
    assert layer.num_batches_tracked.data == 1
    np.testing.assert_array_equal(layer.running_mean.data, 0)
    np.testing.assert_array_equal(layer.running_var.data, 1)


@pytest.mark.parametrize("momentum", [0.1, None], ids=str)
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@in_training
def test_all_numbers_come_from_kernels(training, affine, momentum, dtype, rng):
    """A program recorded on one batch gives the same result for another as a layer without recording."""
    x, dy = rng.standard_normal((2, 3, 19, 3, 4, 5)).astype(dtype)
    recorded, direct = (nn.BatchNorm2d(3, momentum=momentum, affine=affine, dtype=dtype) for _ in range(2))
    for layer in (recorded, direct):
        layer.train(training)
        layer.running_var.data[...] = 2
        if affine:
            layer.weight.data[...], layer.bias.data[...] = [1, 2, 3], [3, 2, 1]
    for i in range(3):
        with fastcnn.use_backend("numba"):
            y = recorded(x[i]), recorded.backward(dy[i])
            with layer_by_layer():
                wanted = direct(x[i]), direct.backward(dy[i])
        for actual, expected in zip(y, wanted, strict=True):
            np.testing.assert_array_equal(actual, expected)
        for (name, array), expected in zip(recorded.named_state(), direct.state_dict().values(), strict=True):
            np.testing.assert_array_equal(array.data, expected, err_msg=name)
        for parameter, twin in zip(recorded.parameters(), direct.parameters(), strict=True):
            np.testing.assert_array_equal(parameter.grad, twin.grad)
        for layer in (recorded, direct):
            layer.running_mean.data[...] += 5
            if affine:
                layer.bias.data[...] = 8


def test_nothing_tracked_is_the_batch_in_evaluation_too(rng):
    layer, x = nn.BatchNorm2d(2, track_running_stats=False, dtype=np.float64), rng.standard_normal((4, 2, 3, 3))
    assert list(layer.state_dict()) == ["weight", "bias"]
    np.testing.assert_array_equal(layer.eval()(x), layer.train()(x))


def test_parameters_and_buffers_have_names():
    model = small_net()
    assert [name for name, _ in model.named_buffers()] == [
        f"{i}.{name}" for i in (1, 4, 7) for name in ("running_mean", "running_var", "num_batches_tracked")
    ]
    assert [name for name, _ in model.named_parameters() if name[0] in "147"] == [
        "1.weight", "1.bias", "7.weight", "7.bias"
    ]  # fmt: skip
    assert not any(isinstance(parameter, nn.Buffer) for parameter in model.parameters())
    norm = model[1]
    assert list(nn.Sequential(norm, norm).buffers()) == [norm.running_mean, norm.running_var, norm.num_batches_tracked]


def test_he_initialisation_leaves_the_weights_of_a_normalization():
    model = small_net()
    model[1].bias.data += 3
    nn.init.he_(model, np.random.default_rng(0))
    np.testing.assert_array_equal(model[1].weight.data, [1, 1, 1])
    np.testing.assert_array_equal(model[1].bias.data, [0, 0, 0])


def test_checkpoints_hold_the_buffers(tmp_path, rng):
    model, twin, x = small_net(np.float32), small_net(np.float32), rng.standard_normal((4, 2, 6, 6)).astype(np.float32)
    model(x)
    save_weights(model, tmp_path / "a.safetensors")
    load_weights(twin, tmp_path / "a.safetensors")
    state = twin.state_dict()
    assert state["1.num_batches_tracked"].dtype == np.int64
    assert state["1.num_batches_tracked"] == 1
    np.testing.assert_array_equal(twin.eval()(x), model.eval()(x))
    state["1.num_batches_tracked"] = np.array(1.0, np.float32)
    with pytest.raises(ValueError, match=r"`1\.num_batches_tracked` is float32 but must be int64"):
        twin.load_state_dict(state)
    del state["1.num_batches_tracked"]
    with pytest.raises(ValueError, match=r"`1\.num_batches_tracked` is missing"):
        twin.load_state_dict(state)


def test_a_copy_has_statistics_of_its_own(rng):
    layer, x = nn.BatchNorm1d(2, dtype=np.float64), rng.standard_normal((4, 2))
    copy.deepcopy(layer)(x)
    np.testing.assert_array_equal(layer.running_mean.data, [0, 0])
    assert layer.num_batches_tracked.data == 0


@pytest.mark.parametrize(
    ("layer", "shape", "error", "sentence"),
    [
        (nn.BatchNorm2d(3), (2, 3), ValueError, r"BatchNorm2d\(3\) needs images \(N, C, H, W\) but its input has"),
        (
            nn.BatchNorm1d(3),
            (2, 3, 1, 1),
            ValueError,
            r"needs rows \(N, features\) or signals \(N, C, L\) but its",
        ),
        (nn.BatchNorm2d(3), (2, 4, 5, 5), ValueError, r"needs 3 channels but its input has shape \(2, 4, 5, 5\)"),
        (nn.BatchNorm1d(3, dtype=np.float64), (2, 3), TypeError, r"is float64 but its input is float32"),
        (nn.BatchNorm1d(3), (1, 3), ValueError, r"^The input of BatchNorm1d\(3\) has one value for each channel"),
    ],
    ids=["rows into images", "images into rows", "channels", "dtype", "one value for each channel"],
)
def test_what_does_not_fit_is_named(layer, shape, error, sentence):
    with pytest.raises(error, match=sentence):
        layer(np.ones(shape, np.float32))


def test_one_row_can_be_evaluated():
    assert nn.BatchNorm1d(3).eval()(np.ones((1, 3), np.float32)).shape == (1, 3)


def test_repr_shows_what_is_not_default():
    assert repr(nn.BatchNorm2d(6)) == "BatchNorm2d(6)"
    assert repr(nn.BatchNorm1d(6, momentum=None, affine=False)) == "BatchNorm1d(6, momentum=None, affine=False)"
