"""Reduce a model in evaluation mode to fewer layers.

Batch normalization with running statistics multiplies each channel by a number and adds another. The filters and the
bias of the layer before it can absorb both: y = scale * (W x + b - mean) + shift is
(scale * W) x + (scale * (b - mean) + shift), with scale = weight / sqrt(var + eps). The new filters and bias are
computed in float64 and rounded once.
"""

import copy
from typing import Any

import numpy as np

from fastcnn.functional.normalization import inverse_deviation
from fastcnn.nn import calls
from fastcnn.nn.branches import Concat, Parallel
from fastcnn.nn.containers import Sequential
from fastcnn.nn.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from fastcnn.nn.dropout import Dropout, Dropout2d
from fastcnn.nn.linear import Linear
from fastcnn.nn.module import Module
from fastcnn.nn.normalization import BatchNorm1d, BatchNorm2d
from fastcnn.nn.parameter import Parameter
from fastcnn.nn.reshaping import Identity
from fastcnn.nn.residual import Residual

IDLE = Dropout, Dropout2d, Identity
"""The layers that do nothing in evaluation mode."""

_NORMALIZED_BY = {
    **dict.fromkeys((Conv2d, ConvTranspose2d), BatchNorm2d),
    **dict.fromkeys((Conv1d, ConvTranspose1d, Linear), BatchNorm1d),
}


def fold(model: Module) -> Sequential:
    """Return layers that compute what ``model`` does in evaluation mode. They are copies; the model is not changed.

    Nested chains are flattened and `IDLE` layers are removed. A batch normalization is folded into the convolution or
    linear layer before it; if there is none, it becomes a `FixedBatchNorm`. Layers of other classes are copied.

    Raises
    ------
    ValueError
        If a batch normalization has no running statistics: its output for an image would depend on the batch.
    """
    for module in model.modules():
        if isinstance(module, (BatchNorm1d, BatchNorm2d)) and not module.track_running_stats:
            raise ValueError(
                f"`model` has {module}, which has no running statistics: its output for an image depends on the other "
                "images of the batch."
            )
    layers: list[Module] = []
    for layer in _chain(model):
        if type(layer) not in (BatchNorm1d, BatchNorm2d) or not calls.is_as_defined(layer):
            layers.append(_copied(layer))
        elif layers and (one := folded(layers[-1], layer)):
            layers[-1] = one
        else:
            layers.append(FixedBatchNorm(layer))
    return Sequential(*layers).eval()


class FixedBatchNorm(Module):
    """A batch normalization with fixed statistics.

    Parameters
    ----------
    layer : BatchNorm1d or BatchNorm2d
        With running statistics.
    """

    def __init__(self, layer: BatchNorm1d | BatchNorm2d):
        twin: Any = copy.deepcopy(layer)
        self.num_features, self.check = twin.num_features, twin.check
        self.mean = twin.running_mean.data
        self.invstd = inverse_deviation(twin.running_var.data, twin.eps).astype(twin.dtype)
        self.factors, self.offsets = twin.weight and twin.weight.data, twin.bias and twin.bias.data
        for array in (self.mean, self.invstd, self.factors, self.offsets):
            if array is not None:
                array.flags.writeable = False

    def forward_native(self, x, backend):
        """See `fastcnn.functional.batch_norm`."""
        self.check(x)
        return backend.batch_norm(x, self.mean, self.invstd, self.factors, self.offsets)

    def extra_repr(self) -> str:
        """Return `num_features` for the repr."""
        return f"{self.num_features}"


def _chain(module):
    """Yield the layers of a module in order, with nested chains flattened and idle layers left out."""
    if type(module).forward_native is Sequential.forward_native and calls.is_as_defined(module):
        for layer in module.layers:
            yield from _chain(layer)
    elif type(module) not in IDLE or not calls.is_as_defined(module):
        yield module


def _copied(layer: Module) -> Module:
    """Copy a layer and its arrays; the parts of a residual connection and branches are folded."""
    if type(layer) is Residual and calls.is_as_defined(layer):
        return Residual(fold(layer.body), fold(layer.shortcut))
    if isinstance(layer, (Concat, Parallel)) and type(layer) in (Concat, Parallel) and calls.is_as_defined(layer):
        return type(layer)(*map(fold, layer.branches), dim=layer.dim)
    twin = copy.deepcopy(layer)
    twin.zero_grad()
    for parameter in twin.parameters():
        parameter.data = np.array(parameter.data, order="C")
    return twin


@np.errstate(all="ignore")
def folded(layer: Any, norm: Module) -> Module | None:
    """Return one layer that replaces ``layer`` and the ``norm`` after it in evaluation mode. Neither is changed.

    Parameters
    ----------
    layer, norm : Module

    Returns
    -------
    Module or None
        A layer of the class of `layer`, with a bias. None if the two cannot be folded: their classes or sizes do not
        fit, the normalization has no running statistics, or a result is not finite.

    Examples
    --------
    >>> from fastcnn import nn
    >>> from fastcnn.nn.folding import folded
    >>> layer, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=0)
    >>> layer.weight.data[...], norm.running_mean.data[...], norm.running_var.data[...] = 6, 1, 4
    >>> one = folded(layer, norm)
    >>> one.weight.data, one.bias.data
    (array([[3.]], dtype=float32), array([-0.5], dtype=float32))
    """
    if _NORMALIZED_BY.get(type(layer)) is not type(norm) or not (norm.running_mean and norm.running_var):
        return None
    if not (calls.is_as_defined(layer) and calls.is_as_defined(norm)):
        return None
    outputs = layer.out_features if type(layer) is Linear else layer.out_channels
    if outputs != norm.num_features or layer.weight.dtype != norm.dtype:
        return None
    scale, bias = inverse_deviation(norm.running_var.data, norm.eps), -norm.running_mean.data.astype(np.float64)
    if layer.bias:
        bias += layer.bias.data
    if norm.weight and norm.bias:
        scale *= norm.weight.data
        bias = bias * scale + norm.bias.data
    else:
        bias *= scale
    weight = layer.weight.data
    if type(layer) in (
        ConvTranspose1d,
        ConvTranspose2d,
    ):  # filters are (C, O / groups, ...), and the channels of a group are adjacent
        weight = weight.reshape(layer.groups, -1, *weight.shape[1:])  # (groups, C / groups, O / groups, ...)
        weight = weight * scale.reshape(layer.groups, 1, -1, *(1,) * (weight.ndim - 3))
    else:
        weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    weight, bias = weight.reshape(layer.weight.shape).astype(norm.dtype), bias.astype(norm.dtype)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return None
    one = copy.copy(layer)
    one.weight, one.bias = Parameter(weight), Parameter(bias)
    return one
