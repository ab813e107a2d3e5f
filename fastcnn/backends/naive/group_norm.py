"""Normalization of each image separately, group by group, and its gradients."""

import math

import numpy as np

from fastcnn.backends.naive import activations


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def group_norm(x, groups: int, weight, bias, pixels: int, eps: float):
    """See `fastcnn.functional.group_norm`.

    The values of an image, in memory order, form ``groups`` groups of equal size. Each run of ``pixels`` values shares
    one weight and one bias, and the next run uses the next ones. After the last weight, the first one follows again.
    """
    y = np.empty(x.shape)
    for image, out in zip(_rows(x), _rows(y), strict=True):
        for group in _groups(image.size, groups):
            normalized, _ = _normalized(image, group, eps)
            for f, z in zip(group, normalized, strict=True):
                i = f // pixels % weight.size
                out[f] = z * float(weight[i]) + float(bias[i])
    return y.astype(x.dtype)


def group_norm_relu(x, groups: int, weight, bias, pixels: int, eps: float):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(group_norm(x, groups, weight, bias, pixels, eps))


@np.errstate(invalid="ignore")
def group_norm_backward(dy, x, groups: int, weight, pixels: int, eps: float, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.group_norm_backward`."""
    dx, dweight, dbias = np.empty(x.shape), np.zeros(weight.size), np.zeros(weight.size)
    for image, gradient, out in zip(_rows(x), _rows(dy), _rows(dx), strict=True):
        for group in _groups(image.size, groups):
            normalized, invstd = _normalized(image, group, eps)
            total = along = 0.0
            for f, z in zip(group, normalized, strict=True):
                i, d = f // pixels % weight.size, float(gradient[f])
                dweight[i] += d * z
                dbias[i] += d
                total += d * float(weight[i])
                along += d * float(weight[i]) * z
            for f, z in zip(group, normalized, strict=True):
                i, d = f // pixels % weight.size, float(gradient[f])
                # the last two terms: each value also changes the mean and the variance
                out[f] = invstd * (d * float(weight[i]) - total / len(group) - z * along / len(group))
    sums = [total.astype(x.dtype) if weight_grad else None for total in (dweight, dbias)]
    return dx.astype(x.dtype) if input_grad else None, *sums


def _rows(batch):
    return batch.reshape(len(batch), -1)


def _groups(size: int, groups: int) -> list[range]:
    """Index range of each group in an image."""
    return [range(start, start + size // groups) for start in range(0, size, size // groups)]


def _normalized(image, group: range, eps: float) -> tuple[list[float], float]:
    """Normalized values of a group, and the reciprocal of its standard deviation."""
    values = [float(image[f]) for f in group]
    mean = sum(values) / len(values)
    variance = sum((value - mean) * (value - mean) for value in values) / len(values)
    invstd = 1 / math.sqrt(variance + eps) if variance + eps != 0 else math.inf
    return [(value - mean) * invstd for value in values], invstd
