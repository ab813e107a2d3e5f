"""Layers and models: gradients, state, names, and errors for bad input."""

import copy
import inspect
import re

import numpy as np
import pytest

import fastcnn
from fastcnn import nn
from fastcnn.models import residual_block
from fastcnn.nn import fusion
from fastcnn.testing import activations

LAYERS = {
    "Conv1d": (lambda rng: nn.Conv1d(2, 3, 3, stride=2, padding=(2, 1), rng=rng, dtype=np.float64), (3, 2, 8)),
    "Conv1d, no bias": (lambda rng: nn.Conv1d(2, 3, 2, bias=False, rng=rng, dtype=np.float64), (3, 2, 5)),
    "ConvTranspose1d": (
        lambda rng: nn.ConvTranspose1d(2, 4, 3, 2, 1, 1, 2, rng=rng, dtype=np.float64),
        (3, 2, 5),
    ),
    "MaxPool1d": (lambda rng: nn.MaxPool1d(2, padding=1), (3, 2, 8)),
    "AvgPool1d": (lambda rng: nn.AvgPool1d(3, 2, padding=1, count_include_pad=False), (3, 2, 7)),
    "AdaptiveMaxPool1d": (lambda rng: nn.AdaptiveMaxPool1d(3), (3, 2, 7)),
    "AdaptiveAvgPool1d": (lambda rng: nn.AdaptiveAvgPool1d(3), (3, 2, 7)),
    "AdaptiveAvgPool1d, global": (lambda rng: nn.AdaptiveAvgPool1d(1), (3, 2, 7)),
    "BatchNorm1d, signals": (lambda rng: nn.BatchNorm1d(2, dtype=np.float64), (3, 2, 5)),
    "Flatten of signals": (lambda rng: nn.Flatten(), (3, 2, 5)),
    "Tanh of signals": (lambda rng: nn.Tanh(), (3, 2, 5)),
    "Softmax of channels of signals": (lambda rng: nn.Softmax(), (3, 4, 5)),
    "Residual of signals": (
        lambda rng: nn.Residual(nn.Conv1d(2, 2, 3, padding=1, rng=rng, dtype=np.float64)),
        (3, 2, 5),
    ),
    "Conv2d": (lambda rng: nn.Conv2d(2, 3, 3, stride=2, padding=(1, 0), rng=rng, dtype=np.float64), (3, 2, 6, 7)),
    "Conv2d, no bias": (lambda rng: nn.Conv2d(2, 3, 2, bias=False, rng=rng, dtype=np.float64), (3, 2, 4, 4)),
    "ConvTranspose2d": (
        lambda rng: nn.ConvTranspose2d(2, 4, 3, 2, 1, (1, 0), 2, rng=rng, dtype=np.float64),
        (3, 2, 3, 4),
    ),
    "ConvTranspose2d, no bias": (
        lambda rng: nn.ConvTranspose2d(2, 3, 2, bias=False, dilation=2, rng=rng, dtype=np.float64),
        (3, 2, 3, 3),
    ),
    "MaxPool2d": (lambda rng: nn.MaxPool2d(2, padding=1), (3, 2, 6, 6)),
    "AvgPool2d": (lambda rng: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (3, 2, 5, 5)),
    "BatchNorm2d": (lambda rng: nn.BatchNorm2d(2, dtype=np.float64), (3, 2, 4, 5)),
    "BatchNorm2d, evaluated": (lambda rng: nn.BatchNorm2d(2, dtype=np.float64).eval(), (3, 2, 4, 5)),
    "BatchNorm2d, not affine": (lambda rng: nn.BatchNorm2d(2, affine=False, dtype=np.float64), (3, 2, 4, 5)),
    "BatchNorm2d, nothing tracked": (
        lambda rng: nn.BatchNorm2d(2, track_running_stats=False, dtype=np.float64).eval(),
        (3, 2, 4, 5),
    ),
    "GroupNorm": (lambda rng: nn.GroupNorm(2, 4, dtype=np.float64), (3, 4, 3, 5)),
    "GroupNorm of rows": (lambda rng: nn.GroupNorm(3, 12, dtype=np.float64), (5, 12)),
    "GroupNorm, not affine": (lambda rng: nn.GroupNorm(2, 4, 0.1, affine=False, dtype=np.float64), (3, 4, 3, 5)),
    "InstanceNorm2d": (lambda rng: nn.InstanceNorm2d(2, dtype=np.float64), (3, 2, 4, 5)),
    "InstanceNorm2d, affine": (lambda rng: nn.InstanceNorm2d(2, affine=True, dtype=np.float64), (3, 2, 4, 5)),
    "LayerNorm": (lambda rng: nn.LayerNorm(6, dtype=np.float64), (5, 6)),
    "LayerNorm of images": (lambda rng: nn.LayerNorm((2, 4, 5), dtype=np.float64), (3, 2, 4, 5)),
    "LayerNorm of lines, no bias": (lambda rng: nn.LayerNorm([5], bias=False, dtype=np.float64), (3, 2, 4, 5)),
    "LayerNorm, not affine": (lambda rng: nn.LayerNorm(6, 0.1, False, dtype=np.float64), (5, 6)),
    "BatchNorm1d": (lambda rng: nn.BatchNorm1d(4, dtype=np.float64), (5, 4)),
    "AvgPool2d, divisor": (lambda rng: nn.AvgPool2d(2, divisor_override=3), (3, 2, 4, 4)),
    "AdaptiveMaxPool2d": (lambda rng: nn.AdaptiveMaxPool2d((3, None)), (3, 2, 5, 6)),
    "AdaptiveMaxPool2d, windows of one size": (lambda rng: nn.AdaptiveMaxPool2d(3), (3, 2, 6, 6)),
    "AdaptiveAvgPool2d": (lambda rng: nn.AdaptiveAvgPool2d(3), (3, 2, 5, 6)),
    "AdaptiveAvgPool2d, global": (lambda rng: nn.AdaptiveAvgPool2d(1), (3, 2, 5, 6)),
    "Linear": (lambda rng: nn.Linear(4, 3, rng=rng, dtype=np.float64), (5, 4)),
    "Linear, no bias": (lambda rng: nn.Linear(4, 3, bias=False, rng=rng, dtype=np.float64), (5, 4)),
    **{kind.__name__: (lambda rng, kind=kind: kind(), (3, 2, 2, 2)) for kind in activations.LAYERS.values()},
    "LeakyReLU, slope": (lambda rng: nn.LeakyReLU(0.2), (5, 4)),
    "GELU, by tanh": (lambda rng: nn.GELU("tanh"), (5, 4)),
    "PReLU": (lambda rng: nn.PReLU(dtype=np.float64), (3, 2, 2, 2)),
    "PReLU, a slope for each channel": (lambda rng: nn.PReLU(2, -0.5, dtype=np.float64), (19, 2, 3, 5)),
    "PReLU of rows": (lambda rng: nn.PReLU(4, dtype=np.float64), (5, 4)),
    "Softplus, beta and threshold": (lambda rng: nn.Softplus(0.5, 0.3), (3, 2, 2, 2)),
    "ELU, alpha": (lambda rng: nn.ELU(0.5), (3, 2, 2, 2)),
    "Softmax": (lambda rng: nn.Softmax(), (5, 4)),
    "Softmax of channels": (lambda rng: nn.Softmax(), (3, 4, 2, 3)),
    "Softmax of columns": (lambda rng: nn.Softmax(-1), (3, 4, 2, 3)),
    "Flatten": (lambda rng: nn.Flatten(), (3, 2, 2, 2)),
    "Flatten of rows": (lambda rng: nn.Flatten(), (3, 4)),
    "Dropout2d, evaluated": (lambda rng: nn.Dropout2d(0.5, rng=rng).eval(), (3, 4, 2, 2)),
    "Unflatten": (lambda rng: nn.Unflatten(1, (2, 3, 2)), (3, 12)),
    "Unflatten, what is left": (lambda rng: nn.Unflatten(-1, (2, -1, 2)), (3, 12)),
    **{
        f"Conv2d, {mode}": (
            lambda rng, mode=mode: nn.Conv2d(2, 3, 3, 2, (1, 0, 2, 1), padding_mode=mode, rng=rng, dtype=np.float64),
            (3, 2, 5, 4),
        )
        for mode in ("reflect", "replicate", "circular")
    },
    **{
        f"Conv1d, {mode}": (
            lambda rng, mode=mode: nn.Conv1d(2, 3, 3, 2, (1, 2), padding_mode=mode, rng=rng, dtype=np.float64),
            (3, 2, 6),
        )
        for mode in ("reflect", "replicate", "circular")
    },
    "ReflectionPad2d": (lambda rng: nn.ReflectionPad2d((1, 2, 0, 1)), (3, 2, 3, 4)),
    "ReplicationPad2d": (lambda rng: nn.ReplicationPad2d((1, 2, 0, 1)), (3, 2, 3, 4)),
    "CircularPad2d": (lambda rng: nn.CircularPad2d((1, 2, 0, 1)), (3, 2, 3, 4)),
    "ConstantPad2d": (lambda rng: nn.ConstantPad2d((1, -1, 0, 1), 3), (3, 2, 3, 4)),
    "ZeroPad2d": (lambda rng: nn.ZeroPad2d(1), (3, 2, 3, 4)),
    "Dropout, evaluated": (lambda rng: nn.Dropout(0.5, rng=rng).eval(), (3, 4)),
    "Identity": (lambda rng: nn.Identity(), (3, 2, 2, 2)),
    "GlobalAvgPool2d": (lambda rng: nn.GlobalAvgPool2d(), (3, 2, 5, 6)),
    "ResizeChannels, more": (lambda rng: nn.ResizeChannels(5), (3, 2, 3, 4)),
    "ResizeChannels, fewer": (lambda rng: nn.ResizeChannels(1), (3, 2, 3, 4)),
    "Residual": (
        lambda rng: nn.Residual(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, rng=rng, dtype=np.float64), nn.Tanh())),
        (3, 2, 4, 5),
    ),
    "Residual, both ways trained": (
        lambda rng: nn.Residual(nn.Linear(4, 3, rng=rng, dtype=np.float64), nn.Linear(4, 3, rng=rng, dtype=np.float64)),
        (5, 4),
    ),
    "Residual of He's option A": (
        lambda rng: nn.Residual(
            nn.Conv2d(2, 4, 3, 2, 1, rng=rng, dtype=np.float64), nn.Sequential(nn.AvgPool2d(1, 2), nn.ResizeChannels(4))
        ),
        (3, 2, 5, 6),
    ),
    "Upsample": (lambda rng: nn.Upsample(scale_factor=2), (3, 2, 3, 4)),
    "Upsample, bilinear": (lambda rng: nn.Upsample((5, 6), mode="bilinear"), (3, 2, 3, 4)),
    "Upsample, corners": (lambda rng: nn.Upsample(None, (1.5, 2), "bilinear", True), (3, 2, 3, 4)),
    "Concat": (
        lambda rng: nn.Concat(nn.Identity(), nn.Conv2d(2, 3, 3, padding=1, rng=rng, dtype=np.float64), nn.Tanh()),
        (3, 2, 4, 5),
    ),
    "Concat of rows": (lambda rng: nn.Concat(nn.Linear(4, 3, rng=rng, dtype=np.float64), nn.Sigmoid()), (5, 4)),
    "Concat along the width": (
        lambda rng: nn.Concat(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 1)), dim=-1),
        (3, 2, 4, 5),
    ),
    "DepthwiseSeparableConv2d": (
        lambda rng: nn.DepthwiseSeparableConv2d(3, 4, stride=2, rng=rng, dtype=np.float64),
        (3, 3, 6, 5),
    ),
    "Sequential, empty": (lambda rng: nn.Sequential(), (3, 4)),
}


