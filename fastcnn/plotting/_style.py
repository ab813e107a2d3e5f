"""Colours and drawing functions that all figures share."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import _validate
from fastcnn._text import unicode_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure

# M. Okabe and K. Ito's colour-blind safe palette, without black, and without yellow, which is faint on white
BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GREY, LIGHT, DARK = "#BCC6CE", "#E6E6E6", "#444444"
AS_WRITTEN: dict[str, Any] = {"parse_math": False, "usetex": False}  # for names: "$" does not start mathematics


def figure(width: float, height: float) -> "Figure":
    """Make a figure; its size is in inches."""
    from fastcnn.plotting._figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def file_types() -> tuple[str, ...]:
    """Return the suffixes of the file formats that matplotlib can write."""
    from matplotlib.backend_bases import FigureCanvasBase

    return tuple(FigureCanvasBase.get_supported_filetypes())


def curves(axes, title: str, x_label: str, pad: float | None = None) -> None:
    """Set title, label and a plain frame for curves; ``pad`` is the space below the title, in points."""
    axes.set_title(title, loc="left", fontweight="bold", pad=pad)
    axes.set_xlabel(x_label)
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)


def logarithmic(axes, bottom: float | None = None) -> None:
    """Make the y axis logarithmic with plain numbers, if there are positive values; call it after plotting."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    if not any((np.asarray(line.get_ydata()) > 0).any() for line in axes.get_lines()):
        return
    axes.set_yscale("log")
    axes.set_ylim(bottom=bottom)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MaxNLocator(6) if high < 10 * low else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def canvas(width: float, height: float, inches: float, title: str, least: float = 0):
    """Make a figure and axes for `tile`, `curve` and ``axes.text``: units of ``inches`` inches, y pointing down."""
    width = max(width, least / inches)
    whole = figure(inches * width + 0.1, inches * height + 0.4)
    axes = whole.subplots()
    axes.set_title(title, loc="left", fontweight="bold", **AS_WRITTEN)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", autoscale_on=False)
    axes.set_axis_off()
    return whole, axes


def tile(axes, pixels: np.ndarray, left: float, top: float, width: float = 1, height: float = 1, **how) -> None:
    """Draw an image in a thin frame; ``how`` is passed to matplotlib's imshow."""
    from matplotlib.patches import Rectangle

    axes.imshow(pixels, extent=(left, left + width, top + height, top), **how)
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=GREY, linewidth=0.6))


def curve(axes, values: np.ndarray, left: float, top: float, width: float, height: float, low: float, high: float):
    """Draw a signal, or the channels (C, L) of one, in a thin frame that spans ``low`` to ``high``."""
    from matplotlib.patches import Rectangle

    values = np.atleast_2d(values)
    x = left + width * (np.arange(values.shape[1]) + 0.5) / values.shape[1]
    y = top + height * (0.95 - 0.9 * (values - low) / ((high - low) or 1))
    for one, color in zip(y, itertools.cycle((BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER))):
        axes.plot(x, one, color=color, linewidth=0.8)
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=GREY, linewidth=0.6))


def readable_on(color: Sequence[float] | np.ndarray) -> str:
    """Return the colour of text, black or white, that has the larger contrast with a background (WCAG 2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3]]
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), linear))
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"


def picture(image: np.ndarray) -> tuple[np.ndarray, dict]:
    """Convert an image (C, H, W) for matplotlib; return the pixels and the options for imshow.

    Three channels are drawn in colour; otherwise the mean of the channels is drawn in grey. uint8 images are drawn as
    they are, others are scaled from their minimum to their maximum.
    """
    if image.dtype != np.uint8:
        image = np.nan_to_num(image.astype(np.float64), posinf=0, neginf=0)
        image = (image - image.min()) / (np.ptp(image) or 1)
        white = 1
    else:
        white = 255
    if len(image) == 3:
        return np.moveaxis(image, 0, -1), {}
    return image.mean(axis=0), {"cmap": "gray", "vmin": 0, "vmax": white}


def class_names(classes: Sequence[str] | None, count: int) -> list[str]:
    """Check the names of ``count`` classes; without names, return the numbers of the classes."""
    if classes is None:
        return [str(k) for k in range(count)]
    if len(classes) != count:
        raise ValueError(f"`classes` has {len(classes)} names but there are {count} classes.")
    return [unicode_text(str(name)) for name in classes]


def images(name: str, array) -> np.ndarray:
    """Check that an argument is an array (N, C, H, W) with 1 or 3 channels."""
    if not isinstance(array, np.ndarray) or array.ndim != 4 or array.shape[1] not in (1, 3):
        what = f"of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"`{name}` must be an array (N, C, H, W) with C of 1 or 3, not {what}.")
    return array if array.dtype == np.uint8 else _validate.floats(name, array)
