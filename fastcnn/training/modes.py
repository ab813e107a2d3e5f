"""The modes of a model's modules, training or evaluation, which belong to the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.nn import Module

Modes = list[tuple[Module, bool]]  # each module, and whether it is in training mode


def modes(model: Module) -> Modes:
    """Those of all modules."""
    return [(module, module.training) for module in model.modules()]


def put_back(known: Modes) -> None:
    """Let modules have the modes again that they had."""
    for module, training in known:
        module.training = training


def for_training(model: Module) -> Modes:
    """The modes to train a model in: its own, or training mode for all modules where none is in it."""
    own = modes(model)
    return own if any(training for _, training in own) else [(module, True) for module, _ in own]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """All modules are in evaluation mode within this, and each in its own afterwards."""
    own = modes(model)
    model.eval()
    try:
        yield
    finally:
        put_back(own)
