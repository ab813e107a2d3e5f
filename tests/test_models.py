"""LeNet-5 and the other models, by themselves and compared with the same models in PyTorch."""

import inspect
import json
import re

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim
from fastcnn.testing import central_difference


@pytest.fixture
def fast_backend(fast_backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(fast_backend):
        yield fast_backend


@pytest.fixture
def batch():
    """Make images (8, 1, 32, 32) and labels."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 1, 32, 32)), rng.integers(0, 10, 8)


def torch_twin(torch, model, activation, pooling):
    """Make the same network in PyTorch, with the same parameters."""
    Activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
    Pool = {"max": torch.nn.MaxPool2d, "avg": torch.nn.AvgPool2d}[pooling]
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5), Activation(), Pool(2), torch.nn.Conv2d(6, 16, 5), Activation(), Pool(2),
        torch.nn.Conv2d(16, 120, 5), Activation(), torch.nn.Flatten(), torch.nn.Linear(120, 84), Activation(),
        torch.nn.Linear(84, 10),
    )  # fmt: skip
    state = {name: torch.tensor(array) for name, array in model.state_dict().items()}
    return twin.to(next(iter(state.values())).dtype), twin.load_state_dict(state)


def test_the_papers_sizes():
    model = models.LeNet5(rng=np.random.default_rng(0))
    assert sum(parameter.size for parameter in model.parameters()) == 61_706
    x, shapes = np.zeros((2, 1, 32, 32), np.float32), []
    for layer in model:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert [shapes[i] for i in (0, 2, 3, 5, 6, 9, 11)] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,)
    ]  # fmt: skip


def test_options():
    model = models.LeNet5(7, 3, activation="tanh", pooling="avg", dtype=np.float64)
    kinds = [type(layer).__name__ for layer in model]
    assert (kinds.count("Tanh"), kinds.count("AvgPool2d"), kinds.count("ReLU")) == (4, 2, 0)
    assert model(np.zeros((2, 3, 32, 32))).shape == (2, 7)
    with pytest.raises(ValueError, match="`activation` is 'elu' but must be one of 'relu', 'tanh'"):
        models.LeNet5(activation="elu")
    with pytest.raises(ValueError, match="`pooling` is 'sum'"):
        models.LeNet5(pooling="sum")


def test_an_image_of_28_pixels_is_too_small():
    message = r"Conv2d\(16, 120, kernel_size=\(5, 5\)\) cannot take an input of shape \(8, 16, 4, 4\)"
    with pytest.raises(ValueError, match=message):
        models.LeNet5()(np.zeros((8, 1, 28, 28), np.float32))


@pytest.mark.parametrize("optimizer", [lambda p: optim.SGD(p, 0.1), optim.Adam], ids=["SGD", "Adam"])
def test_every_parameter_changes_in_one_step(optimizer, batch, fast_backend):
    images, labels = batch
    # with tanh, because after a ReLU that is 0 for the whole batch weights have no gradient
    model = models.LeNet5(activation="tanh", rng=np.random.default_rng(0), dtype=np.float64)
    criterion = nn.CrossEntropyLoss()
    before = model.state_dict()
    criterion(model(images), labels)
    model.backward(criterion.backward(), input_grad=False)
    optimizer(model.parameters()).step()
    for name, array in model.state_dict().items():
        assert (array != before[name]).all(), name


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_logits_and_all_gradients_are_those_of_torch(activation, pooling, batch, fast_backend):
    torch = pytest.importorskip("torch")
    images, labels = batch
    model = models.LeNet5(activation=activation, pooling=pooling, rng=np.random.default_rng(2), dtype=np.float64)
    twin, _ = torch_twin(torch, model, activation, pooling)
    x = torch.tensor(images, requires_grad=True)
    logits = twin(x)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    criterion = nn.CrossEntropyLoss()
    ours = model(images)
    np.testing.assert_allclose(ours, logits.detach().numpy(), rtol=1e-12, atol=1e-14)
    assert criterion(ours, labels) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(model.backward(criterion.backward()), x.grad.numpy(), rtol=1e-9, atol=1e-14)
    for (name, parameter), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, theirs.grad.numpy(), rtol=1e-9, atol=1e-14, err_msg=name)


def test_twenty_steps_follow_torch(batch, fast_backend):
    torch = pytest.importorskip("torch")
    images, labels = batch[0].astype(np.float32), batch[1]
    model = models.LeNet5(rng=np.random.default_rng(3))
    twin, _ = torch_twin(torch, model, "relu", "max")
    optimizer, criterion = optim.SGD(model.parameters(), 0.05, momentum=0.9), nn.CrossEntropyLoss()
    their_optimizer = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9)
    losses, their_losses = [], []
    for _ in range(20):
        losses.append(criterion(model(images), labels))
        optimizer.zero_grad()
        model.backward(criterion.backward(), input_grad=False)
        optimizer.step()
        their_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(torch.tensor(images)), torch.tensor(labels))
        loss.backward()
        their_optimizer.step()
        their_losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]  # it learns, so that the agreement is meaningful
    np.testing.assert_allclose(losses, their_losses, rtol=1e-4)
    for (name, parameter), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, theirs.detach().numpy(), atol=1e-4, err_msg=name)


# multiply-adds and parameters, computed by hand
COSTS = {
    "lenet5": (416_520, 61_706),
    "lenet5_classic": (416_520, 61_706),
    "conv8": (26 * 26 * 8 * 9 + 13_520, 72 + 13_530),
    "conv4_conv8": (28 * 28 * 4 * 25 + 14 * 14 * 8 * 100 + 3_920, 4_842),
    "mlp": (784 * 392 + 3_920, 311_650),
    "vgg7": (1024 * (864 + 9_216) + 256 * (18_432 + 36_864) + 64 * (73_728 + 147_456) + 1_280, 286_560 + 896 + 1_290),
    "resnet20": (1024 * (432 + 6 * 2_304) + 256 * (4_608 + 5 * 9_216) + 64 * (18_432 + 5 * 36_864) + 640, 269_722),
    "small_mobilenet": (
        1024 * (864 + 288 + 2_048) + 256 * (576 + 8_192 + 1_152 + 16_384) + 64 * (1_152 + 32_768 + 2_304 + 65_536)
        + 2_560,
        136_778,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", models.NAMES)
def test_costs_by_hand(name):
    model = models.build(name)
    summary = nn.summarize(model)
    assert (summary.multiply_adds, summary.parameters) == COSTS[name]
    said = type(model).__doc__ if name != "lenet5_classic" else models.LeNet5.__doc__
    assert f"{summary.parameters:,}" in said
    assert f"{summary.multiply_adds:,}" in said


@pytest.mark.parametrize("name", models.NAMES)
def test_a_name_and_json_options_make_the_same_model(name):
    options = json.loads(json.dumps({"num_classes": 7, "in_channels": 2, "image_size": 20}))
    model = models.build(name, **options, rng=np.random.default_rng(0), dtype=np.float64)
    twin = models.build(name, **options, rng=np.random.default_rng(0), dtype=np.float64)
    assert model.input_shape == (2, 20, 20)
    for (key, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=key)
    with fastcnn.use_backend("numpy"):
        assert model.eval()(np.zeros((2, *model.input_shape))).shape == (2, 7)


@pytest.mark.parametrize("name", models.NAMES)
def test_the_smallest_image(name):
    sizes = {"lenet5": 16, "lenet5_classic": 16, "conv8": 4, "conv4_conv8": 4, "vgg7": 8}
    least = sizes.get(name, 1)
    with fastcnn.use_backend("numpy"):
        model = models.build(name, image_size=least).eval()
        assert model(np.zeros((1, *model.input_shape), np.float32)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"`image_size` is {least - 1} but must be at least {least}"):
        models.build(name, image_size=least - 1)


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        pytest.param("lenet6", {}, ValueError, "There is no model 'lenet6'; the models are 'lenet5', ", id="name"),
        pytest.param(None, {}, ValueError, "There is no model None", id="no name"),
        pytest.param("resnet20", {"depth": 32}, ValueError,
                     "The model 'resnet20' has no option `depth`; it has num_classes, in_channels, image_size, ",
                     id="option"),
        pytest.param("resnet20", {"shortcut": "none"}, ValueError, "`shortcut` is 'none' but must be one of 'pad'",
                     id="value"),
        pytest.param("lenet5", {"num_classes": 2.5}, TypeError, "must be a whole number, not 2.5", id="half a class"),
        pytest.param("mlp", {"hidden": 392}, TypeError, "`hidden` must be a sequence of whole numbers, not 392",
                     id="no list"),
        pytest.param("mlp", {"hidden": [392, 0]}, ValueError, "`hidden[1]` is 0 but must be at least 1", id="no unit"),
        pytest.param("lenet5", {"rng": 0}, TypeError, "`rng` must be a numpy.random.Generator", id="a seed"),
    ],
)  # fmt: skip
def test_build_says_what_is_wrong(name, options, error, text):
    with pytest.raises(error) as raised:
        models.build(name, **options)
    assert text in str(raised.value)


def test_all_models_have_names():
    others = {models.UNet, models.SignalNet}  # for pixels and for signals
    classes = {value for value in vars(models).values() if inspect.isclass(value)} - others
    assert {type(models.build(name)) for name in models.NAMES} == classes


def test_mlp_of_lists():
    sizes = {(): 7_850, (392,): 311_650, (392, 196): 386_718}
    for hidden, size in sizes.items():
        assert nn.summarize(models.build("mlp", hidden=list(hidden))).parameters == size


def test_mnist_without_padding():
    summary = nn.summarize(models.LeNet5(image_size=28))
    assert summary.parameters == 44_426  # C5 has 256 inputs and 120 outputs


def their_resnet(torch, shortcut):
    """Make ResNet-20 in PyTorch, with fastcnn's names."""

    class Residual(torch.nn.Module):
        def __init__(self, body, past):
            super().__init__()
            self.body, self.shortcut = body, past

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    class Pad(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))

    def block(i, o, stride=1):
        past = torch.nn.Identity()
        if stride > 1:
            conv = torch.nn.Conv2d(i, o, 1, stride, bias=False)
            past = Pad() if shortcut == "pad" else torch.nn.Sequential(conv, torch.nn.BatchNorm2d(o))
        body = torch.nn.Sequential(
            torch.nn.Conv2d(i, o, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(o), torch.nn.ReLU(),
            torch.nn.Conv2d(o, o, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(o),
        )  # fmt: skip
        return torch.nn.Sequential(Residual(body, past), torch.nn.ReLU())

    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
        block(16, 16), block(16, 16), block(16, 16), block(16, 32, 2), block(32, 32), block(32, 32),
        block(32, 64, 2), block(64, 64), block(64, 64),
        torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), torch.nn.Linear(64, 10),
    ).double()  # fmt: skip


