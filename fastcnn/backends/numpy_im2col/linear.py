"""The fully connected layer and its gradients, as BLAS matrix products."""

import numpy as np

from fastcnn.backends.numpy_im2col import activations


@np.errstate(invalid="ignore")
def linear(x, weight, bias):
    """See `fastcnn.functional.linear`."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


def linear_relu(x, weight, bias):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(linear(x, weight, bias))


@np.errstate(invalid="ignore")
def linear_backward(dy, x, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.linear_backward`."""
    return (
        dy @ weight if input_grad else None,
        dy.T @ x if weight_grad else None,
        dy.sum(axis=0) if weight_grad else None,
    )