@pytest.fixture
def backend(backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(backend):
        yield backend


def small_net(rng, dtype=np.float64) -> nn.Sequential:
    """Make a net of every kind of layer, small enough for naive; takes (N, 2, 7, 6)."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, rng=rng, dtype=dtype),
        nn.LeakyReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(3, 4, 2, bias=False, rng=rng, dtype=dtype), nn.Tanh()),
        nn.AvgPool2d(2, stride=1),
        nn.Dropout(0.25, rng=rng),
        nn.Flatten(),
        nn.Linear(4, 5, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Linear(5, 4, rng=rng, dtype=dtype),
        nn.Sigmoid(),
    )


FUSED = {
    "LeNet's C1 and S2": (nn.Conv2d, (1, 6, 5), (2, 1, 12, 12), nn.MaxPool2d(2), True),
    "no ReLU": (nn.Conv2d, (2, 3, 3), (3, 2, 8, 6), nn.MaxPool2d(2), False),
    "a partly filled tile, padding, stride": (nn.Conv2d, (2, 7, 3, 2, 1), (17, 2, 12, 20), nn.MaxPool2d((3, 5)), True),
    "groups and dilation": (nn.Conv2d, (4, 6, 3, 1, 2, 2, 2), (2, 4, 6, 6), nn.MaxPool2d(2), True),
    "overlapping windows": (nn.Conv2d, (2, 3, 3), (3, 2, 9, 9), nn.MaxPool2d(3, 2), True),
    "windows that leave a row out": (nn.Conv2d, (2, 3, 2), (3, 2, 8, 8), nn.MaxPool2d(2), True),
    "more blocks than pixels": (nn.Conv2d, (3, 5, 3, 1, 1), (128, 3, 4, 4), nn.MaxPool2d(2), True),
    "chunks of channels": (nn.Conv2d, (48, 5, 3), (3, 48, 8, 8), nn.MaxPool2d(2), True),
    "windows of two pixels": (nn.Conv2d, (2, 5, 3), (3, 2, 6, 6), nn.MaxPool2d((1, 2)), True),
    "signals": (nn.Conv1d, (2, 5, 3, 1, 1), (17, 2, 24), nn.MaxPool1d(2), True),
    "signals, no ReLU": (nn.Conv1d, (2, 5, 3), (3, 2, 23), nn.MaxPool1d(3, 2), False),
    "signals, no pooling": (nn.Conv1d, (2, 5, 3, 2), (3, 2, 23), None, True),
    "ReLU, no pooling": (nn.Conv2d, (2, 5, 3), (3, 2, 12, 12), None, True),
    "ReLU after chunks of channels": (nn.Conv2d, (48, 5, 3, 1, 1), (3, 48, 8, 8), None, True),
    "ReLU, a kernel as large as the image, as in LeNet's C5": (nn.Conv2d, (3, 5, 6), (40, 3, 6, 6), None, True),
    "ReLU, more blocks than pixels": (nn.Conv2d, (3, 5, 3, 1, 1), (128, 3, 4, 4), None, True),
    "ReLU after Linear": (nn.Linear, (12, 7), (20, 12), None, True),
    "ReLU after GroupNorm": (nn.GroupNorm, (2, 4), (20, 4, 3, 3), None, True),
    "ReLU after InstanceNorm2d": (nn.InstanceNorm2d, (4,), (20, 4, 3, 3), None, True),
    "ReLU after LayerNorm": (nn.LayerNorm, (12,), (20, 12), None, True),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("make", "options", "shape", "pool", "relu"), FUSED.values(), ids=FUSED)
def test_fused_neighbours_change_no_bit(make, options, shape, pool, relu, dtype, fast_backend):
    rng = np.random.default_rng(0)
    drawn = {"rng": rng} if "rng" in inspect.signature(make).parameters else {}
    conv = make(*options, **drawn, dtype=dtype)
    layers = [layer for layer in (conv, nn.ReLU() if relu else None, pool) if layer]
    x = rng.standard_normal(shape).astype(dtype)
    x[0, ..., :6] = 0  # ties: all values are the bias
    x[-1, ..., -1] = np.nan
    with fastcnn.use_backend(fast_backend):
        expected = x
        for layer in layers:
            expected = layer(expected)
        dy = dx = rng.standard_normal(expected.shape).astype(dtype)
        for layer in reversed(layers):
            dx = layer.backward(dx)
        gradients = [parameter.grad for parameter in conv.parameters()]
        conv.zero_grad()
        chain = nn.Sequential(*layers)
        assert [type(unit) for unit in fusion.fuse(chain.layers)] == [fusion.ConvMaxPool if pool else fusion.WithReLU]
        np.testing.assert_array_equal(chain(x), expected)
        np.testing.assert_array_equal(chain.backward(dy), dx)
        for parameter, gradient in zip(conv.parameters(), gradients, strict=True):
            np.testing.assert_array_equal(parameter.grad, gradient)


def small_decoder(rng) -> nn.Sequential:
    """Make a net that shrinks images and enlarges them again, so that idle lanes hold biases; takes (N, 2, 7, 6)."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, rng=rng, dtype=np.float64),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1, rng=rng, dtype=np.float64),
        nn.AdaptiveMaxPool2d((5, 3)),
        nn.ConvTranspose2d(3, 2, 2, rng=rng, dtype=np.float64),
        nn.AdaptiveAvgPool2d((4, None)),
    )


