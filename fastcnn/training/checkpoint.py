"""Weights on disk, as safetensors: names, shapes and dtypes with the numbers, and nothing that executes."""

import os
from pathlib import Path

import safetensors
from safetensors.numpy import load, save

from fastcnn.nn import Module


def save_weights(model: Module, path: str | os.PathLike) -> None:
    """Write the parameters and buffers of ``model`` to a safetensors file, under PyTorch's names.

    The file is complete or it is not there: it is written beside its place, flushed to the disk, then renamed.

    Parameters
    ----------
    model : Module
    path : path
        A file that is there is replaced.

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
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(save(model.state_dict()))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_weights(model: Module, path: str | os.PathLike) -> None:
    """Set the parameters and buffers of ``model`` from a safetensors file.

    Parameters
    ----------
    model : Module
    path : path
        As from `save_weights`, or from PyTorch with safetensors.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a complete safetensors file, or its arrays do not fit the model (see `Module.load_state_dict`).
        Nothing has changed.
    """
    try:
        state = load(Path(path).read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}.") from None
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