@pytest.mark.parametrize("shortcut", ["pad", "projection"])
def test_resnet20_is_that_of_torch(shortcut, fast_backend):
    torch = pytest.importorskip("torch")
    model = models.ResNet20(shortcut=shortcut, rng=np.random.default_rng(4), dtype=np.float64)
    twin = their_resnet(torch, shortcut)
    assert list(twin.state_dict()) == list(model.state_dict())
    twin.load_state_dict({name: torch.tensor(array) for name, array in model.state_dict().items()})
    images = np.random.default_rng(5).standard_normal((3, 3, 16, 16))
    x = torch.tensor(images, requires_grad=True)
    theirs, ours = twin(x), model(images)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-8, atol=1e-10)
    dy = np.random.default_rng(6).standard_normal(ours.shape)
    theirs.backward(torch.tensor(dy))
    np.testing.assert_allclose(model.backward(dy), x.grad.numpy(), rtol=1e-6, atol=1e-8)
    for (name, parameter), their in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, their.grad.numpy(), rtol=1e-6, atol=1e-8, err_msg=name)
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(buffer.data, dict(twin.named_buffers())[name].numpy(), rtol=1e-9, err_msg=name)


def test_gradients_of_a_small_resnet_are_central_differences(backend):
    rng = np.random.default_rng(7)
    with fastcnn.use_backend(backend):
        model = nn.Sequential(
            nn.Conv2d(3, 2, 3, padding=1, bias=False, rng=rng, dtype=np.float64),
            nn.BatchNorm2d(2, dtype=np.float64),
            nn.ReLU(),
            models.residual_block(2, 2, rng=rng, dtype=np.float64),
            models.residual_block(2, 4, 2, rng=rng, dtype=np.float64),
            models.residual_block(4, 6, 2, shortcut="projection", rng=rng, dtype=np.float64),
            nn.GlobalAvgPool2d(),
            nn.Linear(6, 3, rng=rng, dtype=np.float64),
        )
        x, labels, criterion = rng.standard_normal((3, 3, 6, 6)), np.array([0, 2, 1]), nn.CrossEntropyLoss()
        criterion(model(x), labels)
        model.backward(criterion.backward(), input_grad=False)
        for name, parameter in model.named_parameters():
            direction, data = rng.standard_normal(parameter.shape), parameter.data

            def loss(values, parameter=parameter):
                parameter.data = values
                return criterion(model(x), labels)

            slope = central_difference(loss, data, direction)
            parameter.data = data
            assert (parameter.grad * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_unet_takes_images_of_other_sizes(fast_backend, rng):
    with fastcnn.use_backend(fast_backend):
        model = models.UNet(3, 2, 8, (4, 5, 6), rng=rng)
        assert model.input_shape == (2, 8, 8)
        assert model(rng.standard_normal((2, 2, 12, 4)).astype(np.float32)).shape == (2, 3, 12, 4)
        with pytest.raises(ValueError, match=r"concatenates .* along axis 1.*\(1, 5, 3, 4\), \(1, 5, 2, 4\)"):
            model(np.ones((1, 2, 6, 8), np.float32))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"image_size": 30}, ValueError, "`image_size` is 30 but must be a multiple of 4"),
        ({"widths": 3}, TypeError, "`widths` must be a sequence of whole numbers, not 3"),
        ({"widths": ()}, TypeError, "`widths` must be a sequence of whole numbers, not ()"),
        ({"widths": (4, 0)}, ValueError, "`widths` is 0 but must be at least 1"),
    ],
)
def test_unet_says_what_is_wrong(options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        models.UNet(**options)
