"""What a convolution looks for."""

import numpy as np

from fastcnn.nn import Conv2d
from fastcnn.plotting import _style

_FILTERS, _CHANNELS = 64, 16  # as many as are drawn


def plot_filters(layer: Conv2d):
    """Filters of a convolution, all on one scale: blue is below zero, white zero, red above.

    Filters of one channel stand in a grid, filters of three are drawn in colour (grey is zero); of others each row is a
    filter, and each column an input channel. At most 64 filters and 16 channels are drawn; the title says so.

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
    >>> plot_filters(nn.Conv2d(1, 6, 5)).get_suptitle()
    '6 filters, 5 x 5'
    """
    if not isinstance(layer, Conv2d):
        raise TypeError(f"`layer` must be a Conv2d, not {type(layer).__name__}.")
    weight = layer.weight.data  # (O, C, KH, KW)
    O, C, KH, KW = weight.shape
    shown = weight[:_FILTERS, : C if C == 3 else _CHANNELS]
    limit = float(np.abs(shown).max()) or 1.0
    if C in (1, 3):
        columns = min(len(shown), 8)
        rows = -(-len(shown) // columns)
    else:
        rows, columns = shown.shape[:2]
    title = f"{O} filters, {f'{C} x ' if C > 1 else ''}{KH} x {KW}"
    if len(shown) < O or shown.shape[1] < C:
        parts = [f"{len(shown)} filters"] * (len(shown) < O) + [f"{shown.shape[1]} channels"] * (shown.shape[1] < C)
        title += f"; the first {' and '.join(parts)}"

    cell = 0.9 if C in (1, 3) else 0.5
    figure = _style.figure(max(cell * columns + (0 if C == 3 else 0.9), 4), cell * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    drawn = None
    for i, axes in enumerate(grid.flat):
        if C == 3 and i < len(shown):
            axes.imshow(np.moveaxis(0.5 + shown[i] / (2 * limit), 0, -1))
        elif i < shown.shape[0] * shown.shape[1] and C != 3:
            plane = shown.reshape(-1, KH, KW)[i]
            drawn = axes.imshow(plane, cmap="RdBu_r", vmin=-limit, vmax=limit)
        else:
            axes.set_axis_off()
        _style.bare(axes)
    if C not in (1, 3):
        figure.supxlabel("input channels", fontsize="medium")
        figure.supylabel("filters", fontsize="medium")
    if drawn:
        figure.colorbar(drawn, ax=grid, shrink=min(1, 3 / rows), aspect=15, label="weight").outline.set_visible(False)
    figure.suptitle(title, fontweight="bold", fontsize="large")
    return figure
