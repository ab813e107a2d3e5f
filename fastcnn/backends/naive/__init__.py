"""The definition: each operation as the plainest loops that say what it is.

Every sum and product is taken in float64, whatever the dtype of the arrays, and rounded to that dtype once, at the end:
so that these numbers judge those of the other backends. The layout of a batch is NCHW itself. Slow on purpose; no line
here is clever and none is shared with another backend.
"""

from fastcnn.backends import assemble

assemble(__name__)
