"""LeNet-5, on its own and beside its twin in PyTorch."""

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim


@pytest.fixture
def fast_backend(fast_backend):
    """Name of the backend that the test runs in."""
    with fastcnn.use_backend(fast_backend):
        yield fast_backend


@pytest.fixture
def batch():
    """Images (8, 1, 32, 32) and labels."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 1, 32, 32)), rng.integers(0, 10, 8)


def torch_twin(torch, model, activation, pooling):
    """The same network in PyTorch, with the same parameters."""
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
    # with tanh: behind a ReLU that is 0 for the whole batch, weights have no gradient
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
    assert losses[-1] < 0.8 * losses[0]  # it learns: the agreement means something
    np.testing.assert_allclose(losses, their_losses, rtol=1e-4)
    for (name, parameter), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, theirs.detach().numpy(), atol=1e-4, err_msg=name)
