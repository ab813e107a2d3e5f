"""ReLU with learned slopes (PReLU) and its gradients, element by element."""

import numpy as np


def prelu(x, weight):
    """See `fastcnn.functional.prelu`."""
    y = np.empty_like(x)
    for at in np.ndindex(x.shape):
        value = float(x[at])
        y[at] = value if value > 0 else _slope(weight, at) * value
    return y


def prelu_backward(dy, x, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.prelu_backward`."""
    dx, dweight = np.empty_like(x), np.zeros(weight.shape)
    for at in np.ndindex(x.shape):
        value, gradient = float(x[at]), float(dy[at])
        dx[at] = gradient if value > 0 else _slope(weight, at) * gradient
        if not value > 0:
            dweight[at[1] % len(weight)] += value * gradient
    return dx if input_grad else None, dweight.astype(x.dtype) if weight_grad else None


def _slope(weight, at: tuple[int, ...]) -> float:
    """Slope of the channel, or the one slope of all channels."""
    return float(weight[at[1] % len(weight)])
