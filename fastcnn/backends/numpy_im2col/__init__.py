"""Convolution as a matrix product: patches as read-only views (im2col), BLAS, and slices added back (col2im).

The layout of a batch is NCHW itself. Where an inf or a NaN comes in, a NaN may go out; NumPy's "invalid value" warning
is switched off for that alone. An overflow of finite numbers still warns.
"""

from fastcnn.backends import assemble

assemble(__name__)
