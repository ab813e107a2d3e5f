"""Which pixels a model's answer depends on: saliency and Grad-CAM.

Both work on a copy of the model, in evaluation mode and with all parameters frozen. So the model itself stays as it is,
whatever happens in between, and no gradient of a parameter is computed.
"""

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from fastcnn import _validate, backends
from fastcnn._names import choices_for
from fastcnn.functional import interpolate
from fastcnn.nn import calls
from fastcnn.nn.module import Module


class Attribution(NamedTuple):
    """Maps of a batch, and what they explain.

    Attributes
    ----------
    maps : ndarray of shape (N, H, W) or (N, L)
    scores : ndarray of shape (N, K)
        Outputs of the model.
    target : ndarray of shape (N,), int64
        Each image's class whose score is explained.
    layer : str
        Name of the layer that Grad-CAM uses; "" for saliency.
    """

    maps: np.ndarray
    scores: np.ndarray
    target: np.ndarray
    layer: str = ""


def saliency(model: Module, x: np.ndarray, target: int | np.ndarray | None = None) -> np.ndarray:
    """How much the score of a class changes with each pixel: the gradient of Simonyan et al.

    For each pixel it is the largest absolute value, over the channels, of the score's gradient. The pass runs in
    evaluation mode on a copy of the model, which stays as it is.

    Parameters
    ----------
    model : Module
        A classifier of images or signals. Its output should be the scores before softmax, as for `CrossEntropyLoss`:
        a softmax mixes the gradients of all classes, and its own are tiny where it is sure.
    x : ndarray of shape (N, C, H, W) or (N, C, L), float32 or float64
        Prepared as for `model`.
    target : int or ndarray of shape (N,), integers, optional
        The class, one for all images or one each; by default the class with the highest score.

    Returns
    -------
    ndarray of shape (N, H, W) or (N, L), dtype of `x`
        At least 0.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a `Module` of one input whose output has shape (N, K), `x` is not a batch that fits it, or
        `target` is not a class.

    References
    ----------
    K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image classification models
    and saliency maps", ICLR workshop 2014, section 3.

    Examples
    --------
    The score of class 1 is three times the last pixel:

    >>> import numpy as np
    >>> from fastcnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False, dtype=np.float64))
    >>> model[1].weight.data[:] = [[1, -1, 0, 0], [0, 0, 0, 3]]
    >>> x = np.ones((1, 1, 2, 2))
    >>> nn.saliency(model, x)
    array([[[0., 0.],
            [0., 3.]]])
    >>> nn.saliency(model, x, target=0)
    array([[[1., 1.],
            [0., 0.]]])
    """
    return explain_by_pixels(model, x, target).maps


def grad_cam(
    model: Module, x: np.ndarray, target: int | np.ndarray | None = None, layer: str | int | None = None
) -> np.ndarray:
    """Where a layer finds evidence for a class: gradient-weighted class activation mapping, Grad-CAM.

    Each map of the layer is weighted by the score's gradient with respect to it, averaged over its pixels. The sum of
    the weighted maps, where it is positive, is resized to the image. The pass runs in evaluation mode on a copy of the
    model, which stays as it is.

    Parameters
    ----------
    model : Module
        A classifier of images or signals; see `saliency`.
    x : ndarray of shape (N, C, H, W) or (N, C, L), float32 or float64
        Prepared as for `model`.
    target : int or ndarray of shape (N,), integers, optional
        The class, one for all images or one each; by default the class with the highest score.
    layer : str or int, optional
        Name of the layer, as `Module.named_modules` gives it: "3" or "3.0.body.1". It must be called once in a pass.
        Choose a convolution's activation. By default it is the last layer that makes maps of more than one pixel.

    Returns
    -------
    ndarray of shape (N, H, W) or (N, L), dtype of `x`
        At least 0; all 0 where no evidence for the class is found. The sums before resizing, not scaled.

    Raises
    ------
    TypeError, ValueError
        If `model` is not a `Module` of one input whose output has shape (N, K), `x` is not a batch that fits it,
        `target` is not a class, `layer` is not the name of a layer that makes maps and is called once, or the score
        does not depend on these maps.

    Notes
    -----
    Resizing spreads the maps over the whole image, as in the paper. Where convolutions have no padding, the maps cover
    only its middle, and what they show moves outwards.

    References
    ----------
    R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, "Grad-CAM: visual explanations from deep
    networks via gradient-based localization", ICCV 2017, equations (1) and (2).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> model = nn.Sequential(nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(1, 2, bias=False, dtype=np.float64))
    >>> model[2].weight.data[:] = [[2], [-1]]
    >>> x = np.array([[[[-1.0, 0.0], [0.0, 4.0]]]])
    >>> nn.grad_cam(model, x)
    array([[[0., 0.],
            [0., 2.]]])
    >>> nn.grad_cam(model, x, target=1)  # the bright pixel speaks against class 1
    array([[[0., 0.],
            [0., 0.]]])
    """
    return explain_by_maps(model, x, target, layer).maps


