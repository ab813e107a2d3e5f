"""Models from ONNX files."""

import os

import numpy as np

from fastcnn.interop import onnx_file
from fastcnn.interop.onnx_chains import Reader
from fastcnn.nn import Sequential, init


def from_onnx(path: str | os.PathLike, *, rng: np.random.Generator | None = None) -> Sequential:
    """The model in an ONNX file, as layers that can be trained further: the inverse of `to_onnx`.

    What several operators compute together, as ``x * sigmoid(x)``, becomes the layer that it is. Ways that part and
    meet again become a `Residual` where they are added, a `Concat` where they are joined, and a `Parallel` where they
    begin with an input each. Files of any origin are read, as long as fastcnn has a layer for each operator.

    Parameters
    ----------
    path : path
    rng : numpy.random.Generator, optional
        Draws the masks of `Dropout`; by default a fresh one.

    Returns
    -------
    Sequential
        In evaluation mode: it computes what the file says. ``model.train()`` before it is trained further. It has the
        attribute ``input_shape``. Its arrays are its own.

    Raises
    ------
    ImportError
        If onnx is not installed.
    fastcnn.FileError
        If the file is no ONNX model, or a broken one.
    ValueError
        If it has an operator, or an option of one, for which fastcnn has no layer; the error names the operator. Of a
        file that takes no floats, as one that begins with the preprocessing of pictures.
    OSError
        If it cannot be read.

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
    content = onnx_file.read(path)
    if content.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{path} takes {content.dtype}, but fastcnn's layers float32 or float64; a model that begins with the "
            "preprocessing of pictures can be written without it."
        )
    try:
        return Reader(content, init.generator(rng)).model()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
