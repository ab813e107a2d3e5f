"""Training and evaluation modes of a model's modules, which the user may have set one by one."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.nn import Module

Modes = list[tuple[Module, bool]]  # each module, and whether it is to be in training mode


def for_training(model: Module) -> Modes:
    """Modes for training: the current ones, or training mode for all modules if none is in training mode."""
    own = [(module, module.training) for module in model.modules()]
    return own if any(training for _, training in own) else [(module, True) for module, _ in own]


def for_evaluation(model: Module) -> Modes:
    """Evaluation mode for all modules."""
    return [(module, False) for module in model.modules()]


def put_into(modes: Modes) -> None:
    """Set the mode of each module."""
    for module, training in modes:
        module.training = training


@contextmanager
def held(modes: Modes) -> Iterator[None]:
    """Set the mode of each module, and restore the previous modes on exit."""
    before = [(module, module.training) for module, _ in modes]
    put_into(modes)
    try:
        yield
    finally:
        put_into(before)