def explain_by_pixels(model: Module, x: np.ndarray, target: int | np.ndarray | None) -> Attribution:
    """See `saliency`."""
    twin, x = _twin(model), _batch(x)
    scores = _scores(twin, x)
    classes = _classes(target, scores)
    dx = twin.backward(_one_hot(classes, scores))
    return Attribution(np.abs(dx).max(axis=1), scores, classes)


def explain_by_maps(
    model: Module, x: np.ndarray, target: int | np.ndarray | None, layer: str | int | None
) -> Attribution:
    """See `grad_cam`."""
    twin, x = _twin(model), _batch(x)
    modules = dict(twin.named_modules(remove_duplicate=False))
    if layer is not None and str(layer) not in modules:
        raise ValueError(f"`model` has no layer {str(layer)!r}; its layers are {choices_for(layer, modules, repr)}.")
    made: list[_Made] = []  # in the order in which calls end
    gradients: list[np.ndarray] = []
    backend = backends.load()

    def note(module, x, forward):
        call, y = calls.current(), forward()
        made.append(_Made(module, call, y))
        return y

    def catch(call, dy):
        if call is chosen.call:
            gradients.append(np.array(backend.unpack(dy)))  # a copy: its memory may be used again

    with calls.observed(note, catch):
        scores = _scores(twin, x)
        classes = _classes(target, scores)
        chosen = _last_with_maps(made) if layer is None else _only_call(made, modules[str(layer)], str(layer))
        name = next(name for name, module in modules.items() if module is chosen.module)
        maps = np.array(backend.unpack(chosen.y))
        made.clear()
        twin.backward(_one_hot(classes, scores))
    if not gradients:
        raise ValueError(f"The scores of `model` do not depend on the output of layer {name!r}: it gets no gradient.")
    places = tuple(range(2, maps.ndim))
    weights = gradients[0].mean(axis=places, keepdims=True)
    evidence = np.maximum((weights * maps).sum(axis=1), 0)
    return Attribution(_resized(evidence, x.shape[2:]), scores, classes, name)


class _Made(NamedTuple):
    """A call of a module, and its output in the backend's layout."""

    module: Module
    call: Any
    y: Any


def _twin(model: Module) -> Module:
    """A copy in evaluation mode whose parameters get no gradient."""
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
    if model.several_inputs:
        raise ValueError(f"`model` must take one input, but this {type(model).__name__} takes several.")
    return copy.deepcopy(model).eval().requires_grad_(False)


def _batch(x) -> np.ndarray:
    """A batch of images or signals."""
    x = _validate.floats("x", x)
    if x.ndim not in (3, 4):
        raise ValueError(
            f"`x` must be a batch of images, (N, C, H, W), or of signals, (N, C, L), but its shape is {x.shape}."
        )
    return x


def _scores(model: Module, x: np.ndarray) -> np.ndarray:
    """The outputs for a batch, one for each class."""
    scores = model(x)
    if scores.ndim != 2:
        raise ValueError(f"`model` must give each image a score for each class, (N, K), not {scores.shape}.")
    return scores


def _classes(target, scores: np.ndarray) -> np.ndarray:
    """Each image's class."""
    N, K = scores.shape
    if target is None:
        return scores.argmax(axis=1)
    if isinstance(target, np.ndarray):
        return _validate.indices("target", target, (N,), K)
    if not _validate.is_whole(target):
        raise TypeError(f"`target` must be a class, a numpy array of classes or None, not {target!r}.")
    if not 0 <= target < K:
        raise ValueError(f"`target` is {target}, but the classes of `model` are 0 to {K - 1}.")
    return np.full(N, target, np.int64)


def _one_hot(classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The gradient, by the scores, of the sum of the chosen ones: of each image by itself."""
    dy = np.zeros_like(scores)
    dy[np.arange(len(classes)), classes] = 1
    return dy


def _last_with_maps(made: list[_Made]) -> _Made:
    """The call that ends last of those that make maps of more than one pixel."""
    for one in reversed(made):
        if len(one.y.shape) > 2 and math.prod(one.y.shape[2:]) > 1:
            return one
    raise ValueError("No layer of `model` makes maps of more than one pixel, which Grad-CAM needs.")


def _only_call(made: list[_Made], module: Module, name: str) -> _Made:
    """The call of a module that makes maps."""
    found = [one for one in made if one.module is module]
    if len(found) != 1:
        times = f"{len(found)} times" if found else "not at all"
        raise ValueError(f"Layer {name!r} is called {times} in a pass, but Grad-CAM needs one call.")
    if len(found[0].y.shape) < 3:
        raise ValueError(f"Layer {name!r} makes no maps: its output has shape {found[0].y.shape[1:]}.")
    return found[0]


def _resized(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Maps (N, H, W) or (N, L) in the size of the images or signals."""
    rows, columns = (1, *size)[-2:]
    images = maps.reshape(len(maps), 1, *(1, *maps.shape[1:])[-2:])
    return interpolate(images, (rows, columns), mode="bilinear").reshape(len(maps), *size)
