"""Fully connected layers: the convolution's kernels on an image of one row; see `conv`."""

from fastcnn.backends.numba_direct.conv import linear, linear_backward

__all__ = ["linear", "linear_backward"]
