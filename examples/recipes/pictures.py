"""Figures that the course report shows of its CNN: feature maps of a 0, 3, 6 and 9, filters, and predictions."""

from pathlib import Path

import numpy as np

from fastcnn import nn, plotting, training

DIGITS = (0, 3, 6, 9)


def draw(model: nn.Sequential, images: np.ndarray, labels: np.ndarray, out: Path) -> dict:
    """Write the figures; return their file names, and the predicted probabilities of the four digits.

    Each digit is the first one of its class among the test images.
    """
    convolutions = [i for i, layer in enumerate(model) if isinstance(layer, nn.Conv2d)]
    chosen = [int(np.argmax(labels == digit)) for digit in DIGITS]
    files = {}
    for digit, n in zip(DIGITS, chosen, strict=True):
        for number, i in enumerate(convolutions, 1):
            figure = plotting.plot_feature_maps(model, images[n], i + 1)  # after the ReLU
            files[f"{digit}, convolution {number}"] = _save(figure, out / f"maps-{digit}-conv{number}.png")
    for number, i in enumerate(convolutions, 1):
        figure = plotting.plot_filters(model[i])
        files[f"filters of convolution {number}"] = _save(figure, out / f"filters-conv{number}.png")
    probabilities = training.evaluate(model, images[chosen], labels[chosen]).probabilities
    return {"files": files, "digits": list(DIGITS), "probabilities": probabilities.tolist()}


def _save(figure, path: Path) -> str:
    figure.savefig(path)
    return path.name
