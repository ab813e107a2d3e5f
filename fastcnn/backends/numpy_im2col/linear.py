"""The fully connected layer's product and its gradients: BLAS."""

import numpy as np


@np.errstate(invalid="ignore")
def linear(x, weight, bias):
    """See `fastcnn.functional.linear`."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


@np.errstate(invalid="ignore")
def linear_backward(dy, x, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.linear_backward`."""
    return (
        dy @ weight if input_grad else None,
        dy.T @ x if weight_grad else None,
        dy.sum(axis=0) if weight_grad else None,
    )
