"""Normalization of each image by itself, group after group of its numbers, and its gradients."""

import math

import numpy as np

from fastcnn.backends.naive import activations


@np.errstate(invalid="ignore")  # an inf or NaN that came in may make a NaN: no fault of ours
def group_norm(x, groups: int, weight, bias, pixels: int, eps: float):
    """See `fastcnn.functional.group_norm`.

    An image's numbers, one after the other, are so many ``groups`` of one size. Of each ``pixels`` of them, all have
    the same weight and bias, the next ones the next; after the last weight comes the first one again.
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
                # what each number does to the mean, and to the variance
                out[f] = invstd * (d * float(weight[i]) - total / len(group) - z * along / len(group))
    sums = [total.astype(x.dtype) if weight_grad else None for total in (dweight, dbias)]
    return dx.astype(x.dtype) if input_grad else None, *sums


def _rows(batch):
    return batch.reshape(len(batch), -1)


def _groups(size: int, groups: int) -> list[range]:
    """Where the numbers of each are."""
    return [range(start, start + size // groups) for start in range(0, size, size // groups)]


def _normalized(image, group: range, eps: float) -> tuple[list[float], float]:
    """A group's numbers less their mean by their standard deviation; and 1 by that."""
    values = [float(image[f]) for f in group]
    mean = sum(values) / len(values)
    variance = sum((value - mean) * (value - mean) for value in values) / len(values)
    invstd = 1 / math.sqrt(variance + eps) if variance + eps != 0 else math.inf
    return [(value - mean) * invstd for value in values], invstd
