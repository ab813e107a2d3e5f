"""Finding the source of the first non-finite value."""

import numpy as np

from fastcnn import backends
from fastcnn._inputs import listed
from fastcnn.nn import Module, calls
from fastcnn.training.generators import unchanged


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


class _Found(Exception):
    """Stops the forward pass; its text names a layer."""


def _described(name: str, module: Module) -> str:
    short = f"{type(module).__name__}(...)" if next(module.children(), None) else repr(module)
    return f"Layer {name} ({short})" if name else f"The model, {short},"
