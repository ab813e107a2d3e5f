"""Models and losses of the write-ups, made of fastcnn's layers."""

import numpy as np

from fastcnn import models, nn


def conv12_conv24(rng: np.random.Generator) -> nn.Sequential:
    """Build the net of S2, with 8,938 parameters and 438,000 multiply-adds per image: wuziheng/CNN-Numpy, 2018."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 5, rng=rng),  # 12 @ 24x24
        nn.ReLU(),
        nn.MaxPool2d(2),  # 12 @ 12x12
        nn.Conv2d(12, 24, 3, rng=rng),  # 24 @ 10x10
        nn.ReLU(),
        nn.MaxPool2d(2),  # 24 @ 5x5
        nn.Flatten(),
        nn.Linear(600, 10, rng=rng),
    )
    model.input_shape = (1, 28, 28)
    return model


NETS = {"conv12_conv24": conv12_conv24}


def build(run, rng: np.random.Generator) -> nn.Sequential:
    """Build the net of a run with its initial weights; `rng` also draws the masks of dropout."""
    if run.model in NETS:
        model = NETS[run.model](rng)
    else:
        model = models.build(run.model, rng=rng, **run.model_options)
    INITS[run.init](model, rng)
    layers = []
    for layer in model:
        if isinstance(layer, nn.Linear) and run.dropout:
            layers.append(nn.Dropout(run.dropout, rng=rng))
        layers.append(nn.LeakyReLU(run.leaky) if isinstance(layer, nn.ReLU) and run.leaky else layer)
    changed = nn.Sequential(*layers)
    changed.input_shape = model.input_shape
    return changed


def keep(model: nn.Module, rng: np.random.Generator) -> None:
    """Keep the default initialization: weights and biases uniform in ±1 / sqrt(fan_in)."""


def over_fan_in(model: nn.Module, rng: np.random.Generator) -> None:
    """Initialize weights from a normal distribution with standard deviation 1 / fan_in, biases with 0."""
    for parameter in model.parameters():
        many = parameter.data.ndim > 1
        parameter.data[...] = rng.normal(size=parameter.shape) / nn.init.fan_in(parameter) if many else 0


def glorot(model: nn.Module, rng: np.random.Generator) -> None:
    """Initialize weights uniformly in ±sqrt(6 / (fan_in + fan_out)), biases with 0, like the layers of Keras.

    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """
    for parameter in model.parameters():
        if parameter.data.ndim > 1:
            fans = nn.init.fan_in(parameter) + len(parameter.data) * parameter.data[0, 0].size
            parameter.data[...] = rng.uniform(-1, 1, parameter.shape) * np.sqrt(6 / fans)
        else:
            parameter.data[...] = 0


INITS = {"default": keep, "he": nn.init.he_, "normal / fan_in": over_fan_in, "glorot": glorot}


class EuclideanLoss:
    """Half the squared distance between a row and the one-hot vector of its class, averaged over the rows."""

    def __init__(self):
        self._sum = nn.MSELoss(reduction="sum")

    def __call__(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Return the loss of a batch."""
        self._half = 0.5 / len(x)
        return self._half * self._sum(x, np.eye(x.shape[1], dtype=x.dtype)[labels])

    def backward(self) -> np.ndarray:
        """Return the gradient with respect to ``x``: ``(x - target) / N``."""
        return self._half * self._sum.backward()


LOSSES = {"cross entropy": nn.CrossEntropyLoss, "euclidean": EuclideanLoss}
