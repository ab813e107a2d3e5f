"""LeNet-5 as each library would train it: the same initial weights, images and order."""

from functools import cache

import numpy as np

from fastcnn import data, models, nn, optim, use_backend

LEARNING_RATE, MOMENTUM = 0.01, 0.9


@cache
def training_data(folder: str | None, limit: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Images (N, 1, 32, 32), ready to be computed with and in an order drawn once; labels; what data it is."""
    if folder is None:
        train, _ = data.digits(limit, 1)
    else:
        train, _ = data.mnist(folder)
    train = train.limit(limit, np.random.default_rng(0))
    order = np.random.default_rng(0).permutation(len(train))
    images = data.standardize(data.pad_images(train.images[order], 2), *data.mean_and_std(train.images))
    return images, train.labels[order], train.source


def weights() -> dict[str, np.ndarray]:
    """The initial weights of every side, by PyTorch's names."""
    return models.LeNet5(rng=np.random.default_rng(0)).state_dict()


class FastcnnStep:
    """Train on one batch; the result is the loss from before."""

    def __init__(self):
        self.model = models.LeNet5()
        self.model.load_state_dict(weights())
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), LEARNING_RATE, MOMENTUM)

    def batches(self, folder: str | None, limit: int, batch_size: int) -> list:
        images, labels, _ = training_data(folder, limit)
        return [
            (images[first : first + batch_size], labels[first : first + batch_size])
            for first in range(0, len(images), batch_size)
        ]

    def __call__(self, images, labels) -> float:
        loss = self.loss(self.model(images), labels)
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step()
        return loss


class TorchStep:
    """The same in PyTorch, eager; with ``channels_last`` in the memory format that it recommends for images."""

    def __init__(self, channels_last: bool = False):
        import torch

        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = torch_lenet5().to(memory_format=self.format)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), LEARNING_RATE, MOMENTUM)

    def batches(self, folder: str | None, limit: int, batch_size: int) -> list:
        import torch

        images, labels, _ = (
            torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in training_data(folder, limit)
        )
        images = images.contiguous(memory_format=self.format)
        return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    def __call__(self, images, labels) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def torch_lenet5():
    """`fastcnn.models.LeNet5` in PyTorch, with the same weights."""
    import torch
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    model = Sequential(
        Conv2d(1, 6, 5), ReLU(), MaxPool2d(2),
        Conv2d(6, 16, 5), ReLU(), MaxPool2d(2),
        Conv2d(16, 120, 5), ReLU(), Flatten(),
        Linear(120, 84), ReLU(), Linear(84, 10),
    )  # fmt: skip
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights().items()})
    return model


class Walk:
    """Train step after step on one batch after the other, round and round."""

    def __init__(self, make_step, folder: str | None, limit: int, batch_size: int, *options):
        self.step = make_step(*options)
        self.batches = self.step.batches(folder, limit, batch_size)
        self.batches = self.batches[: limit // batch_size]  # full ones
        self.steps = 0

    def __call__(self) -> float:
        self.steps += 1
        return self.step(*self.batches[self.steps % len(self.batches)])


class Epoch:
    """Train one more epoch; ``losses`` is the loss of each step so far."""

    def __init__(self, make_step, folder: str | None, limit: int, batch_size: int, *options):
        self.step, self.losses = make_step(*options), []
        self.batches = self.step.batches(folder, limit, batch_size)
        self.warm_up = Walk(make_step, folder, limit, batch_size, *options)  # another model

    def __call__(self) -> None:
        for images, labels in self.batches:
            self.losses.append(self.step(images, labels))


def numpy_loss(folder: str | None, limit: int, batch_size: int) -> float:
    """The loss that every library must find in its first step of a `Walk`: that of the "numpy" backend."""
    with use_backend("numpy"):
        return Walk(FastcnnStep, folder, limit, batch_size)()
