"""The training of examples/cifar10.py in PyTorch, with the same initial weights and batches."""

import math
import time
from collections.abc import Callable

import cifar10 as example
import numpy as np
import torch
from torch import nn

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def train(recipe, images: np.ndarray, labels: np.ndarray, seed: int, watch: Callable, layout: str) -> nn.Module:
    """Train on uint8 pictures and return the model; ``watch(step, loss, model)`` follows each step."""
    rng, form = np.random.default_rng(seed), LAYOUTS[layout]
    standardize = example.Standardized(images)
    like = example.build(recipe, example.whitening_filters(standardize(images[:5000])), rng)
    model = build(recipe)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in like.state_dict().items()})
    model.to(memory_format=form)
    groups, velocities = divide(model, recipe), {}
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    steps, frozen = recipe.steps(len(images)), recipe.whitening_bias_epochs * recipe.epoch(len(images))
    for k, (x, t) in enumerate(example.batches(recipe, images, labels, rng), start=1):
        if k == frozen:
            model[0].bias.requires_grad_(False)
        normalize(groups[0]["params"])
        model.zero_grad()
        loss = loss_of(model(torch.from_numpy(standardize(x)).to(memory_format=form)), torch.from_numpy(t))
        loss.backward()
        for group in groups:
            muon(group["params"], velocities, group["lr"] * (1 - (k - 1) / steps), group["momentum"])
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


def divide(model: nn.Module, recipe) -> list[dict]:
    """Divide the parameters as `example.groups` does."""
    *body, head = [parameter for parameter in model.parameters() if parameter.requires_grad]
    filters, biases = ([p for p in body if (p.ndim > 1) is many] for many in (True, False))
    return [
        {"params": filters, "lr": recipe.lr, "momentum": recipe.momentum},
        {"params": biases, "lr": recipe.bias_lr, "momentum": recipe.slow_momentum},
        {"params": [head], "lr": recipe.head_lr, "momentum": recipe.slow_momentum},
    ]


@torch.no_grad()
def normalize(filters: list[nn.Parameter]) -> None:
    """Scale the filters as `example.normalize` does."""
    for parameter in filters:
        parameter.mul_(len(parameter) ** 0.5 / parameter.norm())


@torch.no_grad()
def muon(parameters: list[nn.Parameter], velocities: dict, lr: float, momentum: float) -> None:
    """Take a step as `fastcnn.optim.Muon` does; ``torch.optim.Muon`` takes no filters, only matrices."""
    for parameter in parameters:
        if parameter.grad is None:
            continue
        velocity = velocities.setdefault(parameter, torch.zeros_like(parameter))
        velocity.lerp_(parameter.grad, 1 - momentum)
        d = parameter.grad.lerp(velocity, momentum).reshape(len(parameter), -1)
        scale = math.sqrt(max(1, len(d) / d.shape[1]))
        O = orthogonalized(d if len(d) <= d.shape[1] else d.T)
        parameter -= lr * scale * (O if len(d) <= d.shape[1] else O.T).reshape(parameter.shape)


def orthogonalized(d: torch.Tensor) -> torch.Tensor:
    """Iterate as in the documentation of `fastcnn.optim.Muon`."""
    a, b, c = 3.4445, -4.775, 2.0315
    X = d / d.norm().clamp(min=1e-7)
    for _ in range(5):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X


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
