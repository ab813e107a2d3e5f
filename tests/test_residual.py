"""Operations for residual connections, and training with them."""

import copy

import numpy as np
import pytest

import fastcnn
from fastcnn import backends, models, nn, optim
from fastcnn.models import residual_block

SHAPES = {"one image": (1, 2, 3, 4), "lanes without an image": (17, 3, 2, 2), "several blocks": (40, 2, 5, 3)}


def native(backend, *arrays):
    implementation = backends.load(backend)
    return implementation, [implementation.pack(array) for array in arrays]


@pytest.mark.parametrize("shape", [*SHAPES.values(), (19, 7)], ids=[*SHAPES, "rows"])
def test_add(backend, dtype, shape, rng):
    a, b = rng.standard_normal((2, *shape)).astype(dtype)
    implementation, (x, y) = native(backend, a, b)
    np.testing.assert_array_equal(implementation.unpack(implementation.add(x, y)), a + b)
    np.testing.assert_array_equal(implementation.unpack(x), a)  # both are unchanged
    np.testing.assert_array_equal(implementation.unpack(y), b)


def test_add_of_what_is_not_finite(backend):
    implementation, (x, y) = native(backend, np.array([[np.inf, np.inf, np.nan]]), np.array([[-np.inf, 1, 1]]))
    np.testing.assert_array_equal(implementation.unpack(implementation.add(x, y)), [[np.nan, np.inf, np.nan]])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_resize_channels(backend, dtype, shape, channels, rng):
    a = rng.standard_normal(shape).astype(dtype)
    implementation, (x,) = native(backend, a)
    y = implementation.unpack(implementation.resize_channels(x, channels))
    same = min(channels, shape[1])
    assert y.shape == (shape[0], channels, *shape[2:])
    np.testing.assert_array_equal(y[:, :same], a[:, :same])
    assert not y[:, same:].any()


def test_a_kernel_of_one_pixel_takes_every_second(backend, rng):
    x = rng.standard_normal((3, 2, 5, 6)).astype(np.float32)
    with fastcnn.use_backend(backend):
        np.testing.assert_array_equal(nn.AvgPool2d(1, stride=2)(x), x[:, :, ::2, ::2])


def test_names_are_those_of_attributes():
    block = residual_block(4, 8, 2, shortcut="projection")
    assert list(block.state_dict())[:2] == ["0.body.0.weight", "0.body.1.weight"]
    assert "0.shortcut.1.running_var" in block.state_dict()
    assert list(nn.Residual(nn.Linear(2, 2)).state_dict()) == ["body.weight", "body.bias"]


def test_training_needs_no_gradient_of_the_images(backend, rng):
    """If a residual block is the first layer, gradients of parameters are the same without that of the input."""
    with fastcnn.use_backend(backend):
        model = nn.Sequential(residual_block(2, 3, 2, shortcut="projection", rng=rng, dtype=np.float64))
        x = rng.standard_normal((3, 2, 4, 4))
        dy = rng.standard_normal(model(x).shape)
        assert model.backward(dy).shape == x.shape
        expected = [parameter.grad for parameter in model.parameters()]
        model.zero_grad()
        model(x)
        assert model.backward(dy, input_grad=False) is None
        for parameter, grad in zip(model.parameters(), expected, strict=True):
            np.testing.assert_array_equal(parameter.grad, grad)


def test_the_numbers_do_not_depend_on_the_threads(rng):
    x = rng.standard_normal((37, 4, 8, 8), np.float32)
    results = []
    for threads in (1, 2, 5):
        before = fastcnn.get_num_threads()
        fastcnn.set_num_threads(threads)
        try:
            with fastcnn.use_backend("numba"):
                model = residual_block(4, 6, 2, rng=np.random.default_rng(1))
                y = model(x)
                results.append([y, model.backward(y), *(parameter.grad for parameter in model.parameters())])
        finally:
            fastcnn.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["resnet20", "vgg7", "small_mobilenet"])
def test_a_few_steps_of_a_deep_model_learn(name):
    """The loss on one batch decreases, and a copy of the model takes the same steps."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    x = rng.standard_normal((24, 3, 8, 8)).astype(np.float32) + 2 * labels[:, None, None, None].astype(np.float32)
    model = models.build(name, rng=rng, num_classes=3)
    curves = []
    for each in (model, copy.deepcopy(model)):
        optimizer, loss, curve = optim.SGD(each.parameters(), 0.02, momentum=0.9), nn.CrossEntropyLoss(), []
        for _ in range(6):
            curve.append(loss(each(x), labels))
            optimizer.zero_grad()
            each.backward(loss.backward(), input_grad=False)
            optimizer.step()
        curves.append(curve)
    assert curves[0] == curves[1]
    assert curves[0][-1] < 0.6 * curves[0][0]