def small_resnet(rng) -> nn.Sequential:
    """Make a net of blocks with every kind of shortcut; idle lanes hold biases. Takes (N, 2, 7, 6)."""
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, rng=rng, dtype=np.float64), nn.LeakyReLU())
    return nn.Sequential(
        nn.Residual(body),
        residual_block(2, 4, 2, rng=rng, dtype=np.float64),
        residual_block(4, 6, shortcut="projection", rng=rng, dtype=np.float64),
        nn.DepthwiseSeparableConv2d(6, 3, rng=rng, dtype=np.float64),
        nn.GlobalAvgPool2d(),
        nn.Residual(nn.ScaledTanh(), nn.Linear(3, 3, rng=rng, dtype=np.float64)),
    )


def test_backward_without_input_grad_skips_what_nothing_needs(backend):
    asked = []

    class Spy(nn.Module):
        def __init__(self, inside):
            self.inside = inside

        def forward_native(self, x, backend):
            return self.inside.forward_native(x, backend)

        def backward_native(self, dy, backend, input_grad):
            asked.append((type(self.inside).__name__, input_grad))
            return self.inside.backward_native(dy, backend, input_grad)

    layers = (nn.Tanh(), nn.Linear(3, 3, dtype=np.float64), nn.ReLU(), nn.Linear(3, 2, dtype=np.float64))
    model, x = nn.Sequential(*map(Spy, layers)), np.ones((2, 3))
    assert model.backward(model(x), input_grad=False) is None
    assert asked == [("Linear", True), ("ReLU", True), ("Linear", False)]
    without = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    assert model.backward(model(x)).shape == x.shape
    for a, b in zip(without, model.parameters(), strict=True):
        np.testing.assert_array_equal(a, b.grad)


def test_nothing_to_train_and_no_input_grad():
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    assert model.backward(model(np.ones((2, 3))), input_grad=False) is None


def test_the_gradient_of_a_number_is_an_array():
    parameter = nn.Parameter(np.array(1.0))
    for total in (2, 4):
        parameter.accumulate(np.ones(2).sum())
        assert isinstance(parameter.grad, np.ndarray)
        assert parameter.grad == total


