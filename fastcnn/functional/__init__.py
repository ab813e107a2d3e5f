"""Operations on plain NumPy arrays: checked here once, computed by the backend of your choice.

Images are (N, C, H, W), signals (N, C, L), float32 or float64. Every operation has a gradient function, named
``<operation>_backward``: given ``dy``, the gradient of a loss with respect to the operation's output, it returns the
gradients with respect to the inputs. No function changes its arguments, except that `batch_norm` updates its running
statistics. ``backend=`` names the backend of one call; see `fastcnn.get_backend` for the default.
"""

from typing import TYPE_CHECKING

from fastcnn import _absent
from fastcnn.functional.activations import *
from fastcnn.functional.adaptive_pooling import *
from fastcnn.functional.class_losses import *
from fastcnn.functional.conv import *
from fastcnn.functional.conv_transpose import *
from fastcnn.functional.dropout import *
from fastcnn.functional.element_losses import *
from fastcnn.functional.group_norm import *
from fastcnn.functional.interpolation import *
from fastcnn.functional.linear import *
from fastcnn.functional.normalization import *
from fastcnn.functional.padding import *
from fastcnn.functional.pooling import *
from fastcnn.functional.prelu import *
from fastcnn.functional.softmax import *

# The public names are the operations, which have a gradient function, and these functions.
__all__ = sorted(name for name in globals() if f"{name.removesuffix('_backward')}_backward" in globals())


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # with __getattr__, type checkers would accept any name
    __getattr__ = _absent.say(__name__)
