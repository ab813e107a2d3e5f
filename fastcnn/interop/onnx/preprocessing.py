"""Write the preprocessing of images as ONNX operators."""

from collections.abc import Sequence

import numpy as np

from fastcnn import _validate
from fastcnn.data import Preprocessing
from fastcnn.interop.onnx.graph import Graph, Layer


def square_shape(preprocessing: Preprocessing, shape) -> tuple[int, int, int]:
    """Return the shape of preprocessed images; raise an error if images of ``shape`` would have to be shrunk."""
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
            f"`input_shape` is {tuple(shape)}, but images must be at most {size}x{size}: ONNX cannot shrink them as "
            "`preprocessing` does."
        )
    return C, size, size


def write_preprocessing(preprocessing: Preprocessing, graph: Graph, shape, x: str) -> str:
    """Pad uint8 images like `fastcnn.data.preprocessing.fit_square` and standardize them; return the output's name."""
    (C, H, W), size, at = shape, preprocessing.size, Layer(graph, "preprocessing", tuple(shape))
    if (size, size) != (H, W):
        top, left = (size - H) // 2, (size - W) // 2
        x = at.node("Pad", x, at.whole("pads", (0, 0, top, left, 0, 0, size - H - top, size - W - left)))
    x = at.node("Cast", x, to=graph.dtype)
    mean, std = (255 * np.reshape(values, (C, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
    return at.node("Div", at.node("Sub", x, at.floats("mean", mean)), at.floats("std", std))
