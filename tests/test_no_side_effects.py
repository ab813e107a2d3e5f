"""Calls do not change their inputs, and one call does not affect the next."""

import zlib

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn
from fastcnn import functional as F
from fastcnn.testing import LOSS_CASES, activations
from fastcnn.testing.optimizers import OPTIMIZERS, make
from tests.test_nn import LAYERS

X, ROWS = (5, 4, 7, 6), (5, 6)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def draw(seed: int, *shape) -> np.ndarray:
    return read_only(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def labels(N: int) -> np.ndarray:
    return read_only(np.arange(N) % 3)


def checksum(*found) -> int:
    """Return a checksum of all arrays in a value."""
    total = 0
    for item in found:
        if isinstance(item, tuple | list):
            total = zlib.crc32(str(checksum(*item)).encode(), total)
        elif item is not None:  # numbers and strings as well
            total = zlib.crc32(np.ascontiguousarray(item), total)
    return total


def unary(seed, N):
    return (draw(seed, N, *X[1:]),)


def binary(seed, N):
    return draw(seed, N, *X[1:]), draw(seed + 1, N, *X[1:])


FUNCTIONS = {  # name -> function that makes the arguments from a seed and a number of images
    **{
        name: binary if name.endswith("_backward") else unary
        for name in F.__all__
        if name.removesuffix("_backward") in (*activations.NAMES, "softmax", "log_softmax")
    },
    "conv1d": lambda s, N: (draw(s, N, 4, 9), draw(s, 6, 2, 3), draw(s, 6), 2, 1, 1, 2),
    "conv1d_backward": lambda s, N: (draw(s, N, 6, 5), draw(s, N, 4, 9), draw(s, 6, 2, 3), 2, 1, 1, 2),
    "conv_transpose1d": lambda s, N: (draw(s, N, 4, 3), draw(s, 4, 2, 3), draw(s, 2), 2),
    "conv_transpose1d_backward": lambda s, N: (draw(s, N, 2, 7), draw(s, N, 4, 3), draw(s, 4, 2, 3), 2),
    "max_pool1d": lambda s, N: (draw(s, N, 4, 9), 3, 2, 1),
    "max_pool1d_backward": lambda s, N: (
        draw(s, N, 4, 6), read_only(np.arange(N * 24).reshape(N, 4, 6) % 9), (N, 4, 9)),
    "avg_pool1d": lambda s, N: (draw(s, N, 4, 9), 3, 2, 1),
    "avg_pool1d_backward": lambda s, N: (draw(s, N, 4, 5), (N, 4, 9), 3, 2, 1),
    "adaptive_max_pool1d": lambda s, N: (draw(s, N, 4, 9), 4),
    "adaptive_max_pool1d_backward": lambda s, N: (
        draw(s, N, 4, 3), read_only(np.tile([0, 3, 8], (N, 4, 1))), (N, 4, 9)),
    "adaptive_avg_pool1d": lambda s, N: (draw(s, N, 4, 9), 4),
    "adaptive_avg_pool1d_backward": lambda s, N: (draw(s, N, 4, 4), (N, 4, 9)),
    "conv2d": lambda s, N: (draw(s, N, 4, 7, 6), draw(s, 6, 2, 3, 3), draw(s, 6), 2, 1, 1, 2),
    "conv2d_backward": lambda s, N: (draw(s, N, 6, 4, 3), draw(s, N, 4, 7, 6), draw(s, 6, 2, 3, 3), 2, 1, 1, 2),
    "conv_transpose2d": lambda s, N: (draw(s, N, 4, 3, 3), draw(s, 4, 2, 3, 3), draw(s, 2), 2),
    "conv_transpose2d_backward": lambda s, N: (draw(s, N, 2, 7, 7), draw(s, N, 4, 3, 3), draw(s, 4, 2, 3, 3), 2),
    "linear": lambda s, N: (draw(s, N, 6), draw(s, 3, 6), draw(s, 3)),
    "linear_backward": lambda s, N: (draw(s, N, 3), draw(s, N, 6), draw(s, 3, 6)),
    "max_pool2d": lambda s, N: (draw(s, N, *X[1:]), 3, 2, 1),
    "max_pool2d_backward": lambda s, N: (
        draw(s, N, 4, 2, 3), read_only(np.arange(N * 24).reshape(N, 4, 2, 3) % 42), (N, *X[1:])),
    "avg_pool2d": lambda s, N: (draw(s, N, *X[1:]), 3, 2, 1),
    "avg_pool2d_backward": lambda s, N: (draw(s, N, 4, 4, 3), (N, *X[1:]), 3, 2, 1),
    "adaptive_max_pool2d": lambda s, N: (draw(s, N, *X[1:]), 4),
    "adaptive_max_pool2d_backward": lambda s, N: (
        draw(s, N, 4, 2, 3), read_only(np.tile([[0, 2, 4], [18, 20, 22]], (N, 4, 1, 1))), (N, *X[1:])),
    "adaptive_avg_pool2d": lambda s, N: (draw(s, N, *X[1:]), 4),
    "adaptive_avg_pool2d_backward": lambda s, N: (draw(s, N, 4, 4, 4), (N, *X[1:])),
    "pad": lambda s, N: (draw(s, N, *X[1:]), (1, 2, 0, 1), "reflect"),
    "pad_backward": lambda s, N: (draw(s, N, X[1], X[2] + 1, X[3] + 3), (N, *X[1:]), (1, 2, 0, 1), "reflect"),
    "interpolate": lambda s, N: (draw(s, N, *X[1:]), 9, None, "bilinear"),
    "interpolate_backward": lambda s, N: (draw(s, N, 4, 9, 9), (N, *X[1:]), None, "bilinear"),
    "batch_norm": lambda s, N: (draw(s, N, *X[1:]), draw(s, 4), read_only(draw(s, 4) ** 2), draw(s, 4), draw(s, 4)),
    "batch_norm_backward": lambda s, N: (*binary(s, N), draw(s, 4), draw(s, 4), draw(s, 4), True),
    "group_norm": lambda s, N: (draw(s, N, *X[1:]), 2, draw(s, 4), draw(s, 4)),
    "group_norm_backward": lambda s, N: (*binary(s, N), 2, draw(s, 4)),
    "layer_norm": lambda s, N: (draw(s, N, *X[1:]), X[2:], draw(s, *X[2:]), draw(s, *X[2:])),
    "layer_norm_backward": lambda s, N: (*binary(s, N), X[2:], draw(s, *X[2:])),
    "prelu": lambda s, N: (draw(s, N, *X[1:]), draw(s, 4)),
    "prelu_backward": lambda s, N: (*binary(s, N), draw(s, 4)),
    "dropout": lambda s, N: (draw(s, N, *X[1:]), 0.5),
    "dropout2d": lambda s, N: (draw(s, N, *X[1:]), 0.5),
    "dropout_backward": binary,
    "dropout2d_backward": binary,
    "cross_entropy": lambda s, N: (draw(s, N, 3), labels(N), read_only(draw(s, 3) ** 2), -100, "mean", 0.1),
    "cross_entropy_backward": lambda s, N: (draw(s, N, 3), labels(N)),
    "nll_loss": lambda s, N: (draw(s, N, 3), labels(N), read_only(draw(s, 3) ** 2)),
    "nll_loss_backward": lambda s, N: (draw(s, N, 3), labels(N)),
    **{
        f"{name}{which}": binary
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits")
        for which in ("", "_backward")
    },
}  # fmt: skip


def test_every_function_is_called():
    assert FUNCTIONS.keys() == set(F.__all__)


@pytest.mark.parametrize("name", F.__all__)
def test_functions_leave_their_inputs_and_nothing_behind(name, backend):
    def call(seed, N):
        given = FUNCTIONS[name](seed, N)
        held = [item for item in given if isinstance(item, np.ndarray)]
        before = checksum(held)
        options = {"rng": np.random.default_rng(seed)} if name in ("dropout", "dropout2d") else {}
        found = getattr(F, name)(*given, **options, backend=backend)
        assert checksum(held) == before
        return checksum(found)

    first = call(0, 5)
    call(1, 17)
    assert call(0, 5) == first
    with pytest.raises((TypeError, ValueError)):
        getattr(F, name)(*(np.asarray(item, complex) for item in FUNCTIONS[name](0, 5)[:2]), backend=backend)
    assert call(0, 5) == first


@pytest.mark.parametrize("name", LAYERS)
def test_layers_leave_their_inputs_and_nothing_behind(name, fast_backend):
    new, (_, *shape) = LAYERS[name]
    layer = new(np.random.default_rng(0))

    def call(seed, N):
        x = draw(seed, N, *shape).astype(np.float64)
        y = layer(x)
        dy = draw(seed + 1, *y.shape).astype(np.float64)
        weights = [parameter.data.copy() for parameter in layer.parameters()]
        before, after = checksum(x, dy, weights), checksum(y)
        for parameter in layer.parameters():
            parameter.grad = None
        dx = layer.backward(dy)
        assert checksum(x, dy, [parameter.data for parameter in layer.parameters()]) == before
        assert checksum(y) == after
        return checksum(y, dx, [parameter.grad for parameter in layer.parameters()])

    with fastcnn.use_backend(fast_backend):
        first = call(0, 5)
        call(1, 17)
        assert call(0, 5) == first
        with pytest.raises((TypeError, ValueError)):
            layer(draw(2, 5, *shape).astype(complex))
        assert call(0, 5) == first
        assert call(0, 5) == first  # replayed from its recording


@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
def test_losses_leave_their_inputs_and_nothing_behind(case, fast_backend):
    _, _, options = case.arguments(np.random.default_rng(0), np.float32)
    loss = nn.LOSSES[case.layer](**options)

    def call(seed):
        rng = np.random.default_rng(seed)
        x, target, _ = case.arguments(rng, np.float32)
        before = checksum(read_only(x), read_only(target), *options.values())
        value = loss(x, target)
        gradient = loss.backward(*case.gradient(value, rng).values())
        assert checksum(x, target, *options.values()) == before
        return checksum(np.array(value), gradient)

    with fastcnn.use_backend(fast_backend):
        first = call(0)
        call(1)
        with pytest.raises((TypeError, ValueError)):
            loss(draw(0, 5, 3), draw(0, 4, 3))
        assert call(0) == first


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_change_parameters_and_nothing_else(name, fast_backend):
    def run(seed):
        shapes = (3, 4), (5,), (2, 3, 2, 2)
        parameters = [nn.Parameter(draw(seed + k, *shape).copy()) for k, shape in enumerate(shapes)]
        bystander = parameters.pop()
        optimizer = make(name, parameters)
        for step in range(3):
            for parameter in (*parameters, bystander):
                parameter.grad = draw(seed + step, *parameter.data.shape)
            before = checksum(bystander.data, [parameter.grad for parameter in parameters])
            optimizer.step()
            assert checksum(bystander.data, [parameter.grad for parameter in parameters]) == before
        return checksum([parameter.data for parameter in parameters])

    with fastcnn.use_backend(fast_backend):
        first = run(0)
        run(10)
        assert run(0) == first


def test_a_model_gives_the_same_whatever_it_saw_before(fast_backend):
    """After batches of other sizes, an error within a step, and evaluation, results equal those of a new model."""

    def make():
        return models.LeNet5(rng=np.random.default_rng(0)), nn.CrossEntropyLoss()

    def step(model, loss, seed, N):
        for parameter in model.parameters():
            parameter.grad = None
        value = loss(model(draw(seed, N, 1, 32, 32)), labels(N))
        model.backward(loss.backward(), input_grad=False)
        return checksum(np.array(value), [parameter.grad for parameter in model.parameters()])

    with fastcnn.use_backend(fast_backend):
        expected = step(*make(), 0, 5)
        model, loss = make()
        assert step(model, loss, 0, 5) == expected
        step(model, loss, 1, 17)
        model.eval()(draw(2, 5, 1, 32, 32))
        model.train()
        with pytest.raises(ValueError, match="channels"):
            model(draw(0, 5, 3, 32, 32))
        y = model(draw(3, 5, 1, 32, 32))
        with pytest.raises(ValueError, match="shape"):
            model.backward(draw(0, *y.shape)[:2])
        assert step(model, loss, 0, 5) == expected


AUGMENTS = {
    "Compose": data.augment.Compose(data.augment.Shift(1), data.augment.HorizontalFlip()),
    "Cutout": data.augment.Cutout(3),
    "Elastic": data.augment.Elastic(),
    "HorizontalFlip": data.augment.HorizontalFlip(),
    "PadAndCrop": data.augment.PadAndCrop(2, 8),
    "Rotation": data.augment.Rotation(20),
    "Scale": data.augment.Scale(0.8, 1.2),
    "Shift": data.augment.Shift(2),
    "none": None,
    "nothing to do": data.augment.Shift(0),
}


@pytest.mark.parametrize("name", [*data.augment.__all__, "none", "nothing to do"])
def test_what_a_loader_hands_out_is_not_the_images(name):
    images = read_only(np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8))
    prepared = read_only(data.standardize(data.pad_images(images, 2), *data.mean_and_std(images)))
    before = checksum(images, prepared)
    for shuffle in (True, False):
        rng = np.random.default_rng(0)
        for x, _ in data.DataLoader(prepared, labels(6), 4, shuffle=shuffle, rng=rng, augment=AUGMENTS[name]):
            if shuffle or AUGMENTS[name]:
                x[...] = 0
    assert checksum(images, prepared) == before
