"""Saving and loading weights as safetensors."""

import os

from fastcnn import _files
from fastcnn._errors import FileError
from fastcnn.nn import Module


def save_weights(model: Module, path: str | os.PathLike) -> None:
    """Write the parameters and buffers of ``model`` to a safetensors file, under PyTorch's names.

    The write is atomic: a temporary file beside it is written, flushed to disk and then renamed.

    Parameters
    ----------
    model : Module
    path : path
        An existing file is replaced.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastcnn import nn, training
    >>> layer, twin = nn.Linear(3, 2), nn.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     training.save_weights(layer, pathlib.Path(folder, "layer.safetensors"))
    ...     training.load_weights(twin, pathlib.Path(folder, "layer.safetensors"))
    >>> bool((layer.weight.data == twin.weight.data).all())
    True
    """
    _files.write_arrays(path, model.state_dict(), {})


def load_weights(model: Module, path: str | os.PathLike) -> None:
    """Set the parameters and buffers of ``model`` from a safetensors file.

    Parameters
    ----------
    model : Module
    path : path
        A file from `save_weights`, or from PyTorch with safetensors.

    Raises
    ------
    OSError
        If the file cannot be read.
    FileError
        If it is not a complete safetensors file, or its arrays do not fit the model (see `Module.load_state_dict`).
        The model is unchanged then.
    """
    state, _ = _files.read_arrays(path)
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None
