"""The operations, on plain NumPy arrays: checked here once, computed by the backend of your choice.

Images are (N, C, H, W), float32 or float64. Every operation has its gradient beside it, named ``<operation>_backward``:
given ``dy``, the gradient of a loss by the operation's output, it returns the gradient by the inputs. No function
changes its arguments, but for the running statistics of `batch_norm`. ``backend=`` names the backend of one call; see
`fastcnn.get_backend` for the default.
"""

from fastcnn.functional.activations import (
    dropout,
    dropout_backward,
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    scaled_tanh,
    scaled_tanh_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from fastcnn.functional.adaptive_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from fastcnn.functional.conv import conv2d, conv2d_backward
from fastcnn.functional.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from fastcnn.functional.linear import linear, linear_backward
from fastcnn.functional.losses import cross_entropy, cross_entropy_backward, mse_loss, mse_loss_backward
from fastcnn.functional.normalization import batch_norm, batch_norm_backward
from fastcnn.functional.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastcnn.functional.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "mse_loss_backward",
    "relu",
    "relu_backward",
    "scaled_tanh",
    "scaled_tanh_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
