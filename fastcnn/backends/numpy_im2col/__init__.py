"""Convolution as a matrix product: patches as read-only views (im2col), BLAS, and slices added back (col2im).

The layout of a batch is NCHW itself. Where an inf or a NaN comes in, a NaN may go out; NumPy's "invalid value" warning
is switched off for that alone. An overflow of finite numbers still warns.
"""

from fastcnn.backends.numpy_im2col.activations import (
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
from fastcnn.backends.numpy_im2col.adaptive_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from fastcnn.backends.numpy_im2col.conv import (
    conv2d,
    conv2d_backward,
    conv2d_max_pool2d,
    conv2d_max_pool2d_backward,
    conv2d_relu,
)
from fastcnn.backends.numpy_im2col.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from fastcnn.backends.numpy_im2col.layout import flatten, pack, unflatten, unpack
from fastcnn.backends.numpy_im2col.linear import linear, linear_backward, linear_relu
from fastcnn.backends.numpy_im2col.losses import (
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
    mse_loss_backward,
    soft_cross_entropy,
    soft_cross_entropy_backward,
)
from fastcnn.backends.numpy_im2col.normalization import batch_moments, batch_norm, batch_norm_backward
from fastcnn.backends.numpy_im2col.optim import adam_update, rmsprop_update, sgd_update
from fastcnn.backends.numpy_im2col.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastcnn.backends.numpy_im2col.residual import add, resize_channels
from fastcnn.backends.numpy_im2col.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

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
