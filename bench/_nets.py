"""Training of nets in each library, with the same initial weights, images and order. LeNet-5 by default."""

from functools import cache

import numpy as np

from fastcnn import data, models, nn, optim, training, use_backend

LEARNING_RATE, MOMENTUM = 0.01, 0.9


@cache
def training_data(folder: str | None, limit: int, net: str = "lenet5") -> tuple[np.ndarray, np.ndarray, str]:
    """Return images that fit the net, in a fixed random order; their labels; and the name of the data."""
    if folder is None:
        train, _ = data.digits(limit, 1)
    else:
        train, _ = data.mnist(folder)
    train = train.limit(limit, np.random.default_rng(0))
    order = np.random.default_rng(0).permutation(len(train))
    C, size, _ = model(net).input_shape
    pixels = np.repeat(train.images[order], C, axis=1)  # for a net that takes colours, all channels are equal
    images = data.standardize(data.pad_images(pixels, (size - 28) // 2), *data.mean_and_std(pixels))
    return images, train.labels[order], train.source


def model(net: str) -> nn.Sequential:
    """Make the net with the initial weights that all sides use."""
    rng = np.random.default_rng(0)
    return OWN[net](rng) if net in OWN else models.build(net, rng=rng)


def conv8_conv16(rng: np.random.Generator) -> nn.Sequential:
    """Make a net of two convolutions for 28x28 images, as in tutorials of Keras."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 49, 10, rng=rng),
    )  # fmt: skip
    net.input_shape = (1, 28, 28)
    return net


def vgg_batch_norm(rng: np.random.Generator) -> nn.Sequential:
    """Make a net of six 3x3 layers of 32, 64 and 128 filters with batch normalization, for 32x32 images."""
    layers: list[nn.Module] = []
    for C, O in ((3, 32), (32, 64), (64, 128)):
        for before in (C, O):
            layers += nn.Conv2d(before, O, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(O), nn.ReLU()
        layers.append(nn.MaxPool2d(2))
    return _for_colours(*layers, nn.Flatten(), nn.Linear(128 * 16, 10, rng=rng))


def six_layers(rng: np.random.Generator) -> nn.Sequential:
    """Make a net of six 3x3 layers of 32 filters with only ReLU between them, for 32x32 images."""
    layers: list[nn.Module] = []
    for C in (3, 32, 32, 32, 32, 32):
        layers += nn.Conv2d(C, 32, 3, padding=1, rng=rng), nn.ReLU()
    return _for_colours(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10, rng=rng))


def separable(rng: np.random.Generator) -> nn.Sequential:
    """Make a net of four pairs of a depthwise and a 1x1 layer, 32 channels, batch normalization, for 32x32 images."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1, bias=False, rng=rng), nn.BatchNorm2d(32), nn.ReLU()]
    for _ in range(4):
        layers += nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False, rng=rng), nn.BatchNorm2d(32), nn.ReLU()
        layers += nn.Conv2d(32, 32, 1, bias=False, rng=rng), nn.BatchNorm2d(32), nn.ReLU()
    return _for_colours(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10, rng=rng))


def _for_colours(*layers: nn.Module) -> nn.Sequential:
    """Make a Sequential for colour images of 32x32."""
    net = nn.Sequential(*layers)
    net.input_shape = (3, 32, 32)
    return net


OWN = {
    "conv8_conv16": conv8_conv16, "vgg_batch_norm": vgg_batch_norm, "six_layers": six_layers, "separable": separable
}  # fmt: skip


def twin(net: str, weights: dict[str, np.ndarray]):
    """Make the net in PyTorch with these weights."""
    import _torch_nets
    import torch

    module = getattr(_torch_nets, net)()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return module


class FastcnnStep:
    """Train on one batch; return the loss before the step."""

    def __init__(self, net: str = "lenet5"):
        self.net, self.model = net, model(net)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), LEARNING_RATE, MOMENTUM)
        self._step = training.TrainStep(self.model, self.optimizer, self.loss)

    def batches(self, folder: str | None, limit: int, batch_size: int) -> list:
        images, labels, _ = training_data(folder, limit, self.net)
        return [
            (images[first : first + batch_size], labels[first : first + batch_size])
            for first in range(0, len(images), batch_size)
        ]

    def __call__(self, images, labels) -> float:
        return self._step(images, labels)


class TorchStep:
    """The same in PyTorch, eager; ``channels_last`` uses the memory format that PyTorch recommends for images."""

    def __init__(self, net: str = "lenet5", channels_last: bool = False):
        import torch

        self.net, self.format = net, torch.channels_last if channels_last else torch.contiguous_format
        self.model = twin(net, model(net).state_dict()).to(memory_format=self.format)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), LEARNING_RATE, MOMENTUM)

    def batches(self, folder: str | None, limit: int, batch_size: int) -> list:
        import torch

        images, labels, _ = (
            torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in training_data(folder, limit, self.net)
        )
        images = images.contiguous(memory_format=self.format)
        return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    def __call__(self, images, labels) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Walk:
    """Train one step for each call, cycling through the batches."""

    def __init__(self, make_step, folder: str | None, limit: int, batch_size: int, *options):
        self.step = make_step(*options)
        self.batches = self.step.batches(folder, limit, batch_size)
        self.batches = self.batches[: limit // batch_size]  # only full batches
        self.steps = 0

    def __call__(self) -> float:
        self.steps += 1
        return self.step(*self.batches[self.steps % len(self.batches)])


class Epoch:
    """Train one epoch for each call; ``losses`` holds the losses of all steps."""

    def __init__(self, make_step, folder: str | None, limit: int, batch_size: int, *options):
        self.step, self.losses = make_step(*options), []
        self.batches = self.step.batches(folder, limit, batch_size)
        self.warm_up = Walk(make_step, folder, limit, batch_size, *options)  # another model

    def __call__(self) -> None:
        for images, labels in self.batches:
            self.losses.append(self.step(images, labels))


def numpy_loss(folder: str | None, limit: int, batch_size: int, net: str = "lenet5") -> float:
    """Compute the expected loss of the first step of a `Walk` with the "numpy" backend."""
    with use_backend("numpy"):
        return Walk(FastcnnStep, folder, limit, batch_size, net)()