def test_gradients_accumulate_until_zero_grad(backend):
    model, x = small_net(np.random.default_rng(4)).eval(), np.random.default_rng(5).standard_normal((3, 2, 7, 6))
    dy = model(x)
    model.backward(dy)
    once = [parameter.grad for parameter in model.parameters()]
    kept = [grad.copy() for grad in once]
    model.backward(dy)
    for parameter, first, copied in zip(model.parameters(), once, kept, strict=True):
        np.testing.assert_allclose(parameter.grad, 2 * copied, rtol=1e-12)
        np.testing.assert_array_equal(first, copied)  # a gradient that was taken before is unchanged
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_one_batch_leaves_no_trace_in_the_next(backend):
    rng = np.random.default_rng(6)
    model, big, small = small_net(rng).eval(), rng.standard_normal((21, 2, 7, 6)), rng.standard_normal((2, 2, 7, 6))

    def pass_through(model, x):
        model.zero_grad()
        y = model(x)
        return [y, model.backward(np.ones_like(y)), *(parameter.grad for parameter in model.parameters())]

    fresh = pass_through(copy.deepcopy(model), small)
    pass_through(model, big)
    for actual, expected in zip(pass_through(model, small), fresh, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_output_belongs_to_the_caller(backend):
    layer, x = nn.Sigmoid(), np.zeros((2, 3))
    y = layer(x)
    y += 100
    np.testing.assert_array_equal(layer.backward(np.ones((2, 3))), np.full((2, 3), 0.25))


def test_backward_uses_the_backend_of_forward():
    layer, x = nn.Conv2d(1, 1, 2), np.ones((2, 1, 3, 3), np.float32)
    with fastcnn.use_backend("numba"):
        y = layer(x)
    with fastcnn.use_backend("naive"):
        assert layer.backward(y).shape == x.shape


def test_bias_learns_a_constant(backend):
    layer, x = nn.Linear(2, 3, dtype=np.float64), np.zeros((4, 2))
    target, criterion = np.tile([1.0, -2.0, 0.5], (4, 1)), nn.MSELoss()
    for _ in range(100):
        criterion(layer(x), target)
        layer.zero_grad()
        layer.backward(criterion.backward())
        layer.bias.data -= layer.bias.grad
    np.testing.assert_allclose(layer.bias.data, [1, -2, 0.5], rtol=1e-6)


def test_dropout_keeps_the_mean_and_scales(backend):
    layer, x = nn.Dropout(0.2, rng=np.random.default_rng(9)), np.ones((100, 4, 5, 5))
    y = layer(x)
    assert set(np.unique(y)) == {0, 1.25}
    assert y.mean() == pytest.approx(1, abs=0.02)  # four standard deviations of 10,000 draws
    np.testing.assert_array_equal(layer.backward(x), y)  # the same mask
    assert not np.array_equal(layer(x), y)  # another mask
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(y), y)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_draws_the_same_mask_in_every_backend(kind):
    x, masks = np.ones((5, 3, 4, 4), np.float32), []
    for name in ("naive", "numpy", "numba"):
        with fastcnn.use_backend(name):
            masks.append(kind(0.5, rng=np.random.default_rng(10))(x))
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
def test_dropout_of_all_leaves_nothing(kind, dtype, backend):
    layer, x = kind(1.0), np.random.default_rng(0).standard_normal((19, 3, 4, 5)).astype(dtype)
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), np.zeros_like(x))
        np.testing.assert_array_equal(layer.backward(x), np.zeros_like(x))
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_dropout2d_drops_whole_channels(backend):
    layer, x = nn.Dropout2d(0.2, rng=np.random.default_rng(9)), np.ones((500, 20, 2, 3))
    y = layer(x)
    assert set(np.unique(y)) == {0, 1.25}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :, :1, :1], y.shape))
    assert y.mean() == pytest.approx(1, abs=0.02)  # four standard deviations of 10,000 draws
    np.testing.assert_array_equal(layer.backward(x), y)  # the same mask
    assert not np.array_equal(layer(x), y)  # another mask
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_dropout2d_needs_images(backend):
    for shape in ((2, 3), (2, 3, 4)):
        for layer in (nn.Dropout2d(), nn.Dropout2d().eval()):
            with pytest.raises(ValueError, match=r"Dropout2d\(p=0.5\) needs images \(N, C, H, W\) but its input has"):
                layer(np.ones(shape))


def test_dropout_draws_as_many_numbers_as_it_needs():
    rng = np.random.default_rng(3)
    expected = rng.random((4, 5), dtype=np.float32)[..., None, None] >= 0.5, rng.random((4, 5, 2, 3), np.float32) >= 0.5
    rng = np.random.default_rng(3)
    for kind, kept in zip((nn.Dropout2d, nn.Dropout), expected, strict=True):
        np.testing.assert_array_equal(
            kind(0.5, rng=rng)(np.ones((4, 5, 2, 3))) > 0, np.broadcast_to(kept, (4, 5, 2, 3))
        )


def test_train_and_eval_reach_every_module():
    model = small_net(np.random.default_rng(0))
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train() is model
    assert all(module.training for module in model.modules())


def test_deepcopy_after_a_batch_is_a_model_of_its_own(backend):
    model, x = small_net(np.random.default_rng(11)).eval(), np.ones((2, 2, 7, 6))
    y = model(x)
    twin = copy.deepcopy(model)
    next(twin.parameters()).data[...] = 0
    np.testing.assert_array_equal(model(x), y)
    with pytest.raises(RuntimeError, match=r"call Sequential.forward first"):
        twin.backward(y)


class TwoPaths(nn.Module):
    """A model with layers as attributes instead of a Sequential."""

    def __init__(self):
        self.scale = nn.Parameter(np.ones((1,)))
        self.left = nn.Linear(3, 2, dtype=np.float64)
        self.right = nn.Sequential(nn.Linear(3, 2, bias=False, dtype=np.float64), nn.Tanh())


def test_names_of_attributes():
    model = TwoPaths()
    assert list(model.state_dict()) == ["scale", "left.weight", "left.bias", "right.0.weight"]
    assert [name for name, _ in model.named_children()] == ["left", "right"]


