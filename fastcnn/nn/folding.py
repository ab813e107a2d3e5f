"""Batch normalization, once it is trained, as part of the layer before it."""

import copy

import numpy as np

from fastcnn.nn.conv import Conv2d, ConvTranspose2d
from fastcnn.nn.linear import Linear
from fastcnn.nn.module import Module, Parameter
from fastcnn.nn.normalization import BatchNorm1d, BatchNorm2d


def foldable(layer: Module, norm: Module) -> bool:
    """Whether `folded` can make one layer of these."""
    pairs = (Conv2d, BatchNorm2d), (ConvTranspose2d, BatchNorm2d), (Linear, BatchNorm1d)
    return any(isinstance(layer, a) and isinstance(norm, b) for a, b in pairs) and norm.track_running_stats


def folded(layer: Conv2d | ConvTranspose2d | Linear, norm: BatchNorm1d | BatchNorm2d) -> Module:
    """A layer that does what ``layer`` and then ``norm``, in evaluation mode, do; both stay as they are.

    With ``s = weight / sqrt(running_var + eps)`` of the normalization, each filter is multiplied by its ``s`` and the
    bias becomes ``(bias - running_mean) * s + bias of the normalization``: in float64, then rounded once.

    Parameters
    ----------
    layer, norm : Module
        For which `foldable` is true.

    Returns
    -------
    Module
        Of the class of `layer`, with a bias.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> from fastcnn.nn.folding import folded
    >>> layer, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=0)
    >>> layer.weight.data[...], norm.running_mean.data[...], norm.running_var.data[...] = 6, 1, 4
    >>> one = folded(layer, norm)
    >>> one.weight.data, one.bias.data
    (array([[3.]], dtype=float32), array([-0.5], dtype=float32))
    """
    scale = 1 / np.sqrt(norm.running_var.data.astype(np.float64) + norm.eps)
    if norm.affine:
        scale *= norm.weight.data
    bias = (layer.bias.data if layer.bias else 0) - norm.running_mean.data.astype(np.float64)
    bias = bias * scale + (norm.bias.data if norm.affine else 0)
    weight, dtype = layer.weight.data, layer.weight.dtype
    if isinstance(layer, ConvTranspose2d):  # filters are (C, O / groups, KH, KW), the channels of a group together
        C, O, KH, KW = weight.shape
        parts = weight.reshape(layer.groups, C // layer.groups, O, KH, KW)
        weight = (parts * scale.reshape(layer.groups, 1, O, 1, 1)).reshape(weight.shape)
    else:
        weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    one = copy.copy(layer)
    one.weight, one.bias = Parameter(weight.astype(dtype)), Parameter(bias.astype(dtype))
    return one
