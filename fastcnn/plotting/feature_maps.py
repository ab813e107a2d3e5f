"""What a model makes of an image."""

import numpy as np

from fastcnn import nn
from fastcnn.plotting import _style

_MAPS, _ACROSS = 64, 8  # as many as are drawn of one layer; as many as stand side by side


def plot_feature_maps(model: nn.Module, image: np.ndarray, layer: str | int | None = None):
    """An image and the maps that a layer makes of it; or its way through the whole model.

    Each map is drawn from its lowest value, dark, to its highest, bright. At most 64 maps of a layer are drawn, and on
    the way through the model the first 8 of each.

    Parameters
    ----------
    model : fastcnn.nn.Module
        As it is, in training or evaluation mode; it is not changed.
    image : ndarray of shape (C, H, W), float32 or float64
        Prepared as for `model`.
    layer : str or int, optional
        Its name as in ``model.state_dict``, "3" or "3.0.body.1"; by default all directly inside the model that make
        maps of more than one pixel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `image` does not fit the model, or there is no such layer, or it makes no maps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import models
    >>> from fastcnn.plotting import plot_feature_maps
    >>> figure = plot_feature_maps(models.LeNet5().eval(), np.ones((1, 32, 32), np.float32), 3)
    >>> figure.get_suptitle()
    '3: Conv2d, 16 maps of 10 x 10'
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3:
        what = f"one of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"`image` must be an array (C, H, W), not {what}.")
    steps = {step.name: step for step in nn.trace(model, image[None])}
    if layer is None:
        chosen = [step for step in steps.values() if step.depth == 1 and _has_maps(step)]
        if not chosen:
            raise ValueError("No layer directly inside `model` makes maps of more than one pixel.")
        return _through(image, chosen)
    if str(layer) not in steps:
        raise ValueError(f"`model` has no layer {str(layer)!r}; its layers are {', '.join(map(repr, steps))}.")
    step = steps[str(layer)]
    if step.y.ndim != 4:
        raise ValueError(f"Layer {str(layer)!r} makes no maps: its output has shape {step.y.shape[1:]}.")
    return _one(image, step)


def _has_maps(step: nn.Step) -> bool:
    return step.y.ndim == 4 and step.y.shape[2] * step.y.shape[3] > 1


def _title(step: nn.Step) -> str:
    C, H, W = step.y.shape[1:]
    return f"{step.name}: {type(step.module).__name__}, {C} map{'s' * (C > 1)} of {H} x {W}".removeprefix(": ")


def _one(image: np.ndarray, step: nn.Step):
    """The image on the left, the maps of a layer on the right."""
    maps = step.y[0][:_MAPS]
    columns = min(len(maps), _ACROSS)
    rows = -(-len(maps) // columns)
    figure = _style.figure(1.1 * columns + 2.4, max(1.1 * rows, 1.9) + 0.5)
    left, right = figure.subfigures(1, 2, width_ratios=(2.2, 1.1 * columns))
    _draw(left.subplots(), image, "input")
    for i, axes in enumerate(right.subplots(rows, columns, squeeze=False).flat):
        _draw_map(axes, maps[i] if i < len(maps) else None)
    more = f"; the first {_MAPS}" if len(maps) < step.y.shape[1] else ""
    figure.suptitle(_title(step) + more, fontweight="bold", fontsize="large")
    return figure


def _through(image: np.ndarray, steps: list[nn.Step]):
    """A row for each layer, the image on top."""
    figure = _style.figure(9.6, 0.95 * (len(steps) + 1) + 0.2)
    grid = figure.subplots(len(steps) + 1, _ACROSS)
    _draw(grid[0, 0], image)
    _label(grid[0, 0], "input", image.shape)
    for axes in grid[0, 1:]:
        axes.set_axis_off()
    for row, step in zip(grid[1:], steps, strict=True):
        maps = step.y[0]
        _label(row[0], f"{step.name}: {type(step.module).__name__}", maps.shape)
        for i, axes in enumerate(row):
            _draw_map(axes, maps[i] if i < len(maps) else None)
    return figure


def _label(axes, name: str, shape: tuple[int, ...]) -> None:
    """The name of a row, on its left."""
    text = f"{name}\n{' x '.join(map(str, shape))}"
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=8, fontsize="small")


def _draw(axes, image: np.ndarray, title: str = "") -> None:
    pixels, how = _style.picture(image)
    axes.imshow(pixels, **how)
    axes.set_title(title, fontsize="medium")
    _style.bare(axes)


def _draw_map(axes, values: np.ndarray | None) -> None:
    if values is None:
        axes.set_axis_off()
    else:
        axes.imshow(values, cmap="viridis")
        _style.bare(axes)