def test_state_dict_round_trip():
    model, twin = small_net(np.random.default_rng(12)), small_net(np.random.default_rng(13))
    state = model.state_dict()
    twin.load_state_dict(state)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    state["0.weight"][...] = 0
    assert next(model.parameters()).data.all()  # the state is a copy
    assert next(twin.parameters()).data.all()


def test_names_are_those_of_torch():
    torch = pytest.importorskip("torch")
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3),
        torch.nn.LeakyReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2, bias=False), torch.nn.Tanh()),
        torch.nn.AvgPool2d(2),
        torch.nn.Dropout(),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
        torch.nn.ReLU(),
        torch.nn.Linear(5, 4),
    )
    ours = {name: array.shape for name, array in small_net(np.random.default_rng(0)).state_dict().items()}
    assert list(ours.items()) == [(name, tuple(tensor.shape)) for name, tensor in twin.state_dict().items()]


@pytest.mark.parametrize("options", [{}, {"groups": 2, "stride": 2, "output_padding": 1}], ids=["plain", "groups"])
def test_state_of_conv_transpose_is_that_of_torch(options, backend):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.ConvTranspose2d(4, 6, 3, **options, dtype=torch.float64)
    ours = nn.ConvTranspose2d(4, 6, 3, **options, dtype=np.float64)
    ours.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    x = np.random.default_rng(16).standard_normal((2, 4, 3, 5))
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12, atol=1e-13)


