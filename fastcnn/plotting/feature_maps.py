"""Plot the feature maps of a model for an image or a signal."""

import numpy as np

from fastcnn import nn
from fastcnn._names import choices_for
from fastcnn.plotting import _style

_MAPS, _ACROSS = 64, 8  # maximum number of maps of one layer, and in one row


def plot_feature_maps(model: nn.Module, image: np.ndarray, layer: str | int | None = None) -> "_style.Figure":
    """Plot an image with the feature maps of one layer, or of all layers of a model.

    Each map has its own colour scale, from its minimum (dark) to its maximum (bright); maps of a single pixel share
    one scale. At most 64 maps of a single layer are drawn, or the first 8 of each layer. Maps of signals are curves.

    Parameters
    ----------
    model : fastcnn.nn.Module
        The model runs in its present mode, training or evaluation, and is not changed.
    image : ndarray of shape (C, H, W) or (C, L), float32 or float64
        One image or signal, preprocessed for `model`.
    layer : str or int, optional
        Name of a layer as in ``model.state_dict``, such as "3" or "3.0.body.1"; by default all direct children of the
        model whose maps have more than one pixel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `image` does not fit the model, `layer` does not exist, or its output has no maps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import models
    >>> from fastcnn.plotting import plot_feature_maps
    >>> figure = plot_feature_maps(models.LeNet5().eval(), np.ones((1, 32, 32), np.float32), 3)
    >>> figure.axes[0].get_title(loc="left")
    '3: Conv2d, 16 maps of 10 x 10'
    """
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        what = f"one of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"`image` must be an array (C, H, W), or (C, L) of a signal, not {what}.")
    steps = {step.name: step for step in nn.trace(model, image[None])}
    if layer is None:
        chosen = [step for step in steps.values() if step.depth == 1 and _has_maps(step)]
        if not chosen:
            raise ValueError("No layer directly inside `model` makes maps of more than one pixel.")
        return _through(image, chosen)
    if str(layer) not in steps:
        raise ValueError(f"`model` has no layer {str(layer)!r}; its layers are {choices_for(layer, steps, repr)}.")
    step = steps[str(layer)]
    if step.y.ndim < 3:
        raise ValueError(f"Layer {str(layer)!r} makes no maps: its output has shape {step.y.shape[1:]}.")
    return _one(image, step)


def _has_maps(step: nn.Step) -> bool:
    """Whether the output of a layer has maps of more than one pixel."""
    return step.y.ndim > 2 and step.y[0, 0].size > 1


def _title(step: nn.Step) -> str:
    """Return a title with the layer's name and class, and the number and size of its maps."""
    C, *size = step.y.shape[1:]
    of = " x ".join(map(str, size))
    return f"{step.name}: {type(step.module).__name__}, {C} map{'s' * (C > 1)} of {of}".removeprefix(": ")


def _one(image: np.ndarray, step: nn.Step):
    """Draw the image on the left, and the maps of one layer on the right."""
    maps = step.y[0][:_MAPS]
    across = min(_ACROSS, -(-len(maps) // 2))
    rows = -(-len(maps) // across)
    title = _title(step) + f"; the first {_MAPS}" * (len(maps) < step.y.shape[1])
    figure, axes = _style.canvas(2.5 + 1.1 * across, max(1.1 * rows, 2.1), 1, title, least=4)
    _draw(axes, image, 0, 0, 2.1)
    one_scale = {"vmin": maps.min(), "vmax": maps.max()} if maps[0].size == 1 else {}
    for i, values in enumerate(maps):
        _draw_map(axes, values, 2.5 + 1.1 * (i % across), 1.1 * (i // across), **one_scale)
    return figure


def _through(image: np.ndarray, steps: list[nn.Step]):
    """Draw the image in the first row, and the maps of each layer in a row below it."""
    names = ["input", *(f"{step.name}: {type(step.module).__name__}" for step in steps)]
    left = 0.4 + 0.072 * max(map(len, names))
    most = max(min(len(step.y[0]), _ACROSS) for step in steps)
    title = "Through the layers" + f"; the first {_ACROSS} maps of each" * any(len(s.y[0]) > _ACROSS for s in steps)
    figure, axes = _style.canvas(left + 1.1 * most, 1.1 * len(names), 0.95, title, least=4)
    for row, name in enumerate(names):
        shape = image.shape if row == 0 else steps[row - 1].y.shape[1:]
        text = f"{name}\n{' x '.join(map(str, shape))}"
        how = {"ha": "right", "va": "center", "fontsize": "small", **_style.AS_WRITTEN}
        axes.text(left - 0.15, 1.1 * row + 0.5, text, **how)
    _draw(axes, image, left, 0, 1)
    for row, step in enumerate(steps, 1):
        for i, values in enumerate(step.y[0][:_ACROSS]):
            _draw_map(axes, values, left + 1.1 * i, 1.1 * row)
    return figure


def _draw(axes, image: np.ndarray, left: float, top: float, size: float) -> None:
    """Draw the image or signal into a square."""
    if image.ndim == 2:
        _style.curve(axes, image, left, top, size, size, image.min(), image.max())
        return
    pixels, how = _style.picture(image)
    _fit(axes, pixels, left, top, size, **how)


def _draw_map(axes, values: np.ndarray, left: float, top: float, **how) -> None:
    """Draw one map."""
    if values.ndim == 1 and values.size > 1:
        _style.curve(axes, values, left, top, 1, 1, values.min(), values.max())
        return
    _fit(axes, np.atleast_2d(values), left, top, 1, cmap="viridis", **how)


def _fit(axes, pixels: np.ndarray, left: float, top: float, size: float, **how) -> None:
    """Draw pixels into a square; the pixels themselves stay square."""
    H, W = pixels.shape[:2]
    _style.tile(axes, pixels, left, top, size * W / max(H, W), size * H / max(H, W), **how)
