"""Plot the filters of a convolution."""

import numpy as np

from fastcnn.nn import Conv1d, Conv2d
from fastcnn.plotting import _style

_FILTERS, _CHANNELS, _ACROSS = 32, 16, 8  # maximum number of filters, of channels, and of filters in a row of a grid
_COLORS = "RdBu_r"


def plot_filters(layer: Conv1d | Conv2d) -> "_style.Figure":
    """Plot the filters of a convolution on one colour scale: blue is negative, white zero, red positive.

    Filters of one channel form a grid, and so do filters of three channels, which are drawn in colour (grey is zero).
    Otherwise each column is a filter and each row an input channel. At most 32 filters and 16 channels are drawn; the
    title tells when there are more. Filters of signals are curves, on the scale that the title names.

    Parameters
    ----------
    layer : fastcnn.nn.Conv1d or fastcnn.nn.Conv2d

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `layer` is not a Conv1d or a Conv2d.

    Examples
    --------
    >>> from fastcnn import nn
    >>> from fastcnn.plotting import plot_filters
    >>> plot_filters(nn.Conv2d(1, 6, 5)).axes[0].get_title(loc="left")
    '6 filters, 5 x 5'
    """
    if not isinstance(layer, Conv1d | Conv2d):
        raise TypeError(f"`layer` must be a Conv1d or a Conv2d, not {type(layer).__name__}.")
    weight = layer.weight.data  # (O, C, KH, KW) or (O, C, K)
    O, C, *kernel = weight.shape
    images, size = len(kernel) == 2, " x ".join(map(str, kernel)) + " long" * (len(kernel) == 1)
    shown, in_grid = weight[:_FILTERS, : C if C == 3 else _CHANNELS], C == 1 or (C == 3 and images)
    limit = float(np.abs(shown).max()) or 1.0
    title = f"{O} filters, {size}" if in_grid else f"{O} filters across, {C} channels down, {size}"
    if not images:
        title += f", from {-limit:.2g} to {limit:.2g}"
    if shown.shape[:2] != (O, C):
        title += f"; the first {len(shown)} filters" + f" and {shown.shape[1]} channels" * (shown.shape[1] < C)
    if in_grid:
        return _grid(shown, limit, title)
    return _table(shown, limit, title)


def _grid(filters: np.ndarray, limit: float, title: str):
    """Draw filters of one channel, or of three channels in colour, as a grid."""
    C, across = filters.shape[1], min(len(filters), _ACROSS)
    rows, tall = -(-len(filters) // across), _tall(filters)
    figure, axes = _style.canvas(across * 1.1, rows * (tall + 0.1), 0.9, title, least=3)
    for i, one in enumerate(filters):
        row, column = divmod(i, across)
        at = 1.1 * column, row * (tall + 0.1), 1, tall
        if C == 3:
            _style.tile(axes, np.moveaxis(0.5 + one / (2 * limit), 0, -1), *at)
        else:
            _draw(axes, one[0], *at, limit)
    _scale(figure, axes, rows * tall)
    return figure


def _tall(filters: np.ndarray) -> float:
    """Return the height of a filter whose width is one."""
    *_, H, W = filters.shape if filters.ndim == 4 else (0.6, 1)
    return H / W


def _draw(axes, one: np.ndarray, left: float, top: float, width: float, height: float, limit: float) -> None:
    """Draw one channel of a filter."""
    if one.ndim == 1:
        _style.curve(axes, one, left, top, width, height, -limit, limit)
    else:
        _style.tile(axes, one, left, top, width, height, cmap=_COLORS, vmin=-limit, vmax=limit)


def _table(filters: np.ndarray, limit: float, title: str):
    """Draw filters as columns and their channels as rows."""
    (O, C), tall = filters.shape[:2], _tall(filters)
    figure, axes = _style.canvas(O * 1.15 + 0.8, C * (tall + 0.15) + 0.6, 0.4, title, least=5.5)
    for o, one in enumerate(filters):
        axes.text(1.3 + 1.15 * o, C * (tall + 0.15) + 0.3, str(o), ha="center", va="center", fontsize="x-small")
        for c, plane in enumerate(one):
            at = 0.8 + 1.15 * o, c * (tall + 0.15)
            _draw(axes, plane, *at, 1, tall, limit)
    for c in range(C):
        axes.text(0.5, c * (tall + 0.15) + tall / 2, str(c), ha="center", va="center", fontsize="x-small")
    _scale(figure, axes, C * tall * 0.4)
    return figure


def _scale(figure, axes, inches: float) -> None:
    """Add a colour bar beside images ``inches`` high, unless they are in colour or curves."""
    if not axes.images or axes.images[0].get_array().ndim == 3:
        return
    share = min(1, 2.5 / inches) * inches / (inches + 0.5)
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=share, aspect=10 * min(inches, 2.5), label="weight")
    bar.outline.set_visible(False)
