"""Complete state of a training run: captured from a trainer, or restored into one."""

from collections.abc import Iterable, Iterator

import numpy as np

from fastcnn.training import state_tree
from fastcnn.training.generators import named_generators
from fastcnn.training.history import History
from fastcnn.training.older_states import as_now
from fastcnn.training.progress import Progress

_FIXED = ("model", "generators", "optimizer", "scheduler", "task")  # their structure never changes during a run


def capture(trainer, loader) -> dict:
    """Return the state of a run between two batches, as a tree of `fastcnn.training.state_tree`."""
    resumption = trainer.resumption
    progress = resumption.progress if resumption else trainer.progress
    return {
        "model": trainer.model.state_dict(),
        "generators": resumption.generators if resumption else generator_states(trainer.model),
        "optimizer": _named(trainer.optimizer),
        "scheduler": trainer.scheduler and _named(trainer.scheduler),
        "callbacks": [_named(callback) for callback in _stateful(trainer)],
        "loader": loader.state_dict(),
        "history": {**trainer.history.to_dict(), "step_losses": np.array(trainer.history.step_losses, np.float64)},
        "progress": progress and progress.state_dict(),
        "task": repr(trainer.task),  # with all its settings
    }


def apply(state: dict, trainer, loader) -> None:
    """Restore a state into a run, either all of it or nothing.

    Raises
    ------
    ValueError
        If the state does not fit. The message lists what does not fit, and nothing is changed.
    """
    before = capture(trainer, loader) | {"generators": generator_states(trainer.model)}
    state = as_now(state, before)
    state_tree.check({part: before[part] for part in _FIXED}, {part: state.get(part) for part in _FIXED}, "")
    if state.keys() != before.keys():
        raise ValueError(f"The state has {', '.join(state)} but must have {', '.join(before)}.")
    history = history_of(state)
    progress = None if state["progress"] is None else Progress.from_state(trainer.task, state["progress"])
    resumption = Resumption(progress, trainer.model, state["generators"]) if progress else None
    here, there = _classes(before["callbacks"]), _classes(state["callbacks"])
    if here != there:
        raise ValueError(f"The callbacks with a state are {there} in the saved state but {here} in the trainer.")
    try:
        _load(state, trainer)
        loader.load_state_dict(state["loader"])
    except BaseException:
        _load(before, trainer)
        raise
    trainer.history, trainer.progress, trainer.resumption = history, None, resumption


def history_of(state: dict) -> History:
    """Return the history of a state.

    The losses of the batches are an array, because writing millions of numbers as text would take seconds. Earlier
    versions saved a list.
    """
    record = state["history"]
    match record:
        case {"step_losses": np.ndarray() as losses}:
            record = {**record, "step_losses": losses.tolist()}
    return History.from_dict(record)


class Resumption:
    """An unfinished epoch to be continued.

    Parameters
    ----------
    progress : Progress
    model : Module
    generators : dict
        States of the model's generators when the state was saved.
    """

    def __init__(self, progress: Progress, model, generators: dict):
        self.progress, self.generators, self._model = progress, generators, model

    def batches(self, loader: Iterable) -> Iterator:
        """Yield the remaining batches.

        The loader draws the order of the epoch once more, possibly from a generator that it shares with the model. So
        the states of the model's generators are restored after that.
        """
        batches = iter(loader)
        first = next(batches, None)
        load_generators(self._model, self.generators)
        if first is not None:
            yield first
            yield from batches


def _load(state: dict, trainer) -> None:
    """Restore everything except the loader and the trainer's own attributes."""
    for callback, part in zip(_stateful(trainer), state["callbacks"], strict=True):
        callback.load_state_dict(part["state"], trainer)
    trainer.optimizer.load_state_dict(state["optimizer"]["state"])
    if trainer.scheduler:
        trainer.scheduler.load_state_dict(state["scheduler"]["state"])
    trainer.model.load_state_dict(state["model"])
    load_generators(trainer.model, state["generators"])


def generator_states(model) -> dict:
    """States of the modules' generators, by name."""
    return {name: rng.bit_generator.state for name, rng in named_generators(model)}


def load_generators(model, states: dict) -> None:
    """Set the states of the modules' generators."""
    for name, rng in named_generators(model):
        rng.bit_generator.state = states[name]


def _stateful(trainer) -> list:
    return [callback for callback in trainer.callbacks if callback.state_dict()]


def _classes(callbacks) -> list[str]:
    fields = {"class": str, "state": dict}
    if not isinstance(callbacks, list) or not all(
        isinstance(part, dict) and {key: type(value) for key, value in part.items()} == fields for part in callbacks
    ):
        raise ValueError(f"`callbacks` must be a list of dicts with class and state, not {callbacks!r:.100}.")
    return [part["class"] for part in callbacks]


def _named(part) -> dict:
    return {"class": type(part).__name__, "state": part.state_dict()}
