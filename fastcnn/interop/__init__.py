"""Models that travel: to and from PyTorch, and ONNX.

Weights travel as safetensors, both ways: `fastcnn.training.save_weights` and `load_weights` use PyTorch's names, dtypes
and shapes, so that the same net in PyTorch loads them by name, bit for bit, and fastcnn loads what
``safetensors.torch.save_file`` wrote of its ``state_dict()``.
"""

from fastcnn.interop.onnx_export import to_onnx
from fastcnn.interop.onnx_import import from_onnx
from fastcnn.interop.pytorch import from_torch, to_torch

__all__ = ["from_onnx", "from_torch", "to_onnx", "to_torch"]
