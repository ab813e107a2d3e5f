"""Make the same nets in PyTorch; layers that PyTorch lacks are modules defined here."""

import inspect
from collections import OrderedDict
from collections.abc import Callable

import pytest

from fastcnn import nn
from fastcnn.interop.pytorch import layers

torch = pytest.importorskip("torch")


class Residual(torch.nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, *inputs):
        return self.body(*inputs) + self.shortcut(*inputs)


class Branches(torch.nn.Module):
    def __init__(self, branches, dim, several):
        super().__init__()
        self.branches, self.dim, self.several = torch.nn.ModuleList(branches), dim, several

    def forward(self, *inputs):
        given = [(x,) for x in inputs] if self.several else [inputs] * len(self.branches)
        return torch.cat([branch(*its) for branch, its in zip(self.branches, given, strict=True)], self.dim)


class Chain(torch.nn.Sequential):
    """A Sequential whose first layer may take several inputs."""

    def forward(self, *inputs):
        first, *others = self
        x = first(*inputs)
        for layer in others:
            x = layer(x)
        return x


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def resized(channels):
    return lambda x: torch.nn.functional.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def twin(model: nn.Module, known: dict | None = None) -> torch.nn.Module:
    """Make a model in PyTorch with the structure, options and mode of ``model``, but its own weights.

    ``known`` maps layers to the modules already made, so that shared layers stay shared.
    """
    known = {} if known is None else known
    if model not in known:
        known[model] = _twin(model, lambda layer: twin(layer, known))
    return known[model]


def _twin(model: nn.Module, twin: Callable) -> torch.nn.Module:
    name = type(model).__name__
    if isinstance(model, nn.Sequential):
        parts = OrderedDict((name, twin(layer)) for name, layer in model.named_children())
        made = (Chain if model.several_inputs else torch.nn.Sequential)(parts)
    elif isinstance(model, nn.Concat | nn.Parallel):
        made = Branches(map(twin, model), model.dim, isinstance(model, nn.Parallel))
    elif isinstance(model, nn.Residual):
        made = Residual(twin(model.body), twin(model.shortcut))
    elif isinstance(model, nn.GlobalAvgPool2d):
        made = Function(lambda x: x.mean((2, 3)))
    elif isinstance(model, nn.ResizeChannels):
        made = Function(resized(model.channels))
    elif isinstance(model, nn.ScaledTanh):
        made = Function(lambda x: model.amplitude * torch.tanh(model.slope * x))
    else:
        assert name in layers(torch)
        known = [option for option in inspect.signature(getattr(nn, name)).parameters if option not in ("rng", "dtype")]
        options = {option: getattr(model, option) for option in known}
        if "bias" in options:
            options["bias"] = model.bias is not None
        dtypes = {getattr(torch, parameter.dtype.name) for parameter in model.parameters()}
        made = getattr(torch.nn, name)(**options, **({"dtype": dtypes.pop()} if dtypes else {}))
    return made.train(model.training)
