"""What every model takes: classes, channels and pixels along each side of an image."""

from fastcnn import _validate


def checked_sizes(num_classes: int, in_channels: int, image_size: int, least: int = 1) -> tuple[int, int, int]:
    """The three, each a whole number; ``least`` is that of the image's size."""
    return (
        _validate.count("num_classes", num_classes),
        _validate.count("in_channels", in_channels),
        _validate.count("image_size", image_size, least),
    )
