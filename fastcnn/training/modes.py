"""The modes of a model's modules, training or evaluation, which belong to the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.nn import Module

Modes = list[tuple[Module, bool]]  # each module, and whether it is to be in training mode


def for_training(model: Module) -> Modes:
    """The modes to train a model in: its own, or training mode for all modules where none is in it."""
    own = [(module, module.training) for module in model.modules()]
    return own if any(training for _, training in own) else [(module, True) for module, _ in own]


def for_evaluation(model: Module) -> Modes:
    """Evaluation mode for all modules."""
    return [(module, False) for module in model.modules()]


def put_into(modes: Modes) -> None:
    """Let each module have its mode."""
    for module, training in modes:
        module.training = training


@contextmanager
def held(modes: Modes) -> Iterator[None]:
    """Each module has its mode within this, and afterwards the one that it had before."""
    before = [(module, module.training) for module, _ in modes]
    put_into(modes)
    try:
        yield
    finally:
        put_into(before)
