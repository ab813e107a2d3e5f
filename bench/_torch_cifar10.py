"""The training of examples/cifar10.py in PyTorch, with the same initial weights and batches."""

import math
import time
from collections.abc import Callable

import cifar10 as example
import numpy as np
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LinearLR

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def train(recipe, images: np.ndarray, labels: np.ndarray, seed: int, watch: Callable, layout: str) -> nn.Module:
    """Train on uint8 pictures and return the model; ``watch(step, loss, model)`` follows each step."""
    rng, form = np.random.default_rng(seed), LAYOUTS[layout]
    standardize = example.Standardized(images)
    like = example.build(recipe, example.whitening_filters(standardize(images[:5000])), rng)
    model = build(recipe)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in like.state_dict().items()})
    model.to(memory_format=form)
    filters, *others = divide(model)
    muon = Muon(filters, recipe)
    rates = recipe.bias_lr, recipe.bias_lr, recipe.head_lr
    settings = {"momentum": recipe.slow_momentum, "nesterov": True}
    optimizers = [
        SGD(some, lr, **settings, weight_decay=recipe.decay / lr) for some, lr in zip(others, rates, strict=True)
    ]
    steps, frozen = recipe.steps(len(images)), recipe.whitening_steps(len(images))
    lengths = frozen, steps, steps
    schedules = [LinearLR(optimizer, 1, 0, length) for optimizer, length in zip(optimizers, lengths, strict=True)]
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for k, (x, t) in enumerate(example.batches(recipe, images, labels, rng), start=1):
        if k == frozen:
            model[0].bias.requires_grad_(False)
        muon.normalize()
        model.zero_grad()
        loss = loss_of(model(torch.from_numpy(standardize(x)).to(memory_format=form)), torch.from_numpy(t))
        loss.backward()
        muon.step(recipe.lr * (1 - (k - 1) / steps))
        for each in (*optimizers, *schedules):
            each.step()
        watch(k, loss.item(), model)
    return model


def build(recipe) -> nn.Sequential:
    """Build the network of `example.build`, with the same names of parameters."""
    layers, channels = [nn.Conv2d(3, example.WHITENED, 2), nn.GELU()], example.WHITENED
    layers[0].weight.requires_grad_(False)
    for width in recipe.widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2), normalization(width)]
        layers += [nn.GELU(), nn.Conv2d(width, width, 3, padding=1, bias=False), normalization(width), nn.GELU()]
        channels = width
    head = nn.Linear(channels, example.CLASSES, bias=False)
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)


def normalization(channels: int) -> nn.BatchNorm2d:
    """Make a batch normalization whose scale stays 1."""
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def divide(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the filters to train, the first layer's bias, the other biases, and the weights of the last layer."""
    first, *body, head = [parameter for parameter in model.parameters() if parameter.requires_grad]
    filters, biases = ([parameter for parameter in body if (parameter.ndim > 1) is many] for many in (True, False))
    return [filters, [first], biases, [head]]


class Muon:
    """Muon as in fastcnn, for layers with no more filters than a filter has weights, as these layers are.

    ``torch.optim.Muon`` takes no filters, only matrices.
    """

    def __init__(self, filters: list[nn.Parameter], recipe):
        self.filters, self.momentum, self.ns_steps = filters, recipe.momentum, recipe.ns_steps
        self.velocities = [torch.zeros_like(parameter) for parameter in filters]

    @torch.no_grad()
    def normalize(self) -> None:
        """Scale the filters as `example.normalize` does."""
        for parameter in self.filters:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Iterate as in the documentation of `fastcnn.optim.Muon`."""
        a, b, c = 3.4445, -4.775, 2.0315
        for parameter, velocity in zip(self.filters, self.velocities, strict=True):
            velocity.lerp_(parameter.grad, 1 - self.momentum)
            X = parameter.grad.lerp(velocity, self.momentum).reshape(len(parameter), -1)
            X = X / X.norm().clamp(min=1e-7)
            for _ in range(self.ns_steps):
                A = X @ X.T
                X = a * X + (b * A + c * A @ A) @ X
            parameter -= lr * X.reshape(parameter.shape)


def accuracy(model: nn.Module, x: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of standardized pictures that the model recognizes."""
    model.eval()
    with torch.inference_mode():
        found = torch.cat([model(part).argmax(1) for part in torch.from_numpy(x).split(1000)]).numpy()
    model.train()
    return float(np.mean(found == labels))


def faster_layout(recipe) -> str:
    """Return the layout of memory in which PyTorch takes less time for some steps."""
    seconds = dict.fromkeys(LAYOUTS, math.inf)
    for layout in [*LAYOUTS] * 2:
        times = [time.perf_counter()]
        train(*example.noise(recipe), 0, lambda *_, times=times: times.append(time.perf_counter()), layout)
        seconds[layout] = min(seconds[layout], *np.diff(times))
    return min(seconds, key=seconds.__getitem__)
