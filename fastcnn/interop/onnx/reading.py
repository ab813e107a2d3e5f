"""Read models from ONNX files."""

import os

import numpy as np

from fastcnn.interop.onnx import file
from fastcnn.interop.onnx.chains import Reader
from fastcnn.nn import Sequential, init


def from_onnx(path: str | os.PathLike, *, rng: np.random.Generator | None = None) -> Sequential:
    """Read an ONNX file as a model of layers that can be trained further: the inverse of `to_onnx`.

    Several operators that together are one layer, such as ``x * sigmoid(x)``, become this layer. Branches become a
    `Residual` if they are added, a `Concat` if they are concatenated, and a `Parallel` if each has its own input. Files
    of any origin can be read if fastcnn has a layer for each operator.

    Parameters
    ----------
    path : path
    rng : numpy.random.Generator, optional
        Generator for the masks of `Dropout`; by default a new one.

    Returns
    -------
    Sequential
        The model in evaluation mode, in which it computes what the file computes. Call ``model.train()`` before
        training it further. Its attribute ``input_shape`` is the shape of one input.

    Raises
    ------
    ImportError
        If onnx is not installed.
    fastcnn.FileError
        If the file is not an ONNX model, or is broken.
    ValueError
        If fastcnn has no layer for an operator or for its attributes; the error names the operator. Also if the input
        is not float32 or float64, as in a file that starts with the preprocessing of pictures.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from fastcnn import interop, models
    >>> model = models.LeNet5(rng=np.random.default_rng(0)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     interop.to_onnx(model, pathlib.Path(folder, "lenet5.onnx"))
    ...     other = interop.from_onnx(pathlib.Path(folder, "lenet5.onnx"))
    >>> x = np.ones((2, 1, 32, 32), np.float32)
    >>> np.array_equal(other(x), model(x))
    True
    """
    content = file.read(path)
    if content.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{path} takes {content.dtype}, but fastcnn's layers take float32 or float64. If it starts with the "
            "preprocessing of pictures, export it without."
        )
    try:
        return Reader(content, init.generator(rng)).model()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
