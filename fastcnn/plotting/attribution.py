"""Which pixels a model's answer depends on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn import nn
from fastcnn.nn.attribution import Attribution, explain_by_maps, explain_by_pixels
from fastcnn.plotting import _style

_IMAGES, _ACROSS = 32, 4  # as many as are drawn of a batch; as many as stand side by side
_WIDEST, _LETTER = 9.6, 0.11  # of a figure of several images; of a title's letter, in inches
_HEAT = "inferno"


def plot_saliency(
    model: nn.Module,
    image: np.ndarray,
    target: int | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
) -> "_style.Figure":
    """An image, and beside it how much the score of a class changes with each pixel: `fastcnn.nn.saliency`.

    Each map is drawn from 0, black, to its largest value, bright. Behind the curve of a signal, the map is drawn from
    white to dark.

    Parameters
    ----------
    model : fastcnn.nn.Module
        A classifier; it is used in evaluation mode and not changed.
    image : ndarray of shape (C, H, W), (N, C, H, W) or (C, L), float32 or float64
        Prepared as for `model`: an image, several, of which the first 32 are drawn, or a signal.
    target : int or ndarray of shape (N,), integers, optional
        The class, one for all images or one each; by default the predicted class.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `image` does not fit the model, `target` is not a class, or there is not one name for each class.

    References
    ----------
    K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image classification models
    and saliency maps", ICLR workshop 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import models
    >>> from fastcnn.plotting import plot_saliency
    >>> figure = plot_saliency(models.LeNet5(), np.ones((1, 32, 32), np.float32), target=7)
    >>> figure.axes[0].get_title(loc="left")[:17]
    'Saliency: class 7'
    """
    x, target, cut = _batch(image, target)
    return _figure(x, explain_by_pixels(model, x, target), f"Saliency{cut}", classes)


def plot_grad_cam(
    model: nn.Module,
    image: np.ndarray,
    target: int | np.ndarray | None = None,
    layer: str | int | None = None,
    classes: Sequence[str] | None = None,
) -> "_style.Figure":
    """An image, and beside it where a layer finds evidence for a class, laid over it: `fastcnn.nn.grad_cam`.

    Pixels without evidence stay grey; those with the most, in each image, are bright. Behind the curve of a signal, the
    map is drawn from white to dark.

    Parameters
    ----------
    model : fastcnn.nn.Module
        A classifier; it is used in evaluation mode and not changed.
    image : ndarray of shape (C, H, W), (N, C, H, W) or (C, L), float32 or float64
        Prepared as for `model`: an image, several, of which the first 32 are drawn, or a signal.
    target : int or ndarray of shape (N,), integers, optional
        The class, one for all images or one each; by default the predicted class.
    layer : str or int, optional
        Name of the layer, as `Module.named_modules` gives it; by default the last layer that makes maps of more than
        one pixel.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `image` does not fit the model, `target` is not a class, `layer` is not a layer that makes maps, or there is
        not one name for each class.

    References
    ----------
    R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, "Grad-CAM: visual explanations from deep
    networks via gradient-based localization", ICCV 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import models
    >>> from fastcnn.plotting import plot_grad_cam
    >>> figure = plot_grad_cam(models.LeNet5(), np.ones((1, 32, 32), np.float32), target=7)
    >>> figure.axes[0].get_title(loc="left")[:26]
    'Grad-CAM, layer 5: class 7'
    """
    x, target, cut = _batch(image, target)
    explained = explain_by_maps(model, x, target, layer)
    return _figure(x, explained, f"Grad-CAM, layer {explained.layer}{cut}", classes, overlay=True)


def _batch(image, target) -> tuple[np.ndarray, Any, str]:
    """The images that are drawn, their classes as they were given, and what the title says of those left out."""
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3, 4):
        what = f"one of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"`image` must be an array (C, H, W), (N, C, H, W) of several, or (C, L) of a signal, not {what}."
        )
    if image.ndim < 4:
        return image[None], target, ""
    each = isinstance(target, np.ndarray) and target.shape == image.shape[:1]
    cut = f"; the first {_IMAGES}" if len(image) > _IMAGES else ""
    return image[:_IMAGES], target[:_IMAGES] if each else target, cut


def _figure(x: np.ndarray, explained: Attribution, title: str, classes: Sequence[str] | None, overlay: bool = False):
    """Each image and its map."""
    names = _style.class_names(classes, explained.scores.shape[1])
    labels = [_label(names, *pair) for pair in zip(explained.target, explained.scores.argmax(axis=1), strict=True)]
    if classes is None:
        labels = [f"class {label}" for label in labels]
    if x.ndim == 3:
        return _signal(x[0], explained.maps[0], f"{title}: {labels[0]}")
    high, wide = x.shape[2] / max(x.shape[2:]), x.shape[3] / max(x.shape[2:])
    if len(x) == 1:
        title += f": {labels[0]}"
        figure, axes = _style.canvas(2 * wide + 0.1, high, 2.5, title, least=max(4.5, _LETTER * len(title)))
        _pair(axes, x[0], explained.maps[0], 0, 0, wide, high, overlay)
        return figure
    words = 0.25  # the height of the line above
    step, down = max(2 * wide + 0.35, 0.07 * max(map(len, labels)) + 0.2), high + words + 0.1
    across = min(len(x), _ACROSS, max(1, int(_WIDEST / step)))
    rows = -(-len(x) // across)
    figure, axes = _style.canvas(step * across - 0.25, down * rows - 0.05, 1.05, title, least=4.5)
    for i, (image, values, label) in enumerate(zip(x, explained.maps, labels, strict=True)):
        left, top = step * (i % across), down * (i // across)
        axes.text(left, top + words / 2, label, va="center", fontsize="small", **_style.AS_WRITTEN)
        _pair(axes, image, values, left, top + words, wide, high, overlay)
    return figure


def _label(names: list[str], target: int, predicted: int) -> str:
    """The class that a map is of."""
    return names[target] + ("" if target == predicted else f" (predicted: {names[predicted]})")


def _pair(axes, image: np.ndarray, values: np.ndarray, left: float, top: float, wide: float, high: float, overlay):
    """An image, and its map on the right."""
    pixels, how = _style.picture(image)
    _style.tile(axes, pixels, left, top, wide, high, **how)
    at, largest = (left + wide + 0.05, top, wide, high), float(values.max()) or 1.0
    heat: dict[str, Any] = {"cmap": _HEAT, "vmin": 0, "vmax": largest}
    if overlay:
        grey, how = _style.picture(image.mean(axis=0, keepdims=True))
        _style.tile(axes, grey, *at, **how)
        heat["alpha"] = 0.8 * np.sqrt(values / largest)
    _style.tile(axes, values, *at, **heat)


def _signal(signal: np.ndarray, values: np.ndarray, title: str):
    """A signal, the map as the colour behind it."""
    wide = max(3, _LETTER / 2.5 * len(title))
    figure, axes = _style.canvas(wide, 1, 2.5, title)
    _style.tile(axes, values[None], 0, 0, wide, 1, cmap="Oranges", vmin=0, vmax=2 * (float(values.max()) or 1.0))
    _style.curve(axes, signal, 0, 0, wide, 1, signal.min(), signal.max())
    return figure
