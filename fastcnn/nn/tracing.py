"""Traces: the input and output of each module in a forward pass."""

import copy
from typing import Any, NamedTuple

import numpy as np

from fastcnn import backends
from fastcnn._inputs import Batch, checked_batch, each
from fastcnn.nn import calls
from fastcnn.nn.module import Module


class Step(NamedTuple):
    """Input and output of one module for a batch.

    Attributes
    ----------
    name : str
        Dotted name, as in `Module.state_dict`; "" is the model itself.
    module : Module
    depth : int
        0 for the model itself, 1 for the modules directly inside it, and so on.
    x, y : ndarray of shape (N, C, H, W), (N, C, L) or (N, features)
        Its input, or a tuple of several inputs, and its output.
    """

    name: str
    module: Module
    depth: int
    x: Any
    y: np.ndarray


def trace(model: Module, x: Batch) -> list[Step]:
    """Pass a batch through a copy of ``model``; return the input and output of every module.

    The model is not changed, nor are its running statistics and generators. Layers are not fused: the output of a
    convolution is listed as it is before ReLU and pooling.

    Parameters
    ----------
    model : Module
        In training or evaluation mode, which it keeps.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        For a model with several inputs, a tuple of them.

    Returns
    -------
    list of Step
        In the order in which the modules are called, the model itself first. A module that is called twice is listed
        twice.

    Raises
    ------
    TypeError, ValueError
        If `x` is not a float array, or does not fit a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Residual(nn.ReLU()))
    >>> for step in nn.trace(model, np.ones((1, 2, 3, 3))):
    ...     print(step.depth, repr(step.name), type(step.module).__name__, step.y.shape)
    0 '' Sequential (1, 18)
    1 '0' Flatten (1, 18)
    1 '1' Residual (1, 18)
    2 '1.body' ReLU (1, 18)
    2 '1.shortcut' Identity (1, 18)
    """
    x = checked_batch(x)
    backend = backends.load()
    twin = copy.deepcopy(model)
    pairs = zip(twin.named_modules(), model.named_modules(), strict=True)
    named = {copied: (name, module) for (_, copied), (name, module) in pairs}
    steps: list[Step] = []

    def note(layer, x, forward):
        place = len(steps)  # before the modules inside this one
        y = forward()
        name, module = named[layer]
        depth = name.count(".") + 1 if name else 0
        steps.insert(place, Step(name, module, depth, each(backend.unpack, x), backend.unpack(y)))
        return y

    with calls.forgetting(), calls.observed(note):
        twin.forward_native(each(backend.pack, x), backend)
    return steps
