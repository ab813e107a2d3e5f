"""Augmentation: random changes of the training images, different each time an image is used.

An augmentation is a callable ``augment(images, rng)``. It takes a batch, float32, float64 or uint8 of shape
(N, C, H, W), and a numpy.random.Generator, and returns a new batch of the same dtype. Each image gets its own random
change, the result depends only on the images and the generator's state, and the images are not modified. Pass one to a
`DataLoader` as ``augment``.

Pixels outside of an image have the value ``fill``: a number, or one for each channel, on the images' own scale. Black
is 0 in uint8 images and ``(0 - mean) / std`` in standardized ones.
"""

from .affine import Rotation, Scale
from .base import Compose
from .elastic import Elastic
from .whole_pixels import Cutout, HorizontalFlip, PadAndCrop, Shift

__all__ = ["Compose", "Cutout", "Elastic", "HorizontalFlip", "PadAndCrop", "Rotation", "Scale", "Shift"]
