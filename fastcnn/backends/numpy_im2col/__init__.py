"""Convolution as a matrix product: patches as read-only views (im2col), BLAS, and slices added back (col2im).

Batches stay in NCHW layout. An inf or NaN in the input may give NaN in the output, so NumPy's "invalid value" warning
is off. Most operations still warn when finite values overflow.
"""

from fastcnn.backends import POSTPONING, assemble

assemble(__name__, POSTPONING)
