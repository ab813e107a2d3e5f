"""The random generators in a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn.nn import Module


def named_generators(model: Module) -> Iterator[tuple[str, np.random.Generator]]:
    """Dotted names and generators that modules draw from, as `Dropout`; one that several share comes several times."""
    for name, module in model.named_modules(remove_duplicate=False):
        for attribute, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                yield (f"{name}.{attribute}" if name else attribute), value


@contextmanager
def unchanged(model: Module) -> Iterator[None]:
    """A model's buffers and generators are after this what they were before."""
    buffers = [(buffer, buffer.data.copy()) for _, buffer in model.named_buffers()]
    generators = [(rng.bit_generator, rng.bit_generator.state) for _, rng in named_generators(model)]
    try:
        yield
    finally:
        for buffer, values in buffers:
            buffer.data[...] = values
        for generator, state in generators:
            generator.state = state
