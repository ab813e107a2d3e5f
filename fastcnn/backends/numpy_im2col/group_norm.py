"""Normalization of each image separately, all groups at once, and its gradients, all in float64."""

import numpy as np

from fastcnn.backends.numpy_im2col import activations


@np.errstate(invalid="ignore")
def group_norm(x, groups: int, weight, bias, pixels: int, eps: float):
    """See `fastcnn.functional.group_norm`; the naive backend documents the arguments."""
    y, _ = _normalized(x, groups, eps)
    y = _by_weight(y, weight, pixels) * weight[:, None] + bias[:, None]
    return y.astype(x.dtype).reshape(x.shape)


def group_norm_relu(x, groups: int, weight, bias, pixels: int, eps: float):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(group_norm(x, groups, weight, bias, pixels, eps))


@np.errstate(invalid="ignore")
def group_norm_backward(dy, x, groups: int, weight, pixels: int, eps: float, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.group_norm_backward`."""
    normalized, invstd = _normalized(x, groups, eps)
    dx = dweight = dbias = None
    if weight_grad:
        along = _by_weight(dy * normalized.reshape(dy.shape), weight, pixels)
        dweight = along.sum((0, 1, 3)).astype(x.dtype)  # (weights,)
        dbias = _by_weight(dy, weight, pixels).sum((0, 1, 3), np.float64).astype(x.dtype)
    if input_grad:
        dz = (_by_weight(dy, weight, pixels) * weight[:, None].astype(np.float64)).reshape(normalized.shape)
        # each value also changes the mean and the variance
        dz = dz - dz.mean(2, keepdims=True) - normalized * (dz * normalized).mean(2, keepdims=True)
        dx = (dz * invstd).astype(x.dtype).reshape(x.shape)
    return dx, dweight, dbias


@np.errstate(divide="ignore")
def _normalized(x, groups: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Normalized values (N, groups, group size), and reciprocal standard deviations (N, groups, 1)."""
    rows = x.reshape(len(x), groups, -1).astype(np.float64)
    deviations = rows - rows.mean(2, keepdims=True)
    invstd = 1 / np.sqrt((deviations * deviations).mean(2, keepdims=True) + eps)
    return deviations * invstd, invstd


def _by_weight(batch, weight, pixels: int):
    """Reshape a batch to (N, repetitions, weights, pixels per weight)."""
    return batch.reshape(len(batch), -1, weight.size, pixels)
