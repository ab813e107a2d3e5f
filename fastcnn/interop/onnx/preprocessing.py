"""Write the preprocessing of images as ONNX operators."""

import numpy as np

from fastcnn.data import Preprocessing
from fastcnn.interop.onnx.graph import Graph, Layer


def write_preprocessing(preprocessing: Preprocessing, graph: Graph, shape, x: str) -> str:
    """Pad uint8 images like `fastcnn.data.preprocessing.fit_square` and standardize them; return the output's name."""
    (C, H, W), size, at = shape, preprocessing.size, Layer(graph, "preprocessing", tuple(shape))
    if (size, size) != (H, W):
        top, left = (size - H) // 2, (size - W) // 2
        x = at.node("Pad", x, at.whole("pads", (0, 0, top, left, 0, 0, size - H - top, size - W - left)))
    x = at.node("Cast", x, to=graph.dtype)
    mean, std = (255 * np.reshape(values, (C, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
    return at.node("Div", at.node("Sub", x, at.floats("mean", mean)), at.floats("std", std))
