"""The fully connected layer and its gradients, as three nested loops."""

import numpy as np

from fastcnn.backends.naive import activations


@np.errstate(invalid="ignore")  # inf or NaN in the input may give NaN; that is no error
def linear(x, weight, bias):
    """See `fastcnn.functional.linear`."""
    x64, weight64 = x.astype(np.float64), weight.astype(np.float64)
    y = np.zeros((len(x), len(weight)))
    for n in range(len(x)):
        for o in range(len(weight)):
            total = 0.0 if bias is None else np.float64(bias[o])
            for c in range(x.shape[1]):
                total += x64[n, c] * weight64[o, c]
            y[n, o] = total
    return y.astype(x.dtype)


def linear_relu(x, weight, bias):
    """See `fastcnn.nn.fusion`."""
    return activations.relu(linear(x, weight, bias))


@np.errstate(invalid="ignore")
def linear_backward(dy, x, weight, input_grad: bool, weight_grad: bool):
    """See `fastcnn.functional.linear_backward`."""
    dy64, x64, weight64 = dy.astype(np.float64), x.astype(np.float64), weight.astype(np.float64)
    dx, dweight, dbias = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(len(weight))
    for n in range(len(x)):
        for o in range(len(weight)):
            dbias[o] += dy64[n, o]
            for c in range(x.shape[1]):
                dx[n, c] += dy64[n, o] * weight64[o, c]
                dweight[o, c] += dy64[n, o] * x64[n, c]
    return (
        dx.astype(x.dtype) if input_grad else None,
        dweight.astype(x.dtype) if weight_grad else None,
        dbias.astype(x.dtype) if weight_grad else None,
    )
