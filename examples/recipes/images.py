"""Preprocessing of MNIST for each recipe; statistics are always those of the training images."""

import numpy as np

from fastcnn import data


def centred(train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """Compute ``x / 255`` minus the mean of the training images."""
    mean, _ = data.mean_and_std(train)
    return [data.standardize(images, mean, 1.0) for images in (train, test)]


def halved(train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """Compute ``x / 255 - 0.5``."""
    return [data.standardize(images, 0.5, 1.0) for images in (train, test)]


def standardized(train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """Standardize to mean 0 and standard deviation 1 of the training images."""
    return [data.standardize(images, *data.mean_and_std(train)) for images in (train, test)]


def resized(train: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """Enlarge to 32x32, then compute ``x / 255 - 0.5``."""
    return halved(resize(train, 32), resize(test, 32))


PREPARE = {function.__name__: function for function in (centred, halved, standardized, resized)}


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Enlarge square uint8 images (N, C, H, H) to (N, C, size, size) by bilinear interpolation.

    Both axes are multiplied by the same matrix. The new pixel o lies at position ``(o + 1/2) * H / size - 1/2`` of the
    old pixels, clipped to the outermost ones; the weight of each of its two neighbours is 1 minus the distance.
    """
    H = images.shape[-1]
    places = np.clip((np.arange(size) + 0.5) * H / size - 0.5, 0, H - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(H))).astype(np.float32)  # (size, H)
    out = np.empty((*images.shape[:2], size, size), np.uint8)
    for n in range(0, len(images), 1000):  # all at once would take gigabytes
        out[n : n + 1000] = np.rint(weights @ images[n : n + 1000].astype(np.float32) @ weights.T)
    return out
