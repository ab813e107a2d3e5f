"""Checks of the options that all models of images take."""

from fastcnn import _validate


def checked_sizes(num_classes: int, in_channels: int, image_size: int, least: int = 1) -> tuple[int, int, int]:
    """The three sizes as checked ints; ``least`` is the smallest image size."""
    return (
        _validate.count("num_classes", num_classes),
        _validate.count("in_channels", in_channels),
        _validate.count("image_size", image_size, least),
    )
