"""A model as it is in evaluation, in fewer layers.

Batch normalization with running statistics multiplies each channel by a number and adds another. So can the filters and
the bias of the layer before it: y = scale * (W x + b - mean) + shift is (scale * W) x + (scale * (b - mean) + shift),
with scale = weight / sqrt(var + eps). The new numbers are computed in float64 and rounded once.
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
    """What ``model`` computes in evaluation mode, as layers with arrays of their own; the model stays as it is.

    Chains inside chains are one, layers that are `IDLE` are gone, and batch normalization is in the convolution or
    the linear layer before it, or fixed where there is none. A layer of a class of its own is copied as it stands.

    Raises
    ------
    ValueError
        If a batch normalization has no running statistics: what it makes of an image depends on the batch.
    """
    for module in model.modules():
        if isinstance(module, (BatchNorm1d, BatchNorm2d)) and not module.track_running_stats:
            raise ValueError(
                f"`model` has {module}, which has no running statistics: what it makes of an image depends on the "
                "others of the batch."
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
    """A batch normalization whose statistics will not change, so that it does nothing else than compute.

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
        """Channels."""
        return f"{self.num_features}"


def _chain(module):
    """The layers that follow each other in a module, without those that do nothing."""
    if type(module).forward_native is Sequential.forward_native and calls.is_as_defined(module):
        for layer in module.layers:
            yield from _chain(layer)
    elif type(module) not in IDLE or not calls.is_as_defined(module):
        yield module


def _copied(layer: Module) -> Module:
    """With arrays of its own; what goes different ways, as in a residual connection, is folded on each of them."""
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
    """A layer that does what ``layer`` and then ``norm``, in evaluation mode, do; both stay as they are.

    Parameters
    ----------
    layer, norm : Module

    Returns
    -------
    Module or None
        Of the class of `layer`, with a bias. None where they are no such pair, do not fit each other, the normalization
        has no running statistics, or a number would not be finite.

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
    ):  # filters (C, O / groups, ...), the channels of a group together
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
