"""What a training run does besides training: stop early, keep the best weights, average them, clip gradients."""

import copy
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from fastcnn import _validate, optim
from fastcnn.training import state_tree
from fastcnn.training.metric import Metric
from fastcnn.training.weights import save_weights


class Callback:
    """Something that a `Trainer` calls while it trains; each method does nothing unless a subclass defines it.

    All find what they need in the trainer: ``model``, ``optimizer``, ``scheduler``, ``history``, ``progress`` (the
    epoch so far, None between epochs), ``task``, ``loader``, ``validation``, ``evaluation`` (the last one) and
    ``rank``. ``trainer.stop(reason)`` ends the run after the batch or epoch that was just trained, in all processes.

    Attributes
    ----------
    runs_last : bool
        Whether it is called after all others, wherever it stands among them.
    first_rank_only : bool
        Whether the first process alone calls it where several train together: if all it does is to write or to print.

    Examples
    --------
    >>> from fastcnn import training
    >>> class StopAfter(training.Callback):
    ...     def __init__(self, batches):
    ...         self.batches = batches
    ...
    ...     def on_batch_end(self, trainer):
    ...         if len(trainer.history.step_losses) >= self.batches:
    ...             trainer.stop(f"{self.batches} batches are enough")
    """

    runs_last = False
    first_rank_only = False

    def on_fit_start(self, trainer) -> None:
        """Before the first batch."""

    def on_backward_end(self, trainer) -> None:
        """When the gradients of a batch are there, before the step of the optimizer."""

    def on_batch_end(self, trainer) -> None:
        """After the step of the optimizer and of the schedule."""

    def evaluating(self, trainer) -> AbstractContextManager:
        """What holds while the model is evaluated after an epoch."""
        return nullcontext()

    def on_evaluation_end(self, trainer) -> None:
        """After the evaluation, with the weights that were evaluated; the epoch's record is in the history."""

    def on_epoch_end(self, trainer) -> None:
        """After an epoch with all that belongs to it."""

    def on_fit_end(self, trainer) -> None:
        """After the last epoch, or after a stop, but not after an exception."""

    def on_exit(self, trainer) -> None:
        """When `Trainer.fit` is left, in whatever way: to put back what was changed outside of the trainer."""

    def state_dict(self) -> dict:
        """What a checkpoint must hold of it: numbers, texts, None and arrays, in dictionaries and lists."""
        return {}

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """Go on from a state.

        Raises
        ------
        ValueError
            If it is the state of something else; nothing has changed.
        """
        state_tree.check(self.state_dict(), state, type(self).__name__)


