"""Batch normalization, once it is trained, as part of the layer before it."""

import copy

import numpy as np

from fastcnn.nn import BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Linear, Module, Parameter

_NORMALIZED_BY = {Conv2d: BatchNorm2d, ConvTranspose2d: BatchNorm2d, Linear: BatchNorm1d}


@np.errstate(all="ignore")
def folded(layer: Module, norm: Module) -> Module | None:
    """A layer that does what ``layer`` and then ``norm``, in evaluation mode, do; both stay as they are.

    With ``s = weight / sqrt(running_var + eps)`` of the normalization, each filter is multiplied by its ``s``, and the
    bias becomes ``(bias - running_mean) * s + bias of the normalization``: in float64, then rounded once.

    Parameters
    ----------
    layer, norm : Module

    Returns
    -------
    Module or None
        Of the class of `layer`, with a bias. None where they are no such pair, where the normalization has no running
        statistics, or where a number would not be finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> from fastcnn.interop.onnx_folding import folded
    >>> layer, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=0)
    >>> layer.weight.data[...], norm.running_mean.data[...], norm.running_var.data[...] = 6, 1, 4
    >>> one = folded(layer, norm)
    >>> one.weight.data, one.bias.data
    (array([[3.]], dtype=float32), array([-0.5], dtype=float32))
    """
    if _NORMALIZED_BY.get(type(layer)) is not type(norm) or not norm.track_running_stats:
        return None
    scale = 1 / np.sqrt(norm.running_var.data.astype(np.float64) + norm.eps)
    bias = (layer.bias.data if layer.bias else 0) - norm.running_mean.data.astype(np.float64)
    if norm.affine:
        scale *= norm.weight.data
    bias = bias * scale + (norm.bias.data if norm.affine else 0)
    weight, dtype = layer.weight.data, layer.weight.dtype
    if type(layer) is ConvTranspose2d:  # its filters are (C, O / groups, KH, KW), the channels of a group together
        weight = weight.reshape(layer.groups, -1, *weight.shape[1:])  # (groups, C / groups, O / groups, KH, KW)
        scale = scale.reshape(layer.groups, 1, -1, 1, 1)
    else:
        scale = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    weight, bias = (weight * scale).reshape(layer.weight.shape).astype(dtype), bias.astype(dtype)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return None
    one = copy.copy(layer)
    one.weight, one.bias = Parameter(weight), Parameter(bias)
    return one
