"""Check the arguments that the writers of files share."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastcnn import _validate
from fastcnn.data import Preprocessing
from fastcnn.nn import Module


def checked_model(model: Any, input_shape: Any) -> Any:
    """Return the shape of the model's inputs, by default its own; raise an error if `model` is none."""
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
    return getattr(model, "input_shape", None) if input_shape is None else input_shape


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata as a dictionary; raise an error if they are not strings."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"`metadata` must be a mapping of strings to strings, not {type(metadata).__name__}.")
    metadata = dict(metadata or {})
    if wrong := [item for item in metadata.items() if not all(isinstance(text, str) for text in item)]:
        raise TypeError(f"`metadata` must have strings as names and values, not {wrong[0]!r}.")
    return metadata


def square_shape(preprocessing: Preprocessing, shape, form: str) -> tuple[int, int, int]:
    """Return the shape of preprocessed images; raise an error if images of ``shape`` would have to be shrunk.

    ``form`` is the name of the file's format, for the error.
    """
    if not isinstance(preprocessing, Preprocessing):
        what = type(preprocessing).__name__
        raise TypeError(f"`preprocessing` must be a fastcnn.data.Preprocessing, not {what}.")
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise ValueError(f"`input_shape` must be (C, H, W), the shape of images, with `preprocessing`, not {shape!r}.")
    C, H, W = (_validate.count(f"input_shape[{i}]", extent) for i, extent in enumerate(shape))
    size = preprocessing.size
    if len(preprocessing.mean) != C:
        raise ValueError(f"`input_shape` has {C} channels, but `preprocessing` has {len(preprocessing.mean)} means.")
    if max(H, W) > size:
        raise ValueError(
            f"`input_shape` is {tuple(shape)}, but images must be at most {size}x{size}: {form} cannot shrink them "
            "as `preprocessing` does."
        )
    return C, size, size
