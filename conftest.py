"""Import these packages before pytest imports a file of them for its doctests.

Otherwise pytest would put the modules of files such as `fastcnn/data/mnist.py` in the place of the functions of the
same names.
"""

import fastcnn.data
import fastcnn.functional
import fastcnn.training  # noqa: F401
