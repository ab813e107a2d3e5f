"""Batch normalization and its gradients, channel by channel."""

import numpy as np

from fastcnn.backends.naive import activations


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def batch_moments(x):
    """See `fastcnn.functional.batch_norm`: mean and biased variance of each channel, in float64."""
    C = x.shape[1]
    mean, var = np.zeros(C), np.zeros(C)
    for c in range(C):
        values = x[:, c].astype(np.float64).flatten()
        for value in values:
            mean[c] += value
        mean[c] /= len(values)
        for value in values:
            var[c] += (value - mean[c]) ** 2
        var[c] /= len(values)
    return mean, var


@np.errstate(invalid="ignore")
def track_moments(running_mean, running_var, batches, mean, var, count: int, momentum: float | None):
    """See `fastcnn.functional.batch_norm`; changes the first three arrays.

    ``mean`` and the biased variance ``var`` are those of ``count`` values per channel. Without momentum, the running
    statistics are averages over all batches.
    """
    batches += 1
    step = 1 / max(1, int(batches)) if momentum is None else momentum
    for c in range(len(mean)):
        running_mean[c] = (1 - step) * float(running_mean[c]) + step * mean[c]
        running_var[c] = (1 - step) * float(running_var[c]) + step * (var[c] * count / (count - 1))


@np.errstate(invalid="ignore", divide="ignore")
def norm_statistics(mean, var, eps: float, dtype):
    """See `fastcnn.functional.batch_norm`: mean and reciprocal standard deviation, which `batch_norm` takes."""
    invstd = np.zeros(len(var))
    for c in range(len(var)):
        invstd[c] = 1 / np.sqrt(np.float64(var[c]) + eps)
    return mean.astype(dtype), invstd.astype(dtype)


@np.errstate(invalid="ignore")
def batch_norm(x, mean, invstd, weight, bias):
    """See `fastcnn.functional.batch_norm`."""
    x64 = x.astype(np.float64)
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        for n in range(len(x)):  # one plane of pixels, or one number of an (N, C) array
            y[n, c] = (x64[n, c] - mean[c]) * invstd[c]
            if weight is not None:
                y[n, c] *= weight[c]
            if bias is not None:
                y[n, c] += bias[c]
    return y.astype(x.dtype)


def batch_norm_relu(x, mean, invstd, weight, bias):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(batch_norm(x, mean, invstd, weight, bias))


@np.errstate(invalid="ignore")
def batch_norm_backward(dy, x, mean, invstd, weight, training: bool, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.batch_norm_backward`."""
    N, C = x.shape[:2]
    count = x.size / C
    dy64, mean64, invstd64 = dy.astype(np.float64), mean.astype(np.float64), invstd.astype(np.float64)
    normalized, dx = np.zeros(x.shape), np.zeros(x.shape)
    dweight, dbias = np.zeros(C), np.zeros(C)
    for c in range(C):
        for n in range(N):
            normalized[n, c] = (x[n, c] - mean64[c]) * invstd64[c]
            dweight[c] += (dy64[n, c] * normalized[n, c]).sum()
            dbias[c] += dy64[n, c].sum()
        for n in range(N):
            dx[n, c] = dy64[n, c]
            if training:  # each value also changes the mean and the variance
                dx[n, c] -= dbias[c] / count
                dx[n, c] -= normalized[n, c] * dweight[c] / count
            dx[n, c] *= invstd64[c]
            if weight is not None:
                dx[n, c] *= weight[c]
    dx, dweight, dbias = (array.astype(x.dtype) for array in (dx, dweight, dbias))
    return dx if input_grad else None, *((dweight, dbias) if weight_grad else (None, None))


def batch_norm_relu_backward(dy, x, mean, invstd, weight, bias, training: bool, input_grad: bool, weight_grad: bool):
    """See `fastcnn.nn.fusion`."""
    through = activations.relu_backward(dy, batch_norm(x, mean, invstd, weight, bias))
    return batch_norm_backward(through, x, mean, invstd, weight, training, input_grad, weight_grad)
