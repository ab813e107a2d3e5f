"""Bad input raises an error with the argument, the value and what was needed, before any kernel runs."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastcnn import _validate, backends
from fastcnn import functional as F


def f32(*shape):
    return np.ones(shape, np.float32)


X, W, B, DY = f32(2, 3, 6, 6), f32(4, 3, 3, 3), f32(4), f32(2, 4, 4, 4)
SIGNALS = f32(2, 3, 6)
PER_CHANNEL, ZEROS, READ_ONLY = f32(3), np.zeros(3, np.float32), f32(3)
READ_ONLY.flags.writeable = False
ROWS, LABELS = f32(2, 10), np.array([0, 9])
RNG = np.random.default_rng(0)


class Bad(NamedTuple):
    reason: str
    function: Any
    arguments: tuple
    error: type[Exception]
    sentence: str
    options: dict = {}  # noqa: RUF012 (never changed)


BAD_INPUT = [
    # images and other arrays
    Bad("a list", F.conv2d, ([[1.0]], W), TypeError, "`x` must be a numpy array, not list."),
    Bad("integers", F.conv2d, (np.ones((2, 3, 6, 6), np.int64), W), TypeError,
        "`x` must be float32 or float64, not int64; convert it with .astype(np.float32)."),
    Bad("half precision", F.relu, (np.ones(3, np.float16),), TypeError, "`x` must be float32 or float64, not float16"),
    Bad("another byte order", F.relu, (np.ones(3, ">f4"),), TypeError, "`x` must be float32 or float64, not >f4"),
    Bad("one image alone", F.conv2d, (X[0], W), ValueError,
        "`x` must have 4 dimensions, (N, C, H, W), but its shape is (3, 6, 6)."),
    Bad("no image", F.conv2d, (f32(0, 3, 6, 6), W), ValueError, "`x` is empty: its shape is (0, 3, 6, 6)."),
    Bad("images without rows", F.max_pool2d, (f32(2, 3, 0, 6), 2), ValueError,
        "`x` is empty: its shape is (2, 3, 0, 6)."),
    Bad("no backend of that name", F.relu, (X,), ValueError,
        "`backend` must be one of 'naive', 'numpy', 'numba', not 'cuda'.", {"backend": "cuda"}),
    # conv2d
    Bad("channels", F.conv2d, (X, f32(4, 2, 3, 3)), ValueError,
        "`weight` has 2 input channels (shape (4, 2, 3, 3)) but `x` has 3 (shape (2, 3, 6, 6))."),
    Bad("channels in groups", F.conv2d, (f32(2, 4, 6, 6), f32(4, 4, 3, 3)), ValueError,
        "`weight` has 4 input channels (shape (4, 4, 3, 3)) but `x` has 4 (shape (2, 4, 6, 6)) in 2 groups.",
        {"groups": 2}),
    Bad("filters of three axes", F.conv2d, (X, f32(4, 3, 3)), ValueError, "`weight` must have 4 dimensions"),
    Bad("two dtypes", F.conv2d, (X, W.astype(np.float64)), TypeError,
        "`weight` is float64 but `x` is float32; give both the same dtype."),
    Bad("a bias too long", F.conv2d, (X, W, f32(5)), ValueError,
        "`bias` has shape (5,) but must have (4,), one value for each filter of `weight`."),
    Bad("a bias of two axes", F.conv2d, (X, W, f32(4, 1)), ValueError, "`bias` must have 1 dimensions"),
    Bad("a bias of another dtype", F.conv2d, (X, W, np.ones(4)), TypeError, "`bias` is float64 but `x` is float32"),
    Bad("kernel larger than the image", F.conv2d, (X, f32(4, 3, 7, 3)), ValueError,
        "The window spans 7 pixels along the height, more than the padded image: 6 + padding 0 + 0; "
        "`kernel_size` is (7, 3) and `dilation` (1, 1)."),
    Bad("kernel larger than the padded image", F.conv2d, (X, f32(4, 3, 3, 9)), ValueError,
        "The window spans 9 pixels along the width, more than the padded image: 6 + padding 1 + 1", {"padding": 1}),
    Bad("dilated beyond the image", F.conv2d, (X, W), ValueError, "The window spans 7 pixels along the height",
        {"dilation": 3}),
    Bad("zero stride", F.conv2d, (X, W), ValueError,
        "`stride` must be an int or a pair of ints, each at least 1, not 0.", {"stride": 0}),
    Bad("zero stride of one axis", F.conv2d, (X, W), ValueError, "`stride` must be", {"stride": (1, 0)}),
    Bad("stride of half a pixel", F.conv2d, (X, W), ValueError, "each at least 1, not 0.5.", {"stride": 0.5}),
    Bad("zero dilation", F.conv2d, (X, W), ValueError, "`dilation` must be an int or a pair", {"dilation": 0}),
    Bad("negative padding", F.conv2d, (X, W), ValueError, "none of them negative, not -1.", {"padding": -1}),
    Bad("padding of three", F.conv2d, (X, W), ValueError, "none of them negative, not (1, 1, 1).",
        {"padding": (1, 1, 1)}),
    Bad("padding unheard of", F.conv2d, (X, W), ValueError, '"valid" or "same", none of them negative, not \'full\'.',
        {"padding": "full"}),
    Bad("zero groups", F.conv2d, (X, W), ValueError, "`groups` is 0 but must be at least 1.", {"groups": 0}),
    Bad("groups of half", F.conv2d, (X, W), TypeError, "`groups` must be a whole number, not 1.5.", {"groups": 1.5}),
    Bad("groups that do not divide", F.conv2d, (X, W), ValueError,
        "`groups` is 2 but must divide the channels of `x` (3) and the filters of `weight` (4).", {"groups": 2}),
    Bad("gradient of another shape", F.conv2d_backward, (f32(2, 4, 6, 6), X, W), ValueError,
        "`dy` has shape (2, 4, 6, 6) but must have (2, 4, 4, 4), the shape of the convolution's output."),
    Bad("gradient of another dtype", F.conv2d_backward, (DY.astype(np.float64), X, W), TypeError,
        "`dy` is float64 but `x` is float32"),
    Bad("gradient with other channels", F.conv2d_backward, (DY, X, f32(4, 1, 3, 3)), ValueError,
        "`weight` has 1 input channels"),
    # signals
    Bad("images to convolve as signals", F.conv1d, (X, W), ValueError,
        "`x` must have 3 dimensions, (N, C, L), but its shape is (2, 3, 6, 6)."),
    Bad("signals to convolve as images", F.conv2d, (SIGNALS, W), ValueError,
        "`x` must have 4 dimensions, (N, C, H, W), but its shape is (2, 3, 6)."),
    Bad("kernel longer than the signal", F.conv1d, (SIGNALS, f32(4, 3, 7)), ValueError,
        "The window spans 7 positions along the length, more than the padded signal: 6 + padding 0 + 0; `kernel_size` "
        "is (7,) and `dilation` (1,)."),
    Bad("a pair of strides", F.conv1d, (SIGNALS, f32(4, 3, 3)), ValueError,
        "`stride` must be an int or a tuple of one int, at least 1, not (1, 1).", {"stride": (1, 1)}),
    Bad("four sides of a signal", F.conv1d, (SIGNALS, f32(4, 3, 3)), ValueError,
        '`padding` must be an int, a pair of sides (left, right), "valid" or "same", none of them negative, not '
        "(1, 1, 1, 1).", {"padding": (1, 1, 1, 1)}),
    Bad("channels of signals", F.conv1d, (SIGNALS, f32(4, 2, 3)), ValueError,
        "`weight` has 2 input channels (shape (4, 2, 3)) but `x` has 3 (shape (2, 3, 6))."),
    Bad("gradient of signals of another shape", F.conv1d_backward, (f32(2, 4, 6), SIGNALS, f32(4, 3, 3)), ValueError,
        "`dy` has shape (2, 4, 6) but must have (2, 4, 4), the shape of the convolution's output."),
    Bad("output padding of signals", F.conv_transpose1d, (SIGNALS, f32(3, 4, 3)), ValueError,
        "`output_padding` is 2 along the length but must be smaller than `stride` (2) or `dilation` (1).",
        {"stride": 2, "output_padding": 2}),
    Bad("padding beyond half of a signal's window", F.max_pool1d, (SIGNALS, 3), ValueError,
        "`padding` (2 before and 2 after, along the length) must be at most half of the pooling window, which spans 3 "
        "positions.", {"padding": 2}),
    Bad("shape of images for signals", F.avg_pool1d_backward, (f32(2, 3, 3), (2, 3, 1, 6), 2), ValueError,
        "`x_shape` must be (N, C, L), not (2, 3, 1, 6)."),
    Bad("a winner outside its window of a signal", F.max_pool1d_backward,
        (f32(1, 1, 2), np.array([[[0, 1]]]), (1, 1, 4), 2), ValueError,
        "`indices` holds 1 at (0, 0, 1), but that pixel is not in the output's window."),
    Bad("no length of output", F.adaptive_avg_pool1d, (SIGNALS, 0), ValueError,
        "`output_size` must be an int or a tuple of one int, at least 1 (in a tuple None leaves an axis as it is), "
        "not 0."),
    # conv_transpose2d
    Bad("channels of a transposed convolution", F.conv_transpose2d, (X, f32(4, 3, 3, 3)), ValueError,
        "`weight` has 4 input channels (the first axis of its shape (4, 3, 3, 3)) but `x` has 3 "
        "(shape (2, 3, 6, 6))."),
    Bad("groups that do not divide the channels", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`groups` is 2 but must divide the channels of `x` (3).", {"groups": 2}),
    Bad("a bias for the input's channels", F.conv_transpose2d, (X, f32(3, 4, 3, 3), f32(3)), ValueError,
        "`bias` has shape (3,) but must have (4,), one value for each output channel."),
    Bad("a bias for one group", F.conv_transpose2d, (X, f32(3, 2, 3, 3), f32(2)), ValueError,
        "`bias` has shape (2,) but must have (6,), one value for each output channel.", {"groups": 3}),
    Bad("output padding of a stride", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`output_padding` is 2 along the height but must be smaller than `stride` (2) or `dilation` (1).",
        {"stride": 2, "output_padding": 2}),
    Bad("output padding of one axis", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`output_padding` is 3 along the width but must be smaller than `stride` (2) or `dilation` (3).",
        {"stride": 2, "dilation": 3, "output_padding": (2, 3)}),
    Bad("negative output padding", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`output_padding` must be an int or a pair of ints, each at least 0, not -1.", {"output_padding": -1}),
    Bad("padding that leaves nothing", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`padding` (4 along the height) leaves nothing of the output: its height would be 0.", {"padding": (4, 0)}),
    Bad("same", F.conv_transpose2d, (X, f32(3, 4, 3, 3)), ValueError,
        "`padding` must be an int or a pair of ints, each at least 0, not 'same'.", {"padding": "same"}),
    Bad("gradient of the convolution's shape", F.conv_transpose2d_backward, (f32(2, 4, 4, 4), X, f32(3, 4, 3, 3)),
        ValueError,
        "`dy` has shape (2, 4, 4, 4) but must have (2, 4, 8, 8), the shape of the transposed convolution's output."),
    # pooling
    Bad("rows to pool", F.max_pool2d, (ROWS, 2), ValueError,
        "`x` must have 4 dimensions, (N, C, H, W), but its shape is"),
    Bad("window larger than the image", F.max_pool2d, (X, 7), ValueError, "The window spans 7 pixels along the height"),
    Bad("window of nothing", F.avg_pool2d, (X, 0), ValueError, "`kernel_size` must be an int or a pair of ints"),
    Bad("zero stride to pool", F.max_pool2d, (X, 2, 0), ValueError, "`stride` must be an int or a pair of ints"),
    Bad("padding beyond half of the window", F.avg_pool2d, (X, 3), ValueError,
        "`padding` (2 before and 2 after, along the height) must be at most half of the pooling window, which spans 3",
        {"padding": 2}),
    Bad("divisor of zero", F.avg_pool2d, (X, 2), ValueError, "`divisor_override` must not be 0.",
        {"divisor_override": 0}),
    Bad("divisor of half", F.avg_pool2d_backward, (f32(2, 3, 3, 3), (2, 3, 6, 6), 2), TypeError,
        "`divisor_override` must be a whole number or None, not 0.5.", {"divisor_override": 0.5}),
    Bad("index outside of the plane", F.max_pool2d_backward, (f32(1, 1, 1, 1), np.array([[[[4]]]]), (1, 1, 2, 2)),
        ValueError, "`indices` holds 4, but its values must be from 0 to 3."),
    Bad("negative index", F.max_pool2d_backward, (f32(1, 1, 1, 1), np.array([[[[-1]]]]), (1, 1, 2, 2)),
        ValueError, "`indices` holds -1, but its values must be from 0 to 3."),
    Bad("indices of another shape", F.max_pool2d_backward, (f32(1, 1, 1, 2), np.array([[[[0]]]]), (1, 1, 2, 2)),
        ValueError, "`indices` has shape (1, 1, 1, 1) but must have (1, 1, 1, 2)."),
    Bad("indices of floats", F.max_pool2d_backward, (f32(1, 1, 1, 1), f32(1, 1, 1, 1), (1, 1, 2, 2)),
        TypeError, "`indices` must be a numpy array of integers, not float32."),
    Bad("input shape of two", F.max_pool2d_backward, (f32(1, 1, 1, 1), np.array([[[[0]]]]), (2, 2)),
        ValueError, "`x_shape` must be (N, C, H, W), not (2, 2)."),
    Bad("input shape of another batch", F.max_pool2d_backward, (f32(1, 1, 1, 1), np.array([[[[0]]]]), (2, 1, 2, 2)),
        ValueError, "`x_shape` (2, 1, 2, 2) and `dy` (1, 1, 1, 1) must agree in N and C, their first two extents."),
    Bad("gradient of another average", F.avg_pool2d_backward, (f32(2, 3, 2, 2), (2, 3, 6, 6), 2), ValueError,
        "`dy` has shape (2, 3, 2, 2) but must have (2, 3, 3, 3), the shape of the pooling's output."),
    # batch_norm
    Bad("videos to normalize", F.batch_norm, (f32(2, 3, 6, 6, 6), ZEROS, PER_CHANNEL), ValueError,
        "`x` must be (N, C, H, W), (N, C, L) or (N, C) but its shape is (2, 3, 6, 6, 6)."),
    Bad("running means of other channels", F.batch_norm, (X, f32(4), PER_CHANNEL), ValueError,
        "`running_mean` has shape (4,) but must have (3,), one value for each channel of `x`."),
    Bad("running variances of another dtype", F.batch_norm, (X, ZEROS, np.ones(3)), TypeError,
        "`running_var` is float64 but `x` is float32"),
    Bad("nothing to evaluate with", F.batch_norm, (X, None, None), ValueError,
        "`running_mean` is None, but only in training may both running statistics be None."),
    Bad("half of the running statistics", F.batch_norm, (X, ZEROS, None), ValueError,
        "`running_var` is None, but only in training may both", {"training": True}),
    Bad("running statistics that cannot change", F.batch_norm, (X, ZEROS, READ_ONLY), ValueError,
        "`running_var` is read-only, but training changes it.", {"training": True}),
    Bad("one value for each channel", F.batch_norm, (f32(1, 3, 1, 1), ZEROS, PER_CHANNEL), ValueError,
        "`x` has one value for each channel (shape (1, 3, 1, 1)): training needs at least 2, for their variance.",
        {"training": True}),
    Bad("weight of other channels", F.batch_norm, (X, ZEROS, PER_CHANNEL, f32(2)), ValueError,
        "`weight` has shape (2,) but must have (3,), one value for each channel of `x`."),
    Bad("momentum of NaN", F.batch_norm, (X, ZEROS, PER_CHANNEL), ValueError, "`momentum` is nan but must be",
        {"momentum": np.nan}),
    Bad("negative eps", F.batch_norm, (X, ZEROS, PER_CHANNEL), ValueError, "`eps` is -1 but must be at least 0",
        {"eps": -1}),
    Bad("gradient of a smaller batch", F.batch_norm_backward, (f32(1, 3, 6, 6), X, ZEROS, PER_CHANNEL), ValueError,
        "`dy` has shape (1, 3, 6, 6) but must have (2, 3, 6, 6), the shape of `x`."),
    Bad("gradient without statistics", F.batch_norm_backward, (X, X, None, PER_CHANNEL), TypeError,
        "`mean` and `invstd` must be arrays, as from batch_norm with return_statistics=True, not None."),
    Bad("gradient of one value", F.batch_norm_backward, (f32(1, 3), f32(1, 3), ZEROS, PER_CHANNEL), ValueError,
        "`x` has one value for each channel (shape (1, 3))", {"training": True}),
    # adaptive pooling
    Bad("rows to pool to a size", F.adaptive_avg_pool2d, (ROWS, 1), ValueError,
        "`x` must have 4 dimensions, (N, C, H, W), but its shape is"),
    Bad("no output", F.adaptive_avg_pool2d, (X, 0), ValueError,
        "`output_size` must be an int or a pair of ints, each at least 1 (in a pair None leaves an axis as it is), "
        "not 0."),
    Bad("None for both axes at once", F.adaptive_avg_pool2d, (X, None), ValueError, "as it is), not None."),
    Bad("no columns of output", F.adaptive_max_pool2d, (X, (2, 0)), ValueError,
        "leaves an axis as it is), not (2, 0)."),
    Bad("an output of three axes", F.adaptive_max_pool2d, (X, (1, 2, 3)), ValueError,
        "leaves an axis as it is), not (1, 2, 3)."),
    Bad("half an output", F.adaptive_avg_pool2d, (X, 0.5), ValueError, "as it is), not 0.5."),
    Bad("index outside of the pooled plane", F.adaptive_max_pool2d_backward,
        (f32(1, 1, 1, 1), np.array([[[[4]]]]), (1, 1, 2, 2)),
        ValueError, "`indices` holds 4, but its values must be from 0 to 3."),
    Bad("gradient of another batch", F.adaptive_avg_pool2d_backward, (f32(1, 3, 2, 2), (2, 3, 6, 6)), ValueError,
        "`x_shape` (2, 3, 6, 6) and `dy` (1, 3, 2, 2) must agree in N and C, their first two extents."),
    Bad("gradient of rows", F.adaptive_avg_pool2d_backward, (ROWS, (2, 10, 1, 1)), ValueError,
        "`dy` must have 4 dimensions"),
    # linear
    Bad("features", F.linear, (ROWS, f32(4, 9)), ValueError,
        "`weight` has 9 input features (shape (4, 9)) but `x` has 10 (shape (2, 10))."),
    Bad("images into a linear layer", F.linear, (X, f32(4, 108)), ValueError,
        "`x` must have 2 dimensions, (N, features), but its shape is (2, 3, 6, 6)."),
    Bad("a bias too short", F.linear, (ROWS, f32(4, 10), f32(3)), ValueError,
        "`bias` has shape (3,) but must have (4,), one value for each row of `weight`."),
    Bad("gradient of another width", F.linear_backward, (f32(2, 5), ROWS, f32(4, 10)), ValueError,
        "`dy` has shape (2, 5) but must have (2, 4), the shape of the output."),
    # activations
    Bad("gradient and output differ", F.relu_backward, (f32(3), f32(4)), ValueError,
        "`y` has shape (4,) but must have (3,), the shape of `dy`."),
    Bad("gradient and output of two dtypes", F.tanh_backward, (f32(3), np.ones(3)), TypeError,
        "`y` is float64 but `dy` is float32"),
    Bad("slope of text", F.leaky_relu, (X, "0.1"), TypeError, "`negative_slope` must be a number, not str."),
    Bad("slope of NaN", F.leaky_relu, (X, np.nan), ValueError, "`negative_slope` is nan but must be"),
    Bad("groups that do not divide", F.group_norm, (X, 5), ValueError,
        "`num_groups` is 5 but must divide the channels"),
    Bad("groups of a number", F.group_norm, (np.ones(3), 1), ValueError,
        "`x` must be (N, C, ...) but its shape is (3,)"),
    Bad("weights of a norm", F.group_norm, (ROWS, 1, np.ones(3, "f4")), ValueError,
        "`weight` has shape (3,) but must have (10,), one value for each channel of `x`."),
    Bad("norm of other axes", F.layer_norm, (ROWS, 5), ValueError,
        "`x` has shape (2, 10), but after the batch axis it must end with (5,), the `normalized_shape`."),
    Bad("norm over the batch", F.layer_norm, (ROWS, (2, 10)), ValueError, "it must end with (2, 10)"),
    Bad("norm over nothing", F.layer_norm_backward, (ROWS, ROWS, ()), ValueError,
        "`normalized_shape` must be an int or a sequence of ints, each at least 1, not ()."),
    Bad("gradient of other rows", F.layer_norm_backward, (f32(2, 9), ROWS, 10), ValueError,
        "`dy` has shape (2, 9) but must have (2, 10), the shape of `x`."),
    Bad("slopes of other channels", F.prelu, (X, np.ones(2, "f4")), ValueError,
        "`weight` has 2 slopes, but there must be one, or one for each channel of `x`, whose shape is (2, 3, 6, 6)."),
    Bad("slopes of float64", F.prelu, (X, np.ones(3)), TypeError, "`weight` is float64 but `x` is float32"),
    Bad("slope that is a number", F.prelu, (X, 0.25), TypeError, "`weight` must be a numpy array, not float."),
    Bad("gradient of other slopes", F.prelu_backward, (f32(2, 3), X, np.ones(3, "f4")), ValueError,
        "`dy` has shape (2, 3) but must have (2, 3, 6, 6), the shape of `x`."),
    Bad("probability above 1", F.dropout, (X, 1.5), ValueError, "`p` is 1.5 but must be at least 0 and at most 1",
        {"rng": RNG}),
    Bad("channels of rows", F.dropout2d, (ROWS,), ValueError, "`x` must have 4 dimensions, (N, C, H, W),",
        {"rng": RNG}),
    Bad("gradient of channels of rows", F.dropout2d_backward, (ROWS, ROWS), ValueError,
        "`dy` must have 4 dimensions, (N, C, H, W),"),
    Bad("sharpness of 0", F.softplus, (X, 0), ValueError, "`beta` is 0 but must be at least"),
    Bad("threshold of text", F.softplus_backward, (X, X, 1, "20"), TypeError, "`threshold` must be a number, not str."),
    Bad("negative probability", F.dropout, (X, -0.1), ValueError, "`p` is -0.1 but must be", {"rng": RNG}),
    Bad("a seed, not a generator", F.dropout, (X,), TypeError, "`rng` must be a numpy.random.Generator, not int.",
        {"rng": 0}),
    # losses
    Bad("unknown formula", F.gelu, (ROWS, "erf"), ValueError,
        "`approximate` is 'erf' but must be one of 'none', 'tanh'."),
    Bad("alpha that is not finite", F.elu, (ROWS, np.inf), ValueError, "`alpha` is inf but must be finite."),
    Bad("alpha that is no number", F.elu_backward, (ROWS, ROWS, "1"), TypeError, "`alpha` must be a number, not str."),
    Bad("gradient and input of two dtypes", F.silu_backward, (f32(3), np.ones(3)), TypeError,
        "`x` is float64 but `dy` is float32; give both the same dtype."),
    Bad("axis out of range", F.softmax, (ROWS, 2), ValueError, "`dim` is 2 but `x` has 2 axes: shape (2, 10)."),
    Bad("axis of a fraction", F.log_softmax, (ROWS, 0.5), ValueError, "`dim` is 0.5 but `x` has 2 axes"),
    Bad("label out of range", F.cross_entropy, (ROWS, np.array([0, 10])), ValueError,
        "`target` holds 10, but its values must be from 0 to 9."),
    Bad("negative label", F.cross_entropy_backward, (ROWS, np.array([-1, 0])), ValueError,
        "`target` holds -1, but its values must be from 0 to 9."),
    Bad("label out of range beside an ignored one", F.cross_entropy, (ROWS, np.array([-100, 10])), ValueError,
        "`target` holds 10, but its values must be from 0 to 9."),
    Bad("nothing but ignored labels", F.cross_entropy, (ROWS, np.array([3, 3]), None, 3), ValueError,
        "The mean of no rows is not a number: every `target` has weight 0 or is `ignore_index`"),
    Bad("nothing but weights of 0", F.cross_entropy_backward, (ROWS, LABELS, 0 * f32(10)), ValueError,
        "The mean of no rows is not a number"),
    Bad("weight of another dtype", F.cross_entropy, (ROWS, LABELS, np.ones(10)), TypeError,
        "`weight` is float64 but `logits` is float32; give both the same dtype."),
    Bad("weights of too few classes", F.cross_entropy, (ROWS, LABELS, f32(9)), ValueError,
        "`weight` has shape (9,) but must have (10,), one value for each class of `logits`."),
    Bad("weight of inf", F.cross_entropy, (ROWS, LABELS, np.inf * f32(10)), ValueError,
        "`weight` holds inf, but weights must be finite and at least 0."),
    Bad("the reduction in the place of the weights", F.cross_entropy, (ROWS, LABELS, "sum"), TypeError,
        "`weight` must be a numpy array, not str."),
    Bad("class to ignore of a fraction", F.cross_entropy, (ROWS, LABELS, None, 0.5), TypeError,
        "`ignore_index` must be a whole number, not 0.5."),
    Bad("too much smoothing", F.cross_entropy, (ROWS, LABELS), ValueError,
        "`label_smoothing` is 1.5 but must be at least 0 and at most 1.", {"label_smoothing": 1.5}),
    Bad("labels of floats, with smoothing", F.cross_entropy, (ROWS, f32(2)), TypeError,
        "`target` must be a numpy array of integers, not float32.", {"label_smoothing": 0.1}),
    Bad("one label too many, with smoothing", F.cross_entropy, (ROWS, np.array([0, 1, 2])), ValueError,
        "`target` has shape (3,) but must have (2,).", {"label_smoothing": 0.1}),
    Bad("labels of floats", F.cross_entropy, (ROWS, f32(2)), TypeError,
        "`target` must be a numpy array of integers, not float32."),
    Bad("labels in a list", F.cross_entropy, (ROWS, [0, 1]), TypeError,
        "`target` must be a numpy array of integers, not list."),
    Bad("one label too many", F.cross_entropy, (ROWS, np.array([0, 1, 2])), ValueError,
        "`target` has shape (3,) but must have (2,)."),
    Bad("labels one-hot", F.cross_entropy, (ROWS, np.eye(2, 10, dtype=int)), ValueError,
        "`target` has shape (2, 10) but must have (2,)."),
    Bad("labels of images for pixels", F.cross_entropy, (X, LABELS), ValueError,
        f"`target` has shape (2,) but must have {(len(X), *X.shape[2:])}."),
    Bad("logits of one image alone", F.cross_entropy, (f32(10), LABELS), ValueError,
        "`logits` must have 2 dimensions, (N, classes), or more but its shape is (10,)."),
    Bad("unknown reduction", F.cross_entropy, (ROWS, LABELS, None, -100, "batchmean"), ValueError,
        "`reduction` is 'batchmean' but must be one of 'none', 'mean', 'sum'."),
    Bad("probabilities of too few classes", F.cross_entropy, (ROWS, f32(2, 9)), ValueError,
        "`target` has shape (2, 9) but must have (2, 10), the shape of `logits`, since it holds probabilities."),
    Bad("probabilities of another dtype", F.cross_entropy_backward, (ROWS, np.ones((2, 10))), TypeError,
        "`target` is float64 but `logits` is float32; give both the same dtype. target.astype(np.float32) converts"),
    Bad("a class to ignore among probabilities", F.cross_entropy, (ROWS, f32(2, 10), None, 3), ValueError,
        "`ignore_index` is 3 but must be below 0 with soft targets: only classes can be ignored."),
    Bad("labels in a list, and what makes them an array", F.nll_loss, (ROWS, [0, 1]), TypeError,
        "`target` must be a numpy array of integers, not list. Make one with np.array(target)."),
    Bad("probabilities for logarithms", F.nll_loss, (ROWS, ROWS), TypeError,
        "`target` must be a numpy array of integers, not float32."),
    Bad("label out of range among pixels", F.nll_loss_backward, (X, np.full((len(X), *X.shape[2:]), 4)), ValueError,
        "`target` holds 4, but its values must be from 0 to 2."),
    Bad("nothing but ignored labels of pixels", F.nll_loss, (X, np.full((len(X), *X.shape[2:]), -100)), ValueError,
        "The mean of no rows is not a number"),
    Bad("no gradient by the losses", F.mse_loss_backward, (ROWS, ROWS, "none"), ValueError,
        '`dy` is None, but `reduction="none"` needs the gradient with respect to the losses, an array of shape '
        "(2, 10)."),
    Bad("a gradient by the mean", F.mse_loss_backward, (ROWS, ROWS), ValueError,
        '`dy` is given, but only losses that are not summed, with `reduction="none"`, take it.', {"dy": ROWS}),
    Bad("a gradient of another shape", F.cross_entropy_backward, (ROWS, LABELS, None, -100, "none"), ValueError,
        "`dy` has shape (2, 10) but must have (2,), the shape of the losses.", {"dy": ROWS}),
    Bad("wide numbers and narrow targets", F.l1_loss, (np.ones(3), f32(3)), TypeError,
        "`target` is float32 but `x` is float64; give both the same dtype. x.astype(np.float32) converts the"),
    Bad("negative beta", F.smooth_l1_loss, (ROWS, ROWS, "mean", -1.0), ValueError,
        "`beta` is -1.0 but must be at least"),
    Bad("delta of 0", F.huber_loss, (ROWS, ROWS, "mean", 0), ValueError, "`delta` is 0 but must be above 0."),
    Bad("delta of NaN", F.huber_loss, (ROWS, ROWS, "mean", np.nan), ValueError,
        "`delta` is nan but must be at least 0"),
    Bad("weights that do not fit", F.binary_cross_entropy_with_logits, (ROWS, ROWS, f32(3)), ValueError,
        "`weight` has shape (3,), which does not broadcast to (2, 10), the shape of `x`."),
    Bad("weights larger than the logits", F.binary_cross_entropy_with_logits, (ROWS, ROWS, f32(3, 2, 10)), ValueError,
        "`weight` has shape (3, 2, 10), which does not broadcast to (2, 10), the shape of `x`."),
    Bad("negative positive weight", F.binary_cross_entropy_with_logits, (ROWS, ROWS), ValueError,
        "`pos_weight` holds -1.0, but weights must be finite and at least 0.", {"pos_weight": -f32(10)}),
    Bad("positive weight of a number", F.binary_cross_entropy_with_logits, (ROWS, ROWS), TypeError,
        "`pos_weight` must be a numpy array, not float.", {"pos_weight": 2.0}),
    Bad("targets of another shape", F.mse_loss, (f32(2, 3), f32(3, 2)), ValueError,
        "`target` has shape (3, 2) but must have (2, 3), the shape of `x`."),
    Bad("targets of another dtype", F.mse_loss_backward, (f32(3), np.ones(3)), TypeError,
        "`target` is float64 but `x` is float32"),
]  # fmt: skip
bad_input = pytest.mark.parametrize("bad", BAD_INPUT, ids=lambda bad: f"{bad.function.__name__}: {bad.reason}")


@bad_input
def test_bad_input_gets_a_sentence_and_arrays_stay(backend, bad):
    arrays = [argument for argument in bad.arguments if isinstance(argument, np.ndarray)]
    before = [array.copy() for array in arrays]
    with pytest.raises(bad.error, match=re.escape(bad.sentence)):
        bad.function(*bad.arguments, **{"backend": backend, **bad.options})
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@bad_input
def test_bad_input_is_found_before_a_backend_is_loaded(bad, monkeypatch):
    if "backend" in bad.options:
        monkeypatch.setattr(backends.importlib, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    else:
        monkeypatch.setattr(backends, "load", lambda name: pytest.fail(f"backend {name} was loaded"))
    with pytest.raises(bad.error):
        bad.function(*bad.arguments, **bad.options)


def test_backends_get_contiguous_arrays_and_no_needless_copies(memory_order):
    assert _validate.floats("x", memory_order(X)).flags.c_contiguous
    assert _validate.indices("target", memory_order(LABELS), (2,), 10).flags.c_contiguous
    assert np.shares_memory(_validate.floats("x", X), X)
    assert np.shares_memory(_validate.indices("target", LABELS, (2,), 10), LABELS)


def test_good_input_of_these_shapes_is_taken(backend):
    """Hence the arrays above fail only for the stated reason."""
    assert F.conv2d(X, W, B, backend=backend).shape == DY.shape
    dx, dweight, dbias = F.conv2d_backward(DY, X, W, backend=backend)
    assert (dx.shape, dweight.shape, dbias.shape) == (X.shape, W.shape, B.shape)
    assert F.linear(ROWS, f32(4, 10), f32(4), backend=backend).shape == (2, 4)
    assert F.cross_entropy(ROWS, LABELS, backend=backend) == pytest.approx(np.log(10))


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["large", "small"])
def test_whole_numbers_beyond_all_floats(value):
    with pytest.raises(ValueError, match=f"`lr` is {value} but must be at least 0 and at most 1"):
        _validate.number("lr", value, 0, 1)
