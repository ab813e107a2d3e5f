"""The definition of each operation, as plain loops.

All arithmetic is in float64, whatever the dtype of the arrays. Results are rounded to that dtype once, at the end, so
that tests can compare the other backends with them. Batches stay in NCHW layout. The code is deliberately slow and
simple, and it shares nothing with the other backends.
"""

from fastcnn.backends import assemble

assemble(__name__)
