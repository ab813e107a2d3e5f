"""What a convolution looks for."""

import numpy as np

from fastcnn.nn import Conv2d
from fastcnn.plotting import _style

_FILTERS, _CHANNELS, _ACROSS = 32, 16, 8  # as many as are drawn; as many as stand side by side in a grid
_COLORS = "RdBu_r"


def plot_filters(layer: Conv2d) -> "_style.Figure":
    """Filters of a convolution, all on one scale: blue is below zero, white zero, red above.

    Filters of one channel stand in a grid, filters of three too, in colour (grey is zero). Of others each column is a
    filter, and each row an input channel. At most 32 filters and 16 channels are drawn; the title says so.

    Parameters
    ----------
    layer : fastcnn.nn.Conv2d

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `layer` is no Conv2d.

    Examples
    --------
    >>> from fastcnn import nn
    >>> from fastcnn.plotting import plot_filters
    >>> plot_filters(nn.Conv2d(1, 6, 5)).axes[0].get_title(loc="left")
    '6 filters, 5 x 5'
    """
    if not isinstance(layer, Conv2d):
        raise TypeError(f"`layer` must be a Conv2d, not {type(layer).__name__}.")
    weight = layer.weight.data  # (O, C, KH, KW)
    O, C, KH, KW = weight.shape
    shown = weight[:_FILTERS, : C if C == 3 else _CHANNELS]
    limit = float(np.abs(shown).max()) or 1.0
    title = f"{O} filters, {KH} x {KW}" if C in (1, 3) else f"{O} filters across, {C} channels down, {KH} x {KW}"
    if shown.shape[:2] != (O, C):
        title += f"; the first {len(shown)} filters" + f" and {shown.shape[1]} channels" * (shown.shape[1] < C)
    if C in (1, 3):
        return _grid(shown, limit, title)
    return _table(shown, limit, title)


def _grid(filters: np.ndarray, limit: float, title: str):
    """Filters of one or three channels."""
    (C, KH, KW), across = filters.shape[1:], min(len(filters), _ACROSS)
    rows, tall = -(-len(filters) // across), KH / KW
    figure, axes = _style.canvas(across * 1.1, rows * (tall + 0.1), 0.9, title, least=3)
    for i, one in enumerate(filters):
        row, column = divmod(i, across)
        how = {} if C == 3 else {"cmap": _COLORS, "vmin": -limit, "vmax": limit}
        pixels = np.moveaxis(0.5 + one / (2 * limit), 0, -1) if C == 3 else one[0]
        _style.tile(axes, pixels, 1.1 * column, row * (tall + 0.1), 1, tall, **how)
    if C == 1:
        _scale(figure, axes, rows * tall)
    return figure


def _table(filters: np.ndarray, limit: float, title: str):
    """Filters in columns, their channels in rows."""
    O, C, KH, KW = filters.shape
    tall = KH / KW
    figure, axes = _style.canvas(O * 1.15 + 0.8, C * (tall + 0.15) + 0.6, 0.4, title, least=5.5)
    for o, one in enumerate(filters):
        axes.text(1.3 + 1.15 * o, C * (tall + 0.15) + 0.3, str(o), ha="center", va="center", fontsize="x-small")
        for c, plane in enumerate(one):
            at = 0.8 + 1.15 * o, c * (tall + 0.15)
            _style.tile(axes, plane, *at, 1, tall, cmap=_COLORS, vmin=-limit, vmax=limit)
    for c in range(C):
        axes.text(0.5, c * (tall + 0.15) + tall / 2, str(c), ha="center", va="center", fontsize="x-small")
    _scale(figure, axes, C * tall * 0.4)
    return figure


def _scale(figure, axes, inches: float) -> None:
    """The colour bar, beside pictures of so many inches."""
    share = min(1, 2.5 / inches) * inches / (inches + 0.5)
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=share, aspect=10 * min(inches, 2.5), label="weight")
    bar.outline.set_visible(False)