def test_load_state_dict_lists_every_fault_and_changes_nothing():
    layer = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    before = layer.state_dict()
    state = layer.state_dict()
    state["0.weight"] = np.zeros((2, 1, 5, 5), np.float32)
    state["0.bias"] = np.zeros(2)
    del state["2.bias"]
    state["3.weight"] = np.zeros(1)
    with pytest.raises(ValueError, match="does not fit this Sequential") as error:
        layer.load_state_dict(state)
    for part in (
        "`0.weight` has shape (2, 1, 5, 5) but must have (2, 1, 3, 3)",
        "`0.bias` is float64 but must be float32",
        "`2.bias` is missing",
        "`3.weight` is unknown",
    ):
        assert part in str(error.value)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_part_of_a_state_is_loaded():
    """As in PyTorch, names that exist on one side only are returned; arrays on both sides must fit."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 2, rng=rng), nn.BatchNorm1d(2))
    before, state = model.state_dict(), nn.Linear(3, 2, rng=rng).state_dict()
    part = {"0.weight": state["weight"], "1.running_var": np.full(2, 7, np.float32), "head.bias": state["bias"]}
    found = model.load_state_dict(part, strict=False)
    assert found == (["0.bias", "1.weight", "1.bias", "1.running_mean", "1.num_batches_tracked"], ["head.bias"])
    assert "missing_keys=['0.bias'" in repr(found)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, part.get(name, before[name]))
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"^The state does not fit this Sequential: `0.weight` has shape \(2, 2\) but"):
        model.load_state_dict({"0.weight": np.ones((2, 2), np.float32), "0.bias": before["0.bias"] + 1}, strict=False)
    with pytest.raises(TypeError, match="`strict` must be True or False, not 0"):
        model.load_state_dict({}, 0)
    np.testing.assert_array_equal(model[0].bias.data, before["0.bias"])
    all_of_it = model.load_state_dict(before)
    assert all_of_it == ([], [])
    assert repr(all_of_it) == "<All keys matched successfully>"


def test_a_part_of_what_layers_share_is_loaded():
    layer = nn.Linear(3, 3, rng=np.random.default_rng(0))
    model = nn.Sequential(layer, nn.ReLU(), layer)
    weight = np.ones((3, 3), np.float32)
    assert model.load_state_dict({"2.weight": weight}, strict=False).missing_keys == ["0.weight", "0.bias", "2.bias"]
    np.testing.assert_array_equal(layer.weight.data, weight)
    with pytest.raises(ValueError, match=r"`2\.weight` and `0\.weight` are the same array here but differ in the"):
        model.load_state_dict({"0.weight": weight, "2.weight": weight + 1}, strict=False)


def test_repr_shows_the_model():
    assert repr(small_net(np.random.default_rng(0))).splitlines()[:6] == [
        "Sequential(",
        "  (0): Conv2d(2, 3, kernel_size=(3, 3), padding=1)",
        "  (1): LeakyReLU(negative_slope=0.01)",
        "  (2): MaxPool2d(kernel_size=(2, 2), stride=(2, 2))",
        "  (3): Sequential(",
        "    (0): Conv2d(3, 4, kernel_size=(2, 2), bias=False)",
    ]
    assert repr(nn.ConvTranspose2d(1, 2, 3, stride=2, padding=1, output_padding=(1, 0), bias=False)) == (
        "ConvTranspose2d(1, 2, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 0), bias=False)"
    )
    assert repr(nn.GELU("tanh")) == "GELU(approximate='tanh')"
    assert repr(nn.ConvTranspose2d(1, 2, 3)) == "ConvTranspose2d(1, 2, kernel_size=(3, 3))"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"
    assert repr(nn.Dropout(0.3)) == "Dropout(p=0.3)"
    assert repr(nn.AvgPool2d(2, count_include_pad=False)) == (
        "AvgPool2d(kernel_size=(2, 2), stride=(2, 2), count_include_pad=False)"
    )


FLOAT32 = np.ones((8, 1, 28, 28), np.float32)
SIX = "Conv2d(6, 16, kernel_size=(5, 5))"


@pytest.mark.parametrize(
    ("layer", "x", "error", "text"),
    [
        pytest.param(nn.Conv2d(6, 16, 5), FLOAT32, ValueError,
                     f"{SIX} needs 6 input channels but its input has shape (8, 1, 28, 28).", id="channels"),
        pytest.param(nn.Conv1d(1, 2, 5), FLOAT32, ValueError,
                     "Conv1d(1, 2, kernel_size=(5,)) needs signals (N, C, L) but its input has shape (8, 1, 28, 28).",
                     id="images for signals"),
        pytest.param(nn.Conv1d(1, 2, 5), FLOAT32[:, 0, :1, :4], ValueError,
                     "cannot take an input of shape (8, 1, 4). The window spans 5 positions along the length",
                     id="short signal"),
        pytest.param(nn.AdaptiveAvgPool1d(2), FLOAT32, ValueError, "needs signals (N, C, L)", id="images to pool"),
        pytest.param(nn.BatchNorm1d(1), FLOAT32, ValueError, "needs rows (N, features) or signals (N, C, L)",
                     id="images to normalize"),
        pytest.param(nn.Conv2d(6, 16, 5), FLOAT32[:, 0], ValueError,
                     f"{SIX} needs images (N, C, H, W) but its input has shape (8, 28, 28).", id="no channel axis"),
        pytest.param(nn.Conv2d(6, 16, 5), np.ones((2, 6, 4, 9), np.float32), ValueError,
                     f"{SIX} cannot take an input of shape (2, 6, 4, 9). The window spans 5 pixels along the height",
                     id="small image"),
        pytest.param(nn.Conv2d(1, 2, 5), FLOAT32.astype(np.float64), TypeError,
                     "has float32 parameters but its input is float64", id="other dtype"),
        pytest.param(nn.ConvTranspose2d(6, 16, 5), FLOAT32, ValueError,
                     "ConvTranspose2d(6, 16, kernel_size=(5, 5)) needs 6 input channels but its input has shape (8, 1",
                     id="channels to transpose"),
        pytest.param(nn.ConvTranspose2d(1, 2, 3, padding=2, dtype=np.float64), np.ones((1, 1, 2, 2)), ValueError,
                     "cannot take an input of shape (1, 1, 2, 2). `padding` (2 along the height) leaves nothing",
                     id="padding cuts all off"),
        pytest.param(nn.MaxPool2d(3), np.ones((1, 1, 2, 3)), ValueError,
                     "MaxPool2d(kernel_size=(3, 3), stride=(3, 3)) cannot take an input of shape (1, 1, 2, 3).",
                     id="image smaller than the pool"),
        pytest.param(nn.AvgPool2d(3), np.ones((1, 2)), ValueError,
                     "AvgPool2d(kernel_size=(3, 3), stride=(3, 3)) needs images (N, C, H, W)", id="pooling of rows"),
        pytest.param(nn.AdaptiveAvgPool2d(3), np.ones((1, 2)), ValueError,
                     "AdaptiveAvgPool2d(output_size=3) needs images (N, C, H, W)", id="adaptive pooling of rows"),
        pytest.param(nn.GlobalAvgPool2d(), np.ones((1, 2)), ValueError,
                     "GlobalAvgPool2d() needs images (N, C, H, W) but its input has shape (1, 2)", id="mean of rows"),
        pytest.param(nn.ResizeChannels(3), np.ones((1, 2)), ValueError,
                     "ResizeChannels(channels=3) needs images (N, C, H, W)", id="channels of rows"),
        pytest.param(nn.Residual(nn.Conv2d(1, 4, 5)), FLOAT32, ValueError,
                     "The body of a Residual returns shape (8, 4, 24, 24) for an input of shape (8, 1, 28, 28), but "
                     "its shortcut returns (8, 1, 28, 28); both must return the same shape.",
                     id="a body that changes the shape"),
        pytest.param(nn.Linear(784, 10), FLOAT32, ValueError, "Flatten makes rows", id="images without Flatten"),
        pytest.param(nn.Linear(100, 10), FLOAT32.reshape(8, -1), ValueError,
                     "needs 100 input features but its input has shape (8, 784)", id="features"),
        pytest.param(nn.Linear(2, 2), np.ones((1, 2)), TypeError, "but its input is float64", id="rows' dtype"),
        pytest.param(nn.ReLU(), np.ones(3), ValueError, "`x` must have at least 2 dimensions", id="no batch axis"),
        pytest.param(nn.ReLU(), np.ones((3, 3), int), TypeError, "`x` must be float32 or float64", id="integers"),
        pytest.param(nn.ReLU(), [[1.0]], TypeError, "`x` must be a numpy array, not list", id="a list"),
        pytest.param(nn.ReLU(), np.ones((0, 3)), ValueError, "`x` is empty", id="empty batch"),
    ],
)  # fmt: skip
def test_forward_says_what_does_not_fit(layer, x, error, text, backend):
    with pytest.raises(error) as raised:
        layer(x)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("dy", "error", "text"),
    [
        pytest.param(np.ones((2, 4)), ValueError, "`dy` has shape (2, 4) but must have (2, 3), the shape of the last",
                     id="shape"),
        pytest.param(np.ones((2, 3), np.float32), TypeError, "`dy` is float32 but `y` is float64", id="dtype"),
        pytest.param(None, TypeError, "`dy` must be a numpy array", id="no array"),
    ],
)  # fmt: skip
def test_backward_says_what_does_not_fit(dy, error, text):
    layer = nn.Linear(2, 3, dtype=np.float64)
    layer(np.ones((2, 2)))
    with pytest.raises(error) as raised:
        layer.backward(dy)
    assert text in str(raised.value)
    assert layer.weight.grad is None


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.CrossEntropyLoss()], ids=["layer", "loss"])
def test_backward_needs_forward(layer):
    with pytest.raises(RuntimeError, match=r"backward needs .*: call"):
        layer.backward(*(np.ones((1, 1)),) * isinstance(layer, nn.Module))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(lambda: nn.Conv1d(1, 1, (3, 3)), ValueError,
                     "`kernel_size` must be an int or a tuple of one int, at least 1, not (3, 3)",
                     id="kernel of images"),
        pytest.param(lambda: nn.ConvTranspose1d(1, 1, 3, padding=(1, 0)), ValueError,
                     "`padding` must be an int or a tuple of one int, at least 0, not (1, 0)",
                     id="transposed, two sides"),
        pytest.param(lambda: nn.MaxPool1d(2, padding=2), ValueError, "which spans 2 positions",
                     id="pooling of signals"),
        pytest.param(lambda: nn.Conv2d(0, 1, 3), ValueError, "`in_channels` is 0 but must be at least", id="channels"),
        pytest.param(lambda: nn.Conv2d(1, 1.5, 3), TypeError, "`out_channels` must be a whole number", id="filters"),
        pytest.param(lambda: nn.Conv2d(1, 1, 0), ValueError, "`kernel_size` must be", id="empty kernel"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "`stride` must be", id="zero stride"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "`padding` must be", id="negative padding"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "not 'full'", id="unknown padding"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, dilation=0), ValueError, "`dilation` must be", id="zero dilation"),
        pytest.param(lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError,
                     "`groups` is 4 but must divide `in_channels` (4) and `out_channels` (6)", id="groups"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, dtype=int), TypeError, "`dtype` must be float32 or", id="dtype"),
        pytest.param(lambda: nn.Conv2d(1, 1, 3, rng=0), TypeError, "`rng` must be a numpy.random.Generator, not int",
                     id="a seed as rng"),
        pytest.param(lambda: nn.ConvTranspose2d(4, 6, 3, groups=4), ValueError,
                     "`groups` is 4 but must divide `in_channels` (4) and `out_channels` (6)", id="transposed groups"),
        pytest.param(lambda: nn.ConvTranspose2d(1, 1, 3, padding="same"), ValueError,
                     "`padding` must be an int or a pair of ints, each at least 0, not 'same'", id="transposed same"),
        pytest.param(lambda: nn.ConvTranspose2d(1, 1, 3, 2, 3, 2), ValueError,
                     "`output_padding` is 2 along the height but must be smaller than `stride` (2) or `dilation` (1)",
                     id="output padding of a stride"),
        pytest.param(lambda: nn.MaxPool2d(2, padding=2), ValueError, "must be at most half", id="wide padding"),
        pytest.param(lambda: nn.AvgPool2d(2, stride=(1, 2, 3)), ValueError, "`stride` must be", id="three strides"),
        pytest.param(lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "`divisor_override` must not be 0",
                     id="divisor"),
        pytest.param(lambda: nn.AdaptiveMaxPool2d((1, 0)), ValueError,
                     "`output_size` must be an int or a pair of ints", id="no columns of output"),
        pytest.param(lambda: nn.Linear(3, 0), ValueError, "`out_features` is 0", id="features"),
        pytest.param(lambda: nn.Linear(3, 1, dtype="f2"), TypeError, "not float16", id="half precision"),
        pytest.param(lambda: nn.Dropout(1.1), ValueError, "`p` is 1.1 but must be at least 0 and at most 1",
                     id="drop more than all"),
        pytest.param(lambda: nn.Dropout2d(-0.1), ValueError, "`p` is -0.1 but must be at least 0", id="drop less"),
        pytest.param(lambda: nn.Dropout(rng=1), TypeError, "`rng` must be", id="a seed as Dropout's rng"),
        pytest.param(lambda: nn.GELU("erf"), ValueError, "`approximate` is 'erf' but must be one of 'none', 'tanh'",
                     id="gelu"),
        pytest.param(lambda: nn.ELU(np.nan), ValueError, "`alpha` is nan", id="alpha"),
        pytest.param(lambda: nn.GroupNorm(3, 4), ValueError,
                     "`num_groups` is 3 but must divide `num_channels` (4).", id="groups of a norm"),
        pytest.param(lambda: nn.GroupNorm(0, 4), ValueError, "`num_groups` is 0", id="no groups"),
        pytest.param(lambda: nn.GroupNorm(1, 4, -1), ValueError, "`eps` is -1 but must be", id="negative eps"),
        pytest.param(lambda: nn.GroupNorm(1, 4, affine=1), TypeError, "`affine` must be True or", id="affine"),
        pytest.param(lambda: nn.InstanceNorm2d(4, 1e-5, 0.1), TypeError, "positional argument", id="momentum"),
        pytest.param(lambda: nn.LayerNorm(()), ValueError, "`normalized_shape` must be an int or", id="over nothing"),
        pytest.param(lambda: nn.LayerNorm((3, 0)), ValueError, "not (3, 0).", id="over no columns"),
        pytest.param(lambda: nn.LayerNorm(2.0), ValueError, "not 2.0.", id="over a fraction"),
        pytest.param(lambda: nn.LayerNorm(2, dtype=int), TypeError, "`dtype` must be float32", id="whole numbers"),
        pytest.param(lambda: nn.PReLU(0), ValueError, "`num_parameters` is 0", id="no slope"),
        pytest.param(lambda: nn.PReLU(1, None), TypeError, "`init` must be a number", id="slope of nothing"),
        pytest.param(lambda: nn.Softplus(0), ValueError, "`beta` is 0 but must be at least", id="no sharpness"),
        pytest.param(lambda: nn.Softplus(1, np.inf), ValueError, "`threshold` is inf but must be", id="no threshold"),
        pytest.param(lambda: nn.Softmax(0), ValueError, "`dim` must not be 0, the batch", id="softmax of the batch"),
        pytest.param(lambda: nn.Softmax(None), TypeError, "`dim` must be a whole number, not None", id="softmax, None"),
        pytest.param(lambda: nn.LeakyReLU("0"), TypeError, "`negative_slope` must be a number", id="slope"),
        pytest.param(lambda: nn.MSELoss("all"), ValueError, "`reduction` is 'all'", id="reduction"),
        pytest.param(lambda: nn.SmoothL1Loss(beta=-1), ValueError, "`beta` is -1 but must be at least 0", id="beta"),
        pytest.param(lambda: nn.HuberLoss(delta=0.0), ValueError, "`delta` is 0 but must be above 0", id="delta"),
        pytest.param(lambda: nn.BCEWithLogitsLoss(pos_weight=[2.0]), TypeError,
                     "`pos_weight` must be a numpy array, not list. Make one with np.array(pos_weight).", id="a list"),
        pytest.param(lambda: nn.CrossEntropyLoss("sum"), TypeError, "`weight` must be a numpy array, not str",
                     id="the reduction in the place of the weights"),
        pytest.param(lambda: nn.CrossEntropyLoss(np.array([1.0, -1.0])), ValueError,
                     "`weight` holds -1.0, but weights must be finite and", id="negative weight"),
        pytest.param(lambda: nn.CrossEntropyLoss(ignore_index=None), TypeError,
                     "`ignore_index` must be a whole number, not None", id="ignore nothing"),
        pytest.param(lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "`label_smoothing` is 2",
                     id="smoothing"),
        pytest.param(lambda: nn.Sequential(nn.ReLU(), np.tanh), TypeError,
                     "Layer 1 of Sequential must be a Module, not ufunc", id="no module"),
        pytest.param(lambda: nn.Residual(np.tanh), TypeError, "`body` must be a Module, not ufunc", id="no body"),
        pytest.param(lambda: nn.Residual(nn.ReLU(), "identity"), TypeError, "`shortcut` must be a Module, not str",
                     id="no shortcut"),
        pytest.param(lambda: nn.ResizeChannels(0), ValueError, "`channels` is 0", id="no channels"),
        pytest.param(lambda: nn.ScaledTanh(0), ValueError, "`amplitude` is 0 but must be at least", id="amplitude"),
        pytest.param(lambda: nn.ScaledTanh(slope="1"), TypeError, "`slope` must be a number", id="slope of tanh"),
        pytest.param(lambda: nn.Parameter([1.0]), TypeError, "`data` must be a numpy array", id="parameter"),
    ],
)  # fmt: skip
def test_construction_says_what_is_wrong(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert text in str(raised.value)


@pytest.mark.parametrize("padding", ["same", "valid", (1, 2), [1, 2], (0, 1, 2, 0)], ids=str)
def test_conv2d_takes_every_form_of_padding(padding):
    x = np.random.default_rng(15).standard_normal((2, 1, 6, 5))
    layer = nn.Conv2d(1, 2, 3, padding=padding, dtype=np.float64)
    expected = fastcnn.functional.conv2d(x, layer.weight.data, layer.bias.data, padding=padding, backend="naive")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dim", [2, -2, -3])
def test_softmax_needs_its_axis(dim, backend):
    with pytest.raises(ValueError, match=rf"Softmax\(dim={dim}\) needs an axis {dim} after the batch axis, but its in"):
        nn.Softmax(dim)(np.ones((2, 3)))


@pytest.mark.parametrize("dim", [1, 2, 3, -1])
def test_softmax_of_images_is_that_of_the_function(dim, dtype, backend):
    x = np.random.default_rng(0).standard_normal((19, 3, 5, 20)).astype(dtype)
    layer, y = nn.Softmax(dim), fastcnn.functional.softmax(x, dim, backend="naive")
    np.testing.assert_allclose(layer(x), y, rtol=1e-5 if dtype == np.float32 else 1e-12)
    dx = fastcnn.functional.softmax_backward(x, y, dim, backend="naive")
    np.testing.assert_allclose(layer.backward(x), dx, atol=1e-6 if dtype == np.float32 else 1e-12)


LINEAR, CONV, TRANSPOSE, NORM = nn.Linear(3, 5), nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(3)
ARRAYS = {
    "a bias too short": (LINEAR, "bias", np.zeros(2, "f4"), "has shape (2,) but must have (5,)"),
    "a bias of float64": (LINEAR, "bias", np.zeros(5), "is float64 but must be float32"),
    "other features": (LINEAR, "weight", np.zeros((5, 4), "f4"), "has shape (5, 4) but must have (5, 3)"),
    "a list": (LINEAR, "bias", [0.0] * 5, "must hold a numpy array, not list"),
    "a 5x5 filter": (CONV, "weight", np.ones((6, 3, 5, 5), "f4"), "(6, 3, 5, 5) but must have (6, 3, 3, 3)"),
    "more filters": (CONV, "weight", np.ones((7, 3, 3, 3), "f4"), "(7, 3, 3, 3) but must have (6, 3, 3, 3)"),
    "fewer channels": (CONV, "weight", np.ones((6, 2, 3, 3), "f4"), "(6, 2, 3, 3) but must have (6, 3, 3, 3)"),
    "a filter's bias": (CONV, "bias", np.ones(5, "f4"), "has shape (5,) but must have (6,)"),
    "filters transposed": (TRANSPOSE, "weight", np.ones((6, 3, 3, 3), "f4"), "must have (3, 6, 3, 3)"),
    "a channel's weight": (NORM, "weight", np.ones(2, "f4"), "has shape (2,) but must have (3,)"),
    "a running mean": (NORM, "running_mean", np.ones(1, "f4"), "has shape (1,) but must have (3,)"),
    "a variance of float64": (NORM, "running_var", np.ones(3), "is float64 but must be float32"),
}


@pytest.mark.parametrize(("layer", "name", "array", "text"), ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("when", ["before forward", "before backward", "replayed", "fused"])
def test_an_array_put_into_a_parameter_must_fit(layer, name, array, text, when, backend):
    layer = copy.deepcopy(layer)
    x = np.ones((2, 3) if isinstance(layer, nn.Linear) else (2, 3, 7, 7), np.float32)
    model = nn.Sequential(layer, nn.ReLU()) if when == "fused" else nn.Sequential(layer)
    y = model(x)
    if when == "replayed":
        model.backward(y)
        model(x)
    getattr(layer, name).data = array
    with pytest.raises((TypeError, ValueError), match=rf"`{name}` of .*{re.escape(text)}"):
        model.backward(y) if when == "before backward" else model(x)


def test_a_parameter_may_be_exchanged_for_one_that_fits(backend):
    layer, x = nn.Linear(3, 2, dtype=np.float64), np.random.default_rng(0).standard_normal((4, 3))
    layer(x)
    layer.weight, layer.bias = nn.Parameter(np.arange(6.0).reshape(3, 2).T), None
    np.testing.assert_allclose(layer(x), x @ np.arange(6.0).reshape(3, 2))
    for parameter in layer.parameters():  # converts to another dtype
        parameter.data = parameter.data.astype(np.float32)
    np.testing.assert_allclose(layer(x.astype(np.float32)), x @ np.arange(6.0).reshape(3, 2), rtol=1e-5, atol=1e-6)


def test_layers_may_be_assigned(backend):
    model = fastcnn.models.LeNet5(rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 1, 32, 32)).astype(np.float32)
    model(x)
    model.layers = [*model.layers[:-1], nn.Linear(84, 3, rng=np.random.default_rng(2))]
    y = model(x)
    assert y.shape == model.compile_inference()(x).shape == (2, 3)
    assert nn.summarize(model).rows[0].output_shape == (3,)
    assert model.backward(y).shape == x.shape
    assert model[-1].weight.grad.shape == list(model.parameters())[-2].shape == (3, 84)
    with pytest.raises(TypeError, match="Layer 1 of LeNet5 must be a Module, not str"):
        model.layers = (nn.ReLU(), "Linear")
    np.testing.assert_array_equal(model(x), y)


def test_a_layer_beside_the_chain_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(
        AttributeError, match=r"`fc` is none of the layers of this Sequential.*model.layers = \(\*model"
    ):
        model.fc = nn.Linear(2, 2)
    assert not hasattr(model, "fc")
    model.head = model[1]  # a second name for a layer
    layers = model.layers
    with pytest.raises(AttributeError, match="`head` is none of the layers"):
        model.layers = layers[:1]
    assert model.layers == layers

    class Net(nn.Sequential):
        def __init__(self):
            self.features = nn.Sequential(nn.Flatten())  # before super().__init__()
            self.inside = nn.Linear(4, 2)
            super().__init__(self.features, nn.Sequential(self.inside))

    assert list(Net().state_dict()) == ["1.0.weight", "1.0.bias"]
