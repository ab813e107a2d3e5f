"""The diagnoses of a loss that is not finite and of a network that has learned nothing."""

from itertools import starmap

import numpy as np
import pytest

import fastcnn
from fastcnn import data, nn, optim, training
from fastcnn.training.diagnosis import explain, only_guesses

IMAGES = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32)


class Overflow(nn.Module):
    """A layer that returns infinity."""

    def forward_native(self, x, backend):
        return backend.pack(np.full_like(backend.unpack(x), np.inf))


class Twice(nn.Module):
    """A layer that contains another one, as an attribute."""

    def __init__(self, inner: nn.Module):
        self.inner = inner

    def forward_native(self, x, backend):
        return self.inner.forward_native(self.inner.forward_native(x, backend), backend)


def make_model(seed: int = 0) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.Flatten(),
                         nn.Dropout(0.5, rng=rng), nn.Linear(8, 2, rng=rng))  # fmt: skip


@pytest.fixture(autouse=True)
def _backend(backend):
    with fastcnn.use_backend(backend):
        yield


def test_the_images():
    images = IMAGES.copy()
    images[3, 0, 2, 2] = np.nan
    assert explain(make_model(), images) == "The images hold values that are not finite, first in image 3 of the batch."


def test_a_parameter():
    model = make_model()
    model[6].bias.data[1] = np.inf
    assert explain(model, IMAGES) == "The parameter `6.bias` holds values that are not finite."


def test_a_convolution_that_is_fused_with_its_pooling_has_its_own_name():
    model = make_model()
    model[0].weight.data[...] = 3e38
    model(IMAGES * 0)  # makes a recording
    assert explain(model, IMAGES * 9).startswith("Layer 0 (Conv2d(1, 2, kernel_size=(3, 3)")


def test_a_later_layer():
    model = make_model()
    model[6].weight.data[...] = 3e38
    assert explain(model, IMAGES * 9) == (
        "Layer 6 (Linear(in_features=8, out_features=2)) gave the first value that is not finite."
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(nn.Sequential(nn.ReLU(), nn.Sequential(Overflow())), "Layer 1.0 (Overflow())", id="nested"),
        pytest.param(nn.Sequential(Twice(Overflow())), "Layer 0.inner (Overflow())", id="inside of a module"),
        pytest.param(Overflow(), "The model, Overflow(),", id="the model is the layer"),
    ],
)  # fmt: skip
def test_names(model, name):
    assert explain(model, IMAGES) == f"{name} gave the first value that is not finite."
    assert not any("forward_native" in vars(module) for module in model.modules())


def test_the_loss_itself():
    assert explain(make_model(), IMAGES) == "The outputs of all layers are finite; the loss itself is not."


def test_it_leaves_the_model_as_it_was():
    model, twin = make_model(), make_model()
    explain(model, IMAGES)
    assert not any("forward_native" in vars(module) for module in model.modules())
    assert model[5].rng.bit_generator.state == twin[5].rng.bit_generator.state
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, twin.state_dict()[name], err_msg=name)
    np.testing.assert_array_equal(model(IMAGES), twin(IMAGES))


def test_the_trainer_says_it_and_keeps_the_parameters():
    model, labels = make_model(), np.array([0, 1, 0, 1, 0])
    trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss())
    model[0].weight.data[...] = 3e38
    before = {name: parameter.data.copy() for name, parameter in model.named_parameters()}
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            FloatingPointError, match=r"loss of batch 1 is nan; the learning rate was 0\.5\. Layer 0 \(Conv2d"
        ),
    ):
        trainer.fit(data.DataLoader(IMAGES * 9, labels, 5), (IMAGES, labels), epochs=1)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name])


BALANCED = np.repeat(np.arange(10), 100)  # guessing gives a loss of ln 10 = 2.3026 and an accuracy of 10 %
RARE = np.array([0] * 900 + [1] * 100)  # 0.3251 and 90 %
MANY = np.repeat(np.arange(1000), 5)  # 6.9078 and 0.1 %


@pytest.mark.parametrize(
    ("labels", "numbers", "expected"),
    [
        pytest.param(BALANCED, [(90.0, 0.10), (40.0, 0.13)], True, id="the loss exploded"),
        pytest.param(BALANCED, [(9.0, 0.10), (2.303, 0.11)], True, id="only the frequencies of the classes"),
        pytest.param(BALANCED, [(90.0, 0.10)], False, id="one epoch is too short to tell"),
        pytest.param(BALANCED, [(2.4, 0.10), (2.29, 0.12)], False, id="the loss is lower"),
        pytest.param(BALANCED, [(2.4, 0.10), (2.31, 0.15)], False, id="the accuracy is higher"),
        pytest.param(BALANCED, [(1.5, 0.60), (9.0, 0.10)], False, id="it had learned something"),
        pytest.param(RARE, [(0.4, 0.90), (0.33, 0.90)], True, id="always the frequent class"),
        pytest.param(RARE, [(0.4, 0.90), (0.29, 0.90)], False, id="the rare class is found more probable"),
        pytest.param(MANY, [(7.0, 0.001), (6.9, 0.004)], False, id="many classes, learned slowly"),
        pytest.param(MANY, [(7.0, 0.001), (6.95, 0.001)], True, id="many classes"),
    ],
)
def test_a_network_that_only_guesses(labels, numbers, expected):
    assert only_guesses(list(starmap(epoch, enumerate(numbers, 1))), labels) == expected


def test_label_smoothing_raises_the_loss_of_guessing():
    epochs = [epoch(1, (0.6, 0.9)), epoch(2, (0.45, 0.9))]
    assert only_guesses(epochs, RARE)
    assert not only_guesses(epochs, RARE, label_smoothing=0.2)  # guessing has 0.4714


def epoch(number: int, loss_and_accuracy: tuple[float, float]) -> training.Epoch:
    metrics = dict(zip(("train_loss", "train_accuracy"), loss_and_accuracy, strict=True))
    return training.Epoch(number, 10, 1.0, metrics, 0.1, 100.0)
