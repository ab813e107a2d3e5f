"""The "numba" backend: direct convolution and pooling on register tiles, compiled, on all CPU threads."""

from fastcnn.backends.numba_direct import _start  # noqa: F401 (the first: all others import Numba)
from fastcnn.backends.numba_direct.activations import (
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
from fastcnn.backends.numba_direct.adaptive_pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
)
from fastcnn.backends.numba_direct.conv import (
    conv2d,
    conv2d_backward,
    conv2d_max_pool2d,
    conv2d_max_pool2d_backward,
    conv2d_relu,
)
from fastcnn.backends.numba_direct.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from fastcnn.backends.numba_direct.inference import prepare, prepared_size
from fastcnn.backends.numba_direct.layout import flatten, pack, repack, unflatten, unpack
from fastcnn.backends.numba_direct.linear import linear, linear_backward, linear_relu
from fastcnn.backends.numba_direct.losses import (
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
    mse_loss_backward,
    soft_cross_entropy,
    soft_cross_entropy_backward,
)
from fastcnn.backends.numba_direct.memory import Pool
from fastcnn.backends.numba_direct.normalization import batch_moments, batch_norm, batch_norm_backward
from fastcnn.backends.numba_direct.optim import adam_update, rmsprop_update, sgd_update
from fastcnn.backends.numba_direct.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastcnn.backends.numba_direct.recording import recording, replay
from fastcnn.backends.numba_direct.residual import add, resize_channels
from fastcnn.backends.numba_direct.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "Pool",
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
    "prepare",
    "prepared_size",
    "recording",
    "relu",
    "relu_backward",
    "repack",
    "replay",
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
