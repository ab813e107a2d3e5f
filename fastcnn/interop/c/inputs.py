"""How a net in integers takes its images: as floats, or as pixels, with the preprocessing in the first layer."""

import copy
from typing import Any, NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn.interop.c.layers import bias_of, conv_windows
from fastcnn.interop.c.steps import Array, Step
from fastcnn.nn import Parameter


class Floats:
    """Take float images as they are."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the images."""
        return images


class Pixels(NamedTuple):
    """Put images into a black square, and the square into a border.

    The border replaces the padding of the first convolution. That is zero after standardizing, so its pixels have the
    mean level of their channel, rounded.

    Attributes
    ----------
    side : int
        Height and width of the square.
    top, bottom, left, right : int
        Pixels of the border.
    border : tuple of int
        Its level in each channel.
    """

    side: int
    top: int
    bottom: int
    left: int
    right: int
    border: tuple[int, ...]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return levels (N, C, rows, columns) for images (N, C, H, W) that are not larger than the square."""
        N, C, H, W = images.shape
        y = np.empty((N, C, self.top + self.side + self.bottom, self.left + self.side + self.right), images.dtype)
        y[...] = np.reshape(self.border, (-1, 1, 1))
        square = y[:, :, self.top : self.top + self.side, self.left : self.left + self.side]
        down, right = (self.side - H) // 2, (self.side - W) // 2
        square[...] = 0
        square[:, :, down : down + H, right : right + W] = images
        return y


def on_floats(steps: list[Step], image: Array, output: Array) -> tuple[list[Step], Array]:
    """Return steps that begin with `Floats`, and their output; the image in integers is an array of its own."""
    taken = image._replace(number=1 + max([output.number, *(step.y.number for step in steps)]))

    def moved(array: Array) -> Array:
        return array if array.number else array._replace(number=taken.number)

    start = Step("input", Floats, Floats(), (image,), taken)
    return [start, *(step._replace(x=tuple(map(moved, step.x))) for step in steps)], moved(output)


def on_pixels(steps: list[Step]) -> list[Step]:
    """Return steps that begin with `Pixels` instead of a `Preprocessing`, or without it if nothing surrounds the image.

    Raises
    ------
    ValueError
        If the first layer is neither a convolution nor a linear layer, if others take the pixels, too, if the pixels
        are given another shape before a convolution, or if there is no level for its padding.
    """
    (start, *rest) = steps
    first = _first(start, rest)
    prepare, (C, side, _) = start.layer, start.y.shape
    mean, std = 255 * np.array(prepare.mean), 255 * np.array(prepare.std)
    top = bottom = left = right = 0
    layer = copy.copy(first.layer)
    if first.kind is nn.Conv2d:
        w = conv_windows(first)
        top, left, layer.padding = w.top, w.left, 0
        bottom = max((w.OH - 1) * w.SH + (w.KH - 1) * w.DH + 1 - side - top, 0)
        right = max((w.OW - 1) * w.SW + (w.KW - 1) * w.DW + 1 - side - left, 0)
        if max(top, bottom, left, right) and (mean != np.clip(mean, 0, 255)).any():
            raise ValueError(
                f"{first.name or '`model`'}: {first.layer} cannot be written in int8 with padding, which is zero after "
                f"`preprocessing` and so has the mean level before it: {prepare.mean} is not within 0 and 1."
            )
    layer.weight, layer.bias = map(Parameter, _folded(layer, mean, std))
    pixels = Pixels(side, top, bottom, left, right, tuple(np.rint(np.clip(mean, 0, 255)).astype(int).tolist()))
    taken = start.y._replace(shape=(C, top + side + bottom, left + side + right))
    takes = [start._replace(kind=Pixels, layer=pixels, y=taken)]
    if taken.shape == start.x[0].shape:
        takes, taken = [], start.x[0]
    shape = taken.shape if first.kind is nn.Conv2d else first.x[0].shape
    return [*takes, first._replace(layer=layer, x=(taken._replace(shape=shape),)), *rest[1:]]


def _first(start: Step, rest: list[Step]) -> Step:
    """Return the layer that takes the pixels; raise an error if it cannot take them without the preprocessing."""
    first = rest[0] if rest else start._replace(name="")
    readers = [step for step in rest if start.y.number in (array.number for array in step.x)]
    if not rest:
        what = "there is none"
    elif first.kind not in (nn.Conv2d, nn.Linear):
        what = f"{first.kind.__name__} does"
    elif len(readers) > 1:
        what = f"{readers[1].name} does, too"
    elif first.kind is nn.Conv2d and first.x[0] != start.y:
        what = f"here it takes them in the shape {first.x[0].shape} instead of {start.y.shape}"
    else:
        return first
    raise ValueError(
        f"{first.name or '`model`'}: in int8 with `preprocessing`, one convolution or linear layer must take the "
        f"pixels, but {what}."
    )


def _folded(layer: Any, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias for pixels ``p`` of those for ``(p - mean) / std``."""
    weight, groups = layer.weight.data.astype(np.float64), getattr(layer, "groups", 1)
    O, depth = len(weight), len(mean) // groups
    channels = np.arange(O)[:, None] // (O // groups) * depth + np.arange(depth)  # (O, depth), of each filter
    taps = weight.reshape(O, depth, -1) / std[channels][..., None]
    bias = bias_of(layer) - (taps * mean[channels][..., None]).sum((1, 2))
    return taps.reshape(weight.shape).astype(np.float32), bias.astype(np.float32)
