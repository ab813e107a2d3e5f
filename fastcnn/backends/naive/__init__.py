"""The definition: each operation as the plainest loops that say what it is.

Every sum and product is taken in float64, whatever the dtype of the arrays, and rounded to that dtype once, at the end:
so that these numbers judge those of the other backends. The layout of a batch is NCHW itself. Slow on purpose; no line
here is clever and none is shared with another backend.
"""

from fastcnn.backends.naive.activations import (
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
from fastcnn.backends.naive.adaptive_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from fastcnn.backends.naive.conv import (
    conv2d,
    conv2d_backward,
    conv2d_max_pool2d,
    conv2d_max_pool2d_backward,
    conv2d_relu,
)
from fastcnn.backends.naive.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from fastcnn.backends.naive.layout import flatten, pack, unflatten, unpack
from fastcnn.backends.naive.linear import linear, linear_backward, linear_relu
from fastcnn.backends.naive.losses import (
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
    mse_loss_backward,
    soft_cross_entropy,
    soft_cross_entropy_backward,
)
from fastcnn.backends.naive.normalization import batch_moments, batch_norm, batch_norm_backward
from fastcnn.backends.naive.optim import adam_update, rmsprop_update, sgd_update
from fastcnn.backends.naive.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastcnn.backends.naive.residual import add, resize_channels
from fastcnn.backends.naive.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "adam_update",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "add",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_moments",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_backward",
    "conv2d_relu",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "flatten",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "linear_relu",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "mse_loss_backward",
    "pack",
    "relu",
    "relu_backward",
    "resize_channels",
    "rmsprop_update",
    "scaled_tanh",
    "scaled_tanh_backward",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "soft_cross_entropy",
    "soft_cross_entropy_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "unflatten",
    "unpack",
]
