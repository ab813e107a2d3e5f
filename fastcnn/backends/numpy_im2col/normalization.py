"""Batch normalization and its gradients, all channels at once."""

import numpy as np

from fastcnn.backends.numpy_im2col import activations


@np.errstate(invalid="ignore")
def batch_moments(x):
    """See `fastcnn.functional.batch_norm`: mean and biased variance of each channel, in float64."""
    return x.mean(_all_but_channels(x), np.float64), x.var(_all_but_channels(x), np.float64)  # (C,) each


@np.errstate(invalid="ignore")
def track_moments(running_mean, running_var, batches, mean, var, count: int, momentum: float | None):
    """See `fastcnn.functional.batch_norm`; changes the first three arrays."""
    step = 1 / max(1, int(batches) + 1) if momentum is None else momentum
    tracked_mean = ((1 - step) * running_mean + step * mean).astype(running_mean.dtype)
    tracked_var = ((1 - step) * running_var + step * (var * count / (count - 1))).astype(running_var.dtype)
    batches += 1  # all memory is allocated: from here on nothing can fail
    running_mean[...], running_var[...] = tracked_mean, tracked_var


@np.errstate(invalid="ignore", divide="ignore")
def norm_statistics(mean, var, eps: float, dtype):
    """See `fastcnn.functional.batch_norm`: mean and reciprocal standard deviation, which `batch_norm` takes."""
    return mean.astype(dtype), (1 / np.sqrt(var.astype(np.float64) + eps)).astype(dtype)


@np.errstate(invalid="ignore")
def batch_norm(x, mean, invstd, weight, bias):
    """See `fastcnn.functional.batch_norm`."""
    y = (x - _beside(x, mean)) * _beside(x, _scale(invstd, weight))
    return y if bias is None else y + _beside(x, bias)


def batch_norm_relu(x, mean, invstd, weight, bias):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(batch_norm(x, mean, invstd, weight, bias))


@np.errstate(invalid="ignore")
def batch_norm_backward(dy, x, mean, invstd, weight, training: bool, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.batch_norm_backward`."""
    channels, count = _all_but_channels(x), x.size // x.shape[1]
    dx = dweight = dbias = None
    if weight_grad or training:
        normalized = (x - _beside(x, mean)) * _beside(x, invstd)
        dbias = dy.sum(channels)  # (C,)
        dweight = (dy * normalized).sum(channels)  # (C,)
    if input_grad:
        dx = dy
        if training:  # each value also changes the mean and the variance
            dx = dy - _beside(x, dbias / count) - normalized * _beside(x, dweight / count)
        dx = dx * _beside(x, _scale(invstd, weight))
    return (dx, dweight, dbias) if weight_grad else (dx, None, None)


def batch_norm_relu_backward(dy, x, mean, invstd, weight, bias, training: bool, input_grad: bool, weight_grad: bool):
    """See `fastcnn.nn.fusion`."""
    through = activations.relu_backward(dy, batch_norm(x, mean, invstd, weight, bias))
    return batch_norm_backward(through, x, mean, invstd, weight, training, input_grad, weight_grad)


def _scale(invstd: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    return invstd if weight is None else invstd * weight


def _all_but_channels(x: np.ndarray) -> tuple[int, ...]:
    """All axes of a batch except the channel axis."""
    return (0, *range(2, x.ndim))


def _beside(x: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Reshape the values of the channels to broadcast with ``x``: (C,) or (C, 1, 1)."""
    return channels.reshape(-1, *(1,) * (x.ndim - 2))
