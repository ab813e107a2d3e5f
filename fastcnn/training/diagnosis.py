"""Where the first value that is not finite came from."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.nn import Module, calls
from fastcnn.training.generators import named_modules, unchanged


def explain(model: Module, images: np.ndarray) -> str:
    """Say in a sentence what first holds a value that is not finite: the images, a parameter or a layer's output.

    The images go through the model once more, layer by layer. Afterwards its buffers and its generators are what they
    were; a gradient of the batch there is none any more.

    Parameters
    ----------
    model : Module
    images : ndarray
        A batch whose loss was not finite.
    """
    bad = [n for n, image in enumerate(images) if not np.isfinite(image).all()]
    if bad:
        return f"The images hold values that are not finite, first image {bad[0]} of the batch."
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            return f"The parameter `{name}` holds values that are not finite."
    try:
        with unchanged(model), _watched(model), calls.forgetting(), np.errstate(all="ignore"):
            model(images)
    except _Found as found:
        return f"{found} gave the first value that is not finite."
    return "The outputs of all layers are finite; the loss itself is not."


class _Found(Exception):
    """Its text names a layer."""


@contextmanager
def _watched(model: Module) -> Iterator[None]:
    """Let every module that gives a value that is not finite raise `_Found`.

    Layers whose method is replaced are called one by one, neither fused nor recorded.
    """
    modules = {module: name for name, module in reversed(list(named_modules(model)))}
    for module, name in modules.items():
        module.forward_native = _watching(module, _described(name, module))  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in modules:
            del module.forward_native


def _watching(module: Module, description: str):
    """The module's ``forward_native``, which looks at what it gives."""
    forward_native = module.forward_native

    def watched(x, backend):
        y = forward_native(x, backend)
        if not np.isfinite(backend.unpack(y)).all():
            raise _Found(description)
        return y

    return watched


def _described(name: str, module: Module) -> str:
    short = f"{type(module).__name__}(...)" if next(module.children(), None) else repr(module)
    return f"Layer {name} ({short})" if name else f"The model, {short},"
