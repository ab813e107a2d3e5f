"""Augmentation: every training image a little different each time it is seen.

Each is a callable ``augment(images, rng)`` that takes a batch, float32, float64 or uint8 of shape (N, C, H, W), and a
numpy.random.Generator, and returns a new batch of the same dtype. It draws for each image by itself, is a function of
the images and the generator's state, and leaves the images as they were. A `DataLoader` takes one as ``augment``.

What lies outside of an image is ``fill``: a number, or one for each channel, on the images' own scale. Black is 0 in
uint8 images and ``(0 - mean) / std`` in standardized ones.
"""

from .affine import Rotation, Scale
from .base import Compose
from .elastic import Elastic
from .whole_pixels import Cutout, HorizontalFlip, PadAndCrop, Shift

__all__ = ["Compose", "Cutout", "Elastic", "HorizontalFlip", "PadAndCrop", "Rotation", "Scale", "Shift"]
