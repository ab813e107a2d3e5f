"""Convert models from and to ONNX."""

from fastcnn.interop.onnx.reading import from_onnx
from fastcnn.interop.onnx.writing import to_onnx

__all__ = ["from_onnx", "to_onnx"]