class EarlyStopping(Callback):
    """Stop when a number has not improved for some epochs.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which to stop, at least 1.
    monitor : str, optional
        A number of the epoch's record, as "validation_accuracy" or "train_loss"; its task knows whether it improves
        upwards or downwards. By default what the task calls the best, of the validation or, where there is none, of the
        training: "validation_loss" or "train_loss".
    min_delta : float, default 0
        What is not more than this is no improvement.

    Attributes
    ----------
    best : float or None
        The best so far.
    waited : int
        Epochs since then. A `Trainer.fit` that begins with no patience left stops at once.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from fastcnn import training
    >>> training.EarlyStopping(patience=5, monitor="validation_accuracy")
    EarlyStopping(patience=5, monitor='validation_accuracy', min_delta=0.0)
    """

    def __init__(self, patience: int, monitor: str | None = None, min_delta: float = 0.0):
        self.patience = _validate.count("patience", patience)
        self.monitor = _checked(monitor)
        self.min_delta = _validate.number("min_delta", min_delta, 0, math.inf, below_high=True)
        self.best: float | None = None
        self.waited = 0

    def on_fit_start(self, trainer) -> None:
        """See that there will be such a number; stop if the patience ended before."""
        _monitored(self, trainer)
        self._stop_if_impatient(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Count."""
        name, kind = _monitored(self, trainer)
        value = trainer.history.epochs[-1].metrics[name]
        if _improves(kind, value, self.best, self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        self._stop_if_impatient(trainer)

    def state_dict(self) -> dict:
        """The best number and the epochs since."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """See `Callback.load_state_dict`."""
        super().load_state_dict(state, trainer)
        self.best, self.waited = state["best"], state["waited"]

    def _stop_if_impatient(self, trainer) -> None:
        if self.waited >= self.patience:
            trainer.stop(f"{self.monitor or trainer.monitored} has not improved for {self.waited} epochs")

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, monitor={self.monitor!r}, min_delta={self.min_delta})"


class BestWeights(Callback):
    """Keep the weights of the best epoch, and give them back to the model at the end.

    The optimizer, too, has then what it remembered after that epoch, as momentum: another `Trainer.fit` goes on from
    there. Its settings, the schedule, the history and a `WeightAverage` go on from the last epoch.

    Parameters
    ----------
    monitor : str, optional
        A number of the epoch's record, as "validation_accuracy" or "train_loss"; its task knows whether it improves
        upwards or downwards, and of equals the first epoch counts. By default what the task calls the best, of the
        validation or, where there is none, of the training: "validation_loss" or "train_loss".
    path : path, optional
        Where to write them, too, whenever they are better; see `fastcnn.training.save_weights`.

    Attributes
    ----------
    best : float or None
        The best so far.
    weights : dict of str to ndarray
        The model's ``state_dict`` as it was evaluated, averaged by a `WeightAverage` too; empty before the first epoch.
    buffers : dict of str to list
        The optimizer's after that epoch, see `fastcnn.optim.Optimizer.buffers`.

    Raises
    ------
    ValueError
        If `monitor` is unknown.

    Examples
    --------
    >>> from fastcnn import training
    >>> training.BestWeights("train_loss")
    BestWeights(monitor='train_loss')
    """

    def __init__(self, monitor: str | None = None, path: str | os.PathLike | None = None):
        self.monitor = _checked(monitor)
        self.path = path
        self.best: float | None = None
        self.weights: dict[str, np.ndarray] = {}
        self.buffers: dict[str, list] = {}

    def on_fit_start(self, trainer) -> None:
        """See that there will be such a number."""
        _monitored(self, trainer)

    def on_evaluation_end(self, trainer) -> None:
        """Copy the weights if they are better, and what the optimizer remembers."""
        name, kind = _monitored(self, trainer)
        value = trainer.history.epochs[-1].metrics[name]
        if _improves(kind, value, self.best):
            self.best, self.weights, self.buffers = value, trainer.model.state_dict(), trainer.optimizer.buffers()
            if self.path is not None and trainer.rank == 0:
                save_weights(trainer.model, self.path)

    def on_fit_end(self, trainer) -> None:
        """Give the model its best weights, and the optimizer what it remembered with them."""
        if self.weights:
            trainer.model.load_state_dict(self.weights)
            trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | self.buffers)

    def state_dict(self) -> dict:
        """The best number, its weights and the optimizer's buffers."""
        return {"best": self.best, "weights": self.weights, "buffers": self.buffers}

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """See `Callback.load_state_dict`."""
        known = bool(state.get("weights"))
        fitting = {
            "best": self.best,
            "weights": trainer.model.state_dict() if known else {},
            "buffers": trainer.optimizer.buffers() if known else {},
        }
        state_tree.check(fitting, state, type(self).__name__)
        self.best = state["best"]
        self.weights, self.buffers = copy.deepcopy((state["weights"], state["buffers"]))

    def __repr__(self) -> str:
        return f"BestWeights(monitor={self.monitor!r})"


class WeightAverage(Callback):
    """Average the weights over the batches, and evaluate with the average.

    The model trains on with its own weights and has them at the end, too: ``with ema.applied():`` is for using the
    average, and a `BestWeights` keeps the best of the averages.

    Parameters
    ----------
    ema : fastcnn.optim.ExponentialMovingAverage
        Of the model's parameters.

    Examples
    --------
    >>> from fastcnn import nn, optim, training
    >>> model = nn.Linear(2, 2)
    >>> average = optim.ExponentialMovingAverage(model, decay=0.99)
    >>> trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss(),
    ...                            callbacks=[training.WeightAverage(average), training.BestWeights()])
    """

    def __init__(self, ema: optim.ExponentialMovingAverage):
        self.ema = ema

    def on_batch_end(self, trainer) -> None:
        """Take the new weights into the average."""
        self.ema.update()

    def evaluating(self, trainer) -> AbstractContextManager:
        """Put the average in the place of the weights."""
        return self.ema.applied()

    def state_dict(self) -> dict:
        """The average."""
        return self.ema.state_dict()

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """See `Callback.load_state_dict`."""
        super().load_state_dict(state, trainer)
        self.ema.load_state_dict(state)


class ClipGradients(Callback):
    """Make the gradients of each batch smaller where their norm is too large; see `fastcnn.optim.clip_grad_norm`.

    Parameters
    ----------
    max_norm : float
        Of all gradients together, at least 0.

    Raises
    ------
    TypeError, ValueError
        If `max_norm` is out of range.
    """

    def __init__(self, max_norm: float):
        self.max_norm = _validate.number("max_norm", max_norm, 0, math.inf)

    def on_backward_end(self, trainer) -> None:
        """Clip."""
        optim.clip_grad_norm(trainer.optimizer.params, self.max_norm)


def _checked(monitor: str | None) -> str | None:
    """The name of a number of a record, as far as that can be said without its task."""
    if monitor is not None and not (isinstance(monitor, str) and monitor.startswith(("train_", "validation_"))):
        raise ValueError(f"`monitor` is {monitor!r} but must begin with 'train_' or 'validation_', as 'train_loss'.")
    return monitor


def _monitored(callback, trainer) -> tuple[str, Metric]:
    """What a callback monitors: the number's name in an epoch's record, and its kind."""
    name, whose = callback.monitor or trainer.monitored, f"`monitor` of {callback!r}"
    part, _, metric = name.partition("_")
    if part == "validation" and trainer.validation is None:
        raise ValueError(
            f"{whose} needs `validation`, which `fit` was not given; monitor 'train_{metric}', or give it."
        )
    for kind in trainer.task.kinds:
        if kind.name == metric:
            return name, kind
    known = ", ".join(f"'{part}_{kind.name}'" for kind in trainer.task.kinds)
    raise ValueError(f"{whose} must be one of {known}: the task is {trainer.task!r}.")


def _improves(kind: Metric, value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """Whether ``value`` is better than ``best``; NaN never is."""
    return value == value if best is None else kind.gain(value, best) > min_delta
