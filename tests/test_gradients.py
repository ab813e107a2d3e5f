"""Gradients of every layer, loss and model; the tests fail if one is left out.

The gradients of single layers are checked in test_contracts.py, those of losses in test_losses.py. The tests here check
that their tables cover all of `fastcnn.nn`.
"""

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn
from fastcnn.testing import LOSS_CASES, central_difference
from tests.profile import FULL
from tests.test_nn import LAYERS

# Layers for which <A x, y> = <x, A' y>, where A' y is the result of `backward`: linear ones, after the output for x = 0
# is subtracted, and those that select or scale inputs, which are linear as long as the selection stays the same.
LINEAR = (
    "Conv1d", "ConvTranspose1d", "AvgPool1d", "AdaptiveAvgPool1d", "MaxPool1d", "AdaptiveMaxPool1d",
    "Conv2d", "ConvTranspose2d", "Linear", "AvgPool2d", "AdaptiveAvgPool2d", "GlobalAvgPool2d", "MaxPool2d",
    "AdaptiveMaxPool2d", "ReLU", "LeakyReLU", "Flatten", "Identity", "ResizeChannels", "Dropout",
)  # fmt: skip

# Small images, or sizes of other tests, whose kernels are compiled already.
MODELS = {
    "lenet5": {"image_size": 32}, "lenet5_classic": {"image_size": 32}, "conv8": {"image_size": 6},
    "conv4_conv8": {"image_size": 8},
    "mlp": {"image_size": 4, "hidden": (7, 5)}, "vgg7": {"image_size": 8}, "resnet20": {"image_size": 16},
    "small_mobilenet": {"image_size": 4},
}  # fmt: skip


def kind(name: str) -> str:
    """Return the name of the class in an entry of a table."""
    return name.replace(",", " ").split()[0]


@pytest.fixture
def backend(backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(backend):
        yield backend


def public(has_backward_only: bool) -> set[str]:
    """Return the names of the layers of `fastcnn.nn`, or of the losses, which have ``backward`` but are not layers."""
    classes = {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    if has_backward_only:
        return {name for name, c in classes.items() if hasattr(c, "backward") and not issubclass(c, nn.Module)}
    return {name for name, c in classes.items() if issubclass(c, nn.Module) and c is not nn.Module}


def test_no_layer_is_left_out():
    others = {"Parallel", "ModuleList", "ModuleDict"}  # see test_branches and test_module_lists
    assert {kind(name) for name in LAYERS} == public(has_backward_only=False) - others
    for name, (make, _) in LAYERS.items():
        assert type(make(np.random.default_rng(0))).__name__ == kind(name)


def test_no_loss_is_left_out():
    assert {case.layer for case in LOSS_CASES} == set(nn.LOSSES) == public(has_backward_only=True)


def test_no_model_is_left_out():
    assert set(MODELS) == set(models.NAMES)


@pytest.mark.parametrize("name", [name for name in LAYERS if kind(name) in LINEAR])
def test_backward_is_the_adjoint(name, backend):
    rng = np.random.default_rng(0)
    make, shape = LAYERS[name]
    layer, x = make(rng), rng.standard_normal(shape)
    level = layer(np.zeros(shape))  # the bias
    y = layer(x)
    dy = rng.standard_normal(y.shape)
    forward, backward = (y - level) * dy, x * layer.backward(dy)
    # each product has the rounding errors of sums of a few dozen terms
    roundings = 200 * np.finfo(float).eps * (np.abs(y * dy).sum() + np.abs(level * dy).sum() + np.abs(backward).sum())
    assert abs(forward.sum() - backward.sum()) <= roundings


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.4, rng=np.random.default_rng(1)),
        nn.Dropout(0.0),
        nn.Dropout(1.0),
        nn.Dropout2d(0.4, rng=np.random.default_rng(1)),
    ],
    ids=repr,
)
def test_dropout_hands_back_what_it_let_through(layer, backend):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 19, 3, 4, 5))
    y = layer(x)
    assert (y * dy).sum() == pytest.approx((x * layer.backward(dy)).sum(), rel=1e-12)


@pytest.mark.parametrize("name", models.NAMES)
def test_gradient_of_a_whole_model_is_its_directional_derivative(name, backend):
    if backend == "naive" and name not in ("conv8", "mlp"):
        pytest.skip("naive takes minutes")
    if backend == "numba" and name not in ("lenet5", "mlp") and not FULL:
        pytest.skip("compiles kernels that no other test needs; run with FASTCNN_TEST_PROFILE=full")
    rng = np.random.default_rng(0)
    model = models.build(name, num_classes=3, **MODELS[name], rng=rng, dtype=np.float64)
    criterion, parameters = nn.CrossEntropyLoss(), list(model.parameters())
    x, labels = rng.standard_normal((3, *model.input_shape)), np.array([0, 1, 2])
    start = np.concatenate([parameter.data.ravel() for parameter in parameters])
    cuts = np.cumsum([parameter.size for parameter in parameters])[:-1]

    def loss(values):
        for parameter, part in zip(parameters, np.split(values, cuts), strict=True):
            parameter.data = part.reshape(parameter.shape)
        return criterion(model(x), labels)

    loss(start)
    dx = model.backward(criterion.backward())
    gradient = np.concatenate([parameter.grad.ravel() for parameter in parameters])
    # the step is so short that few ReLUs and maxima switch; the rounding error is 1e-16 / 1e-7
    direction = rng.standard_normal(start.shape) / np.sqrt(start.size)
    slope = central_difference(loss, start, direction, step=1e-7)
    assert gradient @ direction == pytest.approx(slope, rel=1e-5, abs=1e-8)
    loss(start)
    direction = rng.standard_normal(x.shape) / np.sqrt(x.size)
    slope = central_difference(lambda x: criterion(model(x), labels), x, direction, step=1e-7)
    assert (dx * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8)
