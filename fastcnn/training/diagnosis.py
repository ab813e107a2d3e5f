"""Finding the source of the first non-finite value, and finding out that a network has learned nothing."""

from collections.abc import Sequence

import numpy as np

from fastcnn import backends
from fastcnn._inputs import listed
from fastcnn.nn import Module, calls
from fastcnn.training.generators import unchanged
from fastcnn.training.history import Epoch

CHANCE = 4  # standard errors by which guessing may exceed its expected accuracy


def explain(model: Module, images) -> str:
    """Return a sentence that names the first non-finite value: in the images, a parameter or a layer's output.

    The model runs on the images once more, layer by layer. Its buffers and generators are restored afterwards, but a
    backward pass for the batch is no longer possible.

    Parameters
    ----------
    model : Module
    images : ndarray, or tuple of ndarray where the model takes several
        A batch with a non-finite loss.
    """
    bad = [n for array in listed(images) for n, image in enumerate(array) if not np.isfinite(image).all()]
    if bad:
        return f"The images hold values that are not finite, first in image {bad[0]} of the batch."
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            return f"The parameter `{name}` holds values that are not finite."
    names = {module: name for name, module in model.named_modules()}

    def look(layer, x, forward):
        y = forward()
        if not np.isfinite(backend.unpack(y)).all():
            raise _Found(_described(names[layer], layer))
        return y

    backend = backends.load()
    try:
        with unchanged(model), calls.observed(look), calls.forgetting(), np.errstate(all="ignore"):
            model(images)
    except _Found as found:
        return f"{found} gave the first value that is not finite."
    return "The outputs of all layers are finite; the loss itself is not."


def only_guesses(epochs: Sequence[Epoch], labels: np.ndarray, label_smoothing: float = 0.0) -> bool:
    """Whether a classifier has learned nothing: whether always giving the frequencies of the classes is as good.

    It has learned something if in any epoch its training accuracy was better than that of always choosing the most
    frequent class, by more than chance explains, or if its training loss is lower now than that of the frequencies.
    One epoch is too short to tell.

    Parameters
    ----------
    epochs : sequence of Epoch
        All epochs of the run.
    labels : ndarray of int
        The labels of the training images.
    label_smoothing : float
        That of the loss.
    """
    shares = np.bincount(labels) / len(labels)
    guessed = shares.max()
    noise = CHANCE * np.sqrt(guessed * (1 - guessed) / len(labels))
    targets = (1 - label_smoothing) * shares + label_smoothing / len(shares)
    loss = -np.sum(targets * np.log(targets, where=targets > 0, out=np.zeros_like(targets)))
    never_better = all(epoch.train_accuracy <= guessed + noise for epoch in epochs)
    no_lower = epochs[-1].train_loss > 0.999 * loss  # 0.999 for the noise of an epoch's mean
    return bool(len(epochs) > 1 and never_better and no_lower)


class _Found(Exception):
    """Stops the forward pass; its text names a layer."""


def _described(name: str, module: Module) -> str:
    short = f"{type(module).__name__}(...)" if next(module.children(), None) else repr(module)
    return f"Layer {name} ({short})" if name else f"The model, {short},"
