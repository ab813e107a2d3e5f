"""Synthetic images with a class for each pixel."""

import numpy as np

from fastcnn import _validate

CLASSES = "background", "disc", "square", "triangle"
"""Names of the pixel labels of `shapes`."""

_MOST = 3  # shapes in an image


def shapes(n: int, size: int = 64, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw discs, squares and triangles on noisy backgrounds, with a label for each pixel.

    An image has one to three shapes with random positions and angles and a radius from an eighth to a quarter of the
    image; later ones cover earlier ones. The background gets lighter or darker towards one side. Each shape is lighter
    or darker than its surroundings, so that the grey level alone does not give the label.

    Parameters
    ----------
    n : int
        Number of images.
    size : int, default 64
        Height and width of the images in pixels, at least 16.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    images : ndarray of shape (n, 1, size, size), uint8
    labels : ndarray of shape (n, size, size), int64
        0 is background, 1 a disc, 2 a square, 3 a triangle.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import shapes
    >>> images, labels = shapes(100, 32, rng=np.random.default_rng(0))
    >>> images.shape, labels.shape, np.unique(labels)
    ((100, 1, 32, 32), (100, 32, 32), array([0, 1, 2, 3]))
    """
    n, size = _validate.count("n", n), _validate.count("size", size, 16)
    rng = _validate.generator("rng", rng)
    y, x = (np.mgrid[:size, :size] + 0.5) / size  # centres of the pixels, from 0 to 1
    levels, labels = np.empty((n, size, size)), np.zeros((n, size, size), np.int64)
    for level, label in zip(levels, labels, strict=True):
        slope = rng.uniform(-80, 80, 2)
        level[...] = rng.uniform(80, 175) + slope[0] * (y - 0.5) + slope[1] * (x - 0.5)
        for _ in range(rng.integers(1, _MOST + 1)):
            kind = int(rng.integers(1, len(CLASSES)))
            inside = _inside(kind, y, x, rng)
            label[inside] = kind
            level[inside] += rng.choice([-1, 1]) * rng.uniform(25, 70)
    levels += rng.normal(0, 15, levels.shape)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)[:, None], labels


def _inside(kind: int, y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels of one shape at a random position and angle."""
    centre, radius, angle = rng.uniform(0.1, 0.9, 2), rng.uniform(1 / 8, 1 / 4), rng.uniform(0, 2 * np.pi)
    y, x = y - centre[0], x - centre[1]
    if CLASSES[kind] == "disc":
        return np.hypot(y, x) <= radius
    corners = {"square": 4, "triangle": 3}[CLASSES[kind]]
    sides = angle + 2 * np.pi * np.arange(corners) / corners  # directions of the sides from the centre
    away = np.max([np.cos(side) * x + np.sin(side) * y for side in sides], axis=0)
    return away <= radius * np.cos(np.pi / corners)  # puts the corners on the circle
