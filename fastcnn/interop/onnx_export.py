"""Models as ONNX files."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcnn import _files
from fastcnn.data import Preprocessing
from fastcnn.interop import onnx_file, onnx_preprocessing
from fastcnn.interop.onnx_model import Writer
from fastcnn.nn import Module
from fastcnn.nn.summaries import InputShape


def to_onnx(
    model: Module,
    path: str | os.PathLike,
    input_shape: InputShape | None = None,
    *,
    fold_batch_norm: bool = True,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write what ``model`` does in evaluation mode to an ONNX file, for batches of any size.

    The graph takes "input" and gives "output", both (N, ...) with N free; of a model with several inputs it takes
    "input0", "input1" and so on. Its weights have the names of ``state_dict``.
    ``onnx.checker`` has checked it, shapes and all, before it is written. The file is whole or not there.

    Parameters
    ----------
    model : Module
        Of fastcnn's own layers. It stays as it is, in training mode too.
    path : path
        A file that is there is replaced.
    input_shape : sequence of int, optional
        Of one image, (C, H, W), or (C, L), or (features,); by default the model's own ``input_shape``. Of a model with
        several inputs, the shape of each.
    fold_batch_norm : bool, default True
        Whether batch normalization behind a convolution or a linear layer goes into its weights: there is less to
        compute, and it rounds differently. Else, and elsewhere, it stays a layer.
    preprocessing : fastcnn.data.Preprocessing, optional
        What the graph begins with, if given: it then takes uint8 images of `input_shape`, pads them to the
        preprocessing's square and standardizes them. The model must have one input.
    metadata : mapping of str to str, optional
        Texts for the file's ``metadata_props``.

    Raises
    ------
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If a layer is none of fastcnn's own, `input_shape` does not fit, or its images are larger than the
        preprocessing's square: ONNX does not shrink them as it does.

    Notes
    -----
    Opset 17. Poolings that ONNX has not (windows of several sizes, ceil_mode, divisors) are written with other
    operators that do the same but for rounding. Of infinities and NaN ONNX promises nothing. A float64 model stays one,
    which ONNX Runtime's convolution does not take.

    References
    ----------
    https://onnx.ai/onnx/operators

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import onnx
    >>> from fastcnn import interop, models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_onnx(models.LeNet5(), pathlib.Path(folder, "lenet5.onnx"))
    ...     graph = onnx.load(pathlib.Path(folder, "lenet5.onnx")).graph
    >>> print(*(node.op_type for node in graph.node))
    Conv Relu MaxPool Conv Relu MaxPool Conv Relu Flatten Gemm Relu Gemm
    """
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
    metadata = dict(metadata or {})
    if wrong := [item for item in metadata.items() if not all(isinstance(text, str) for text in item)]:
        raise TypeError(f"`metadata` must have texts for names and values, not {wrong[0]!r}.")
    shape: Any = getattr(model, "input_shape", None) if input_shape is None else input_shape
    takes, dtype = shape, None
    if preprocessing is not None:
        takes, dtype = onnx_preprocessing.square(preprocessing, shape), np.dtype(np.uint8)
    writer = Writer(model, takes, fold_batch_norm=fold_batch_norm)
    names = onnx_file.input_names(len(writer.input_shapes))
    shapes = writer.input_shapes
    if preprocessing is not None:
        names = (onnx_preprocessing.write(preprocessing, writer.graph, shape, *names),)
        shapes = (tuple(shape),)
    writer.graph.finish(writer.write(*names), onnx_file.OUTPUT)
    proto = onnx_file.proto(
        writer.graph,
        type(model).__name__,
        [(dtype or writer.graph.dtype, shape) for shape in shapes],
        (writer.graph.dtype, writer.output_shape),
        metadata,
    )
    _files.write(path, proto.SerializeToString())
