"""A hundred training steps compared with PyTorch: errors are at most twice those of PyTorch itself.

The network has tanh and average-pooling, so that errors grow smoothly. A maximum leaps where two values are equal up to
rounding, and of the 2.5 million windows of these steps a few always are.
"""

import numpy as np
import pytest

import fastcnn
from fastcnn import models, nn, optim
from tests.test_models import torch_twin

torch = pytest.importorskip("torch")

STEPS, N = 100, 16
SMOOTH = {"activation": "tanh", "pooling": "avg"}


@pytest.fixture(autouse=True, scope="module")
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def batches():
    """New images for each step, with a bright band at the position of their label."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, (STEPS, N))
    images = rng.standard_normal((STEPS, N, 1, 32, 32)) / 2
    images[:, :, 0, 1:31] += np.repeat(np.eye(10), 3, axis=1)[labels][:, :, :, None] * 2  # a band of three rows
    return images.astype(np.float32), labels


def theirs(batches, optimizer, dtype, start=None):
    """Train in PyTorch; return losses and all parameters after each step. ``start`` perturbs the initial parameters."""
    torch.set_num_threads(1)  # each time, because Numba's kernels may change the number of OpenMP threads
    model = models.LeNet5(**SMOOTH, rng=np.random.default_rng(3))
    twin, _ = torch_twin(torch, model, **SMOOTH)
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
    """Train in fastcnn in float32; return the same."""
    model, criterion = models.LeNet5(**SMOOTH, rng=np.random.default_rng(3)), nn.CrossEntropyLoss()
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


RATES = {sgd: 0.01, adam: 0.002}


@pytest.fixture(scope="module", params=[sgd, adam], ids=["SGD", "Adam"])
def run(request, batches):
    """An optimizer, the exact run, and the largest errors of PyTorch's float32 runs after each step.

    The exact run is PyTorch's in float64. There are four runs in float32: one with the same initial parameters, and
    three with initial parameters that are perturbed by a rounding. They show how fast errors grow in this net.
    """
    exact = theirs(batches, request.param, torch.float64)
    rounded = [theirs(batches, request.param, torch.float32, s) for s in (None, *map(np.random.default_rng, range(3)))]
    drifts = [np.max([drift(other, exact)[k] for other in rounded], axis=0) for k in range(2)]
    return request.param, exact, drifts


def drift(one, other):
    """Return the distances of losses and parameters, the largest up to each step."""
    losses, parameters = np.abs(one[0] - other[0]), np.linalg.norm(one[1] - other[1], axis=1)
    return np.maximum.accumulate(losses), np.maximum.accumulate(parameters)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_hundred_steps_are_as_exact_as_pytorchs(backend, batches, run):
    optimizer, exact, (loss_drift, parameter_drift) = run
    assert exact[0][-10:].mean() < 0.5 * exact[0][0]  # it learns, so that the agreement is meaningful
    with fastcnn.use_backend(backend):
        losses, parameters = drift(ours(batches, optimizer), exact)
    # four runs need not show the largest possible error; a loss is also rounded once
    assert (parameters <= 2 * parameter_drift).all()
    assert (losses <= 2 * loss_drift + 2**-23 * np.maximum.accumulate(exact[0])).all()
