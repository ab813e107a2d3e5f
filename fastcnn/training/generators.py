"""Random generators of a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn._names import dotted
from fastcnn.nn import Module


def named_generators(model: Module) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield dotted names and generators of modules such as `Dropout`; a shared generator is repeated."""
    for name, module in model.named_modules(remove_duplicate=False):
        for attribute, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                yield dotted(name, attribute), value


@contextmanager
def unchanged(model: Module) -> Iterator[None]:
    """Restore the model's buffers and generators on exit."""
    buffers = [(buffer, buffer.data.copy()) for _, buffer in model.named_buffers()]
    generators = [(rng.bit_generator, rng.bit_generator.state) for _, rng in named_generators(model)]
    try:
        yield
    finally:
        for buffer, values in buffers:
            buffer.data[...] = values
        for generator, state in generators:
            generator.state = state
