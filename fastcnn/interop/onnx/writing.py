"""Write models as ONNX files."""

import os
from collections.abc import Mapping

import numpy as np

from fastcnn import _files
from fastcnn.data import Preprocessing
from fastcnn.interop.arguments import checked_metadata, checked_model, square_shape
from fastcnn.interop.onnx import file
from fastcnn.interop.onnx.model import Writer
from fastcnn.interop.onnx.preprocessing import write_preprocessing
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
    """Write a model as an ONNX file that computes what it computes in evaluation mode, for batches of any size.

    The graph has the input "input" and the output "output", both of shape (N, ...) with any N. The inputs of a model
    with several inputs are "input0", "input1" and so on. The weights have their names in ``state_dict``. The graph is
    checked by ``onnx.checker``, including shapes, before it is written. A failure leaves no partial file.

    Parameters
    ----------
    model : Module
        A model of fastcnn's own layers. It is not changed, and may be in training mode.
    path : path
        The file to write; an existing one is replaced.
    input_shape : sequence of int, optional
        Shape of one image (C, H, W), one signal (C, L) or one row (features,); by default the ``input_shape`` of the
        model. For a model with several inputs, a sequence with the shape of each.
    fold_batch_norm : bool, default True
        Whether a batch normalization right after a convolution or a linear layer is folded into its weights. This
        saves computation but rounds differently. Other batch normalizations always remain operators.
    preprocessing : fastcnn.data.Preprocessing, optional
        Preprocessing to put before the model. The graph then takes uint8 images of `input_shape`, pads them to the
        square of the preprocessing and standardizes them. The model must have one input.
    metadata : mapping of str to str, optional
        Entries for the ``metadata_props`` of the file.

    Raises
    ------
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If a layer is not one of fastcnn's own, `input_shape` does not fit the model, or images are larger than the
        square of `preprocessing`, which ONNX cannot shrink in the same way.

    Notes
    -----
    The file uses opset 17. Poolings that ONNX lacks (windows of several sizes, ``ceil_mode``, divisors) are written
    with other operators, which differ by rounding only. ONNX does not specify results for infinities and NaN. A float64
    model stays float64; ONNX Runtime has no float64 convolution.

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
    shape, metadata = checked_model(model, input_shape), checked_metadata(metadata)
    takes, dtype = shape, None
    if preprocessing is not None:
        takes, dtype = square_shape(preprocessing, shape, "ONNX"), np.dtype(np.uint8)
    writer = Writer(model, takes, fold_batch_norm=fold_batch_norm)
    names = file.input_names(len(writer.input_shapes))
    shapes = writer.input_shapes
    if preprocessing is not None:
        names = (write_preprocessing(preprocessing, writer.graph, shape, *names),)
        shapes = (tuple(shape),)
    writer.graph.finish(writer.write(*names), file.OUTPUT)
    proto = file.proto(
        writer.graph,
        type(model).__name__,
        [(dtype or writer.graph.dtype, shape) for shape in shapes],
        (writer.graph.dtype, writer.output_shape),
        metadata,
    )
    _files.write(path, proto.SerializeToString())
