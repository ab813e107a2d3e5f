"""Convert models to and from PyTorch and ONNX, and write them as C.

To exchange weights only, use safetensors files: `fastcnn.training.save_weights` and `load_weights` use PyTorch's names,
dtypes and shapes. The same net in PyTorch loads such a file by name, bit for bit, and fastcnn loads a ``state_dict()``
that ``safetensors.torch.save_file`` wrote.
"""

from fastcnn.interop.c import to_c
from fastcnn.interop.onnx import from_onnx, to_onnx
from fastcnn.interop.pytorch import from_torch, to_torch

__all__ = ["from_onnx", "from_torch", "to_c", "to_onnx", "to_torch"]
