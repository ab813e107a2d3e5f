"""Write models as C programs."""

from fastcnn.interop.c.source import Sizes
from fastcnn.interop.c.writing import to_c

__all__ = ["Sizes", "to_c"]
