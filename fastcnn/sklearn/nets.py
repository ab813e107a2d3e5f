"""Network of an estimator: the default one, one of `fastcnn.models` by name, or one built by a function."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import models, nn

Build = Callable[[tuple[int, ...], int, np.random.Generator], nn.Module]


def built(
    model: str | Build | None, input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator, dtype: np.dtype
) -> nn.Module:
    """Build and check the network for an estimator's ``model``.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a name, a function or None, or if the network is not a Module or does not fit the inputs and
        outputs.
    """
    if model is None:
        return default_net(input_shape, outputs, rng, dtype)
    if isinstance(model, str):
        return _by_name(model, input_shape, outputs, rng, dtype)
    if isinstance(model, nn.Module) or not callable(model):
        raise TypeError(
            "`model` must be a name, a function (input_shape, outputs, rng) that builds a new network, or None, not "
            f"{type(model).__name__}."
        )
    net = model(input_shape, outputs, rng)
    if not isinstance(net, nn.Module):
        raise TypeError(f"`model` must build a fastcnn.nn.Module, not {type(net).__name__}.")
    net.to(dtype)
    given = nn.summarize(net, input_shape).rows[0].output_shape
    if given != (outputs,):
        raise ValueError(f"`model` built a network that gives {given} for each row of X, but ({outputs},) is needed.")
    return net


def default_net(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator, dtype: np.dtype) -> nn.Sequential:
    """Build two convolutions with ReLU and max-pooling and a linear layer; for features, one hidden layer of 100.

    The net for features is that of scikit-learn's ``MLPClassifier``. Sides of a single pixel are not pooled.
    """
    start: dict[str, Any] = {"rng": rng, "dtype": dtype}
    if len(input_shape) == 1:
        return nn.Sequential(nn.Linear(*input_shape, 100, **start), nn.ReLU(), nn.Linear(100, outputs, **start))
    kinds: tuple[Any, Any] = (nn.Conv2d, nn.MaxPool2d) if len(input_shape) == 3 else (nn.Conv1d, nn.MaxPool1d)
    Conv, Pool = kinds
    channels, *sides = input_shape
    layers: list[nn.Module] = []
    for width in (16, 32):
        windows = tuple(min(side, 2) for side in sides)
        layers += [Conv(channels, width, 3, padding=1, **start), nn.ReLU(), Pool(windows)]
        channels, sides = width, [side // window for side, window in zip(sides, windows, strict=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * int(np.prod(sides)), outputs, **start))


def _by_name(name: str, input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator, dtype) -> nn.Module:
    if len(input_shape) != 3 or input_shape[1] != input_shape[2]:
        raise ValueError(
            f"`model` is {name!r}, which needs square images, but a row of X has shape {input_shape}; pass "
            "input_shape=(C, H, H) if rows are images."
        )
    return models.build(
        name, num_classes=outputs, in_channels=input_shape[0], image_size=input_shape[1], rng=rng, dtype=dtype
    )
