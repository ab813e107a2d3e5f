"""Convert models from and to PyTorch."""

from fastcnn.interop.pytorch.reading import FIXED, from_torch, layers
from fastcnn.interop.pytorch.writing import to_torch

__all__ = ["FIXED", "from_torch", "layers", "to_torch"]
