"""A pass through a model, module by module: what goes into each and what comes out."""

import copy
from typing import Any, NamedTuple

import numpy as np

from fastcnn import backends
from fastcnn._inputs import Batch, checked_batch, each
from fastcnn.nn import calls
from fastcnn.nn.module import Module


class Step(NamedTuple):
    """What one module made of a batch.

    Attributes
    ----------
    name : str
        Dotted, as in `Module.state_dict`; "" is the model itself.
    module : Module
    depth : int
        0 is the model itself, 1 what is directly inside it, and so on.
    x, y : ndarray of shape (N, C, H, W), (N, C, L) or (N, features)
        What it was given, several inputs as a tuple, and its output.
    """

    name: str
    module: Module
    depth: int
    x: Any
    y: np.ndarray


def trace(model: Module, x: Batch) -> list[Step]:
    """Pass a batch through a copy of ``model`` and keep what every module in it was given and gave.

    The model stays as it is, its running statistics and generators too. No modules are fused: what a convolution gives
    is there before its ReLU and its pooling.

    Parameters
    ----------
    model : Module
        In training or evaluation mode, as it is.
    x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
        Of a model with several inputs, a tuple of them.

    Returns
    -------
    list of Step
        In the order in which the modules are called, the model itself first. A module that is called twice is there
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
        place = len(steps)  # where it began: those inside it come behind
        y = forward()
        name, module = named[layer]
        depth = name.count(".") + 1 if name else 0
        steps.insert(place, Step(name, module, depth, each(backend.unpack, x), backend.unpack(y)))
        return y

    with calls.forgetting(), calls.observed(note):
        twin.forward_native(each(backend.pack, x), backend)
    return steps
