"""Where the first value that is not finite came from."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.nn import Module
from fastcnn.training.generators import named_generators, named_modules


def explain(model: Module, images: np.ndarray) -> str:
    """Say in a sentence what first holds a value that is not finite: the images, a parameter or a layer's output.

    The images go through the model once more, layer by layer. Afterwards its buffers and its generators are what they
    were.

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
        with _unchanged(model), _watched(model), np.errstate(all="ignore"):
            _LayerByLayer(model)(images)
    except _Found as found:
        return f"{found} gave the first value that is not finite."
    return "The outputs of all layers are finite; the loss itself is not."


class _Found(Exception):
    """Its text names a layer."""


class _LayerByLayer(Module):
    """A model whose layers are really called, where the model itself would launch their recorded kernels."""

    def __init__(self, model: Module):
        self.model = model

    def forward_native(self, x, backend):
        """The model's."""
        return self.model.forward_native(x, backend)


@contextmanager
def _watched(model: Module) -> Iterator[None]:
    """Let every module that gives a value that is not finite raise `_Found`."""
    names = {module: name for name, module in named_modules(model)}
    watched = dict(zip(names, names, strict=True))
    for module in names:
        for unit in getattr(module, "units", ()):
            # a fused unit computes in the place of its first layer, and ReLU and pooling make nothing infinite
            watched.setdefault(unit, next(unit.children(), unit))
    for unit, layer in watched.items():
        # not setattr: for the recordings of a model nothing has changed
        vars(unit)["forward_native"] = _watching(unit, _described(names[layer], layer))
    try:
        yield
    finally:
        for unit in watched:
            del vars(unit)["forward_native"]


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


@contextmanager
def _unchanged(model: Module) -> Iterator[None]:
    """Put the model's buffers and generators back."""
    buffers = [(buffer, buffer.data.copy()) for _, buffer in model.named_buffers()]
    generators = [(rng.bit_generator, rng.bit_generator.state) for _, rng in named_generators(model)]
    try:
        yield
    finally:
        for buffer, values in buffers:
            buffer.data[...] = values
        for generator, state in generators:
            generator.state = state
