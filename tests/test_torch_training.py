"""A hundred training steps beside PyTorch's: no farther from the exact ones than PyTorch itself may be."""

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim
from tests.test_models import torch_twin

torch = pytest.importorskip("torch")

STEPS, N = 100, 16


@pytest.fixture(autouse=True, scope="module")
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batches():
    """New images at each step, brighter where their label is."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, (STEPS, N))
    images = rng.standard_normal((STEPS, N, 1, 32, 32)) / 2
    images[:, :, 0, 1:31] += np.repeat(np.eye(10), 3, axis=1)[labels][:, :, :, None] * 2  # a band of three rows
    return images.astype(np.float32), labels


def theirs(batches, optimizer, dtype, start=None):
    """Losses and all parameters of PyTorch after each step; ``start`` multiplies the parameters it begins with."""
    torch.set_num_threads(1)  # each time: Numba's kernels share OpenMP with PyTorch, and leave their own number there
    model = models.LeNet5(rng=np.random.default_rng(3))
    twin, _ = torch_twin(torch, model, "relu", "max")
    twin = twin.to(dtype)
    if start is not None:
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter *= torch.tensor(start.choice([1 - 2**-24, 1 + 2**-23], parameter.shape), dtype=dtype)
    steps = optimizer(torch.optim)(twin.parameters(), lr=RATES[optimizer])
    losses, parameters = [], []
    for images, labels in zip(*batches, strict=True):
        loss = torch.nn.functional.cross_entropy(twin(torch.tensor(images, dtype=dtype)), torch.tensor(labels))
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
        parameters.append(torch.cat([p.detach().flatten() for p in twin.parameters()]).double().numpy())
    return np.array(losses), np.array(parameters)


def ours(batches, optimizer):
    """The same of fastcnn, in float32."""
    model, criterion = models.LeNet5(rng=np.random.default_rng(3)), nn.CrossEntropyLoss()
    steps = optimizer(optim)(model.parameters(), lr=RATES[optimizer])
    losses, parameters = [], []
    for images, labels in zip(*batches, strict=True):
        losses.append(criterion(model(images), labels))
        steps.zero_grad()
        model.backward(criterion.backward(), input_grad=False)
        steps.step()
        parameters.append(np.concatenate([p.data.ravel() for p in model.parameters()]).astype(np.float64))
    return np.array(losses), np.array(parameters)


def sgd(library):
    return lambda parameters, lr: library.SGD(parameters, lr=lr, momentum=0.9)


def adam(library):
    return library.Adam


RATES = {sgd: 0.005, adam: 0.002}


@pytest.fixture(scope="module", params=[sgd, adam], ids=["SGD", "Adam"])
def run(request, batches):
    """An optimizer, the exact run, and how far each step of PyTorch's in float32 is from it at most.

    The exact run is PyTorch's in float64. Those in float32 are one from the same start, and three from starts of which
    each number is rounded once more: what a step adds to an error, and how fast errors grow, is the net's own business.
    """
    exact = theirs(batches, request.param, torch.float64)
    rounded = [theirs(batches, request.param, torch.float32, s) for s in (None, *map(np.random.default_rng, range(3)))]
    drifts = [np.max([drift(other, exact)[k] for other in rounded], axis=0) for k in range(2)]
    return request.param, exact, drifts


def drift(one, other):
    """Distances of the losses and of the parameters, at each step the largest so far."""
    losses, parameters = np.abs(one[0] - other[0]), np.linalg.norm(one[1] - other[1], axis=1)
    return np.maximum.accumulate(losses), np.maximum.accumulate(parameters)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_hundred_steps_are_as_exact_as_pytorchs(backend, batches, run):
    optimizer, exact, (loss_drift, parameter_drift) = run
    assert exact[0][-10:].mean() < 0.5 * exact[0][0]  # it learns: the agreement means something
    with fastcnn.use_backend(backend):
        losses, parameters = drift(ours(batches, optimizer), exact)
    # four runs do not show the largest of all; a loss is rounded once by itself
    assert (parameters <= 2 * parameter_drift).all()
    assert (losses <= 2 * loss_drift + 2**-23 * np.maximum.accumulate(exact[0])).all()
