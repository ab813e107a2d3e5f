"""ReLU with learned slopes (PReLU) and its gradients, on whole arrays."""

import numpy as np


@np.errstate(invalid="ignore")
def prelu(x, weight):
    """See `fastcnn.functional.prelu`."""
    return np.where(x > 0, x, _beside(x, weight) * x)


@np.errstate(invalid="ignore")
def prelu_backward(dy, x, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.prelu_backward`."""
    dx = dweight = None
    if input_grad:
        dx = np.where(x > 0, dy, _beside(x, weight) * dy)
    if weight_grad:
        dweight = np.where(x > 0, 0, x * dy).sum((0, *range(2, x.ndim)))  # (C,)
        if len(weight) == 1:
            dweight = dweight.sum(keepdims=True)
    return dx, dweight


def _beside(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Reshape the slopes to broadcast with ``x``."""
    return weight.reshape(-1, *(1,) * (x.ndim - 2))
