"""Callbacks: early stopping, best weights, weight averaging and gradient clipping."""

import copy
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from fastcnn import _validate, optim
from fastcnn._names import choices_for
from fastcnn.training import state_tree
from fastcnn.training.metric import Metric
from fastcnn.training.weights import save_weights


class Callback:
    """Base class of callbacks: a `Trainer` calls the methods while it trains. By default they do nothing.

    The methods read the trainer's attributes: ``model``, ``optimizer``, ``scheduler``, ``history``, ``progress`` (the
    current epoch, None between epochs), ``task``, ``loader``, ``validation``, ``evaluation`` (the last one) and
    ``rank``. ``trainer.stop(reason)`` ends the run after the current batch or epoch, in all processes.

    Attributes
    ----------
    runs_last : bool
        Whether it is called after all other callbacks, regardless of its position in the list.
    first_rank_only : bool
        Whether only rank 0 calls it in distributed training: for callbacks that only write files or print.

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
        """Called before the first batch."""

    def on_backward_end(self, trainer) -> None:
        """Called after the backward pass of a batch, before the optimizer's step."""

    def on_batch_end(self, trainer) -> None:
        """Called after the steps of the optimizer and the schedule."""

    def evaluating(self, trainer) -> AbstractContextManager:
        """Return a context manager that is active while the model is evaluated after an epoch."""
        return nullcontext()

    def on_evaluation_end(self, trainer) -> None:
        """Called after the evaluation, while the evaluated weights are in the model; the history has the epoch."""

    def on_epoch_end(self, trainer) -> None:
        """Called after an epoch, including its evaluation and the schedule's step."""

    def on_fit_end(self, trainer) -> None:
        """Called after the last epoch or after a stop, but not after an exception."""

    def on_exit(self, trainer) -> None:
        """Called when `Trainer.fit` ends, also by an exception: undo changes outside the trainer here."""

    def state_dict(self) -> dict:
        """Return the state to save in checkpoints: numbers, strings, None and arrays, in dictionaries and lists."""
        return {}

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """Restore a state that `state_dict` returned.

        Raises
        ------
        ValueError
            If the state does not fit; nothing is changed then.
        """
        state_tree.check(self.state_dict(), state, type(self).__name__)


class EarlyStopping(Callback):
    """Stop when a metric has not improved for some epochs.

    Parameters
    ----------
    patience : int
        Number of epochs without improvement after which training stops, at least 1.
    monitor : str, optional
        A metric of the epoch's record, such as "validation_accuracy" or "train_loss"; the task defines whether higher
        or lower is better. By default the metric that the task's ``best`` names, usually the loss: on the validation
        data if there are any, else on the training data.
    min_delta : float, default 0
        A change counts as an improvement only if it is larger than this.

    Attributes
    ----------
    best : float or None
        Best value so far.
    waited : int
        Epochs since the best value. If no patience is left when `Trainer.fit` begins, it stops at once.

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
        """Check that the metric will be measured; stop if no patience is left."""
        _monitored(self, trainer)
        self._stop_if_impatient(trainer)

    def on_epoch_end(self, trainer) -> None:
        """Compare the metric with the best value so far; stop if the patience is used up."""
        name, kind = _monitored(self, trainer)
        value = trainer.history.epochs[-1].metrics[name]
        if kind.improves(value, self.best, self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        self._stop_if_impatient(trainer)

    def state_dict(self) -> dict:
        """Return the best value and the epochs since then."""
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
    """Keep the weights of the best epoch, and load them into the model at the end.

    The optimizer's buffers of that epoch, such as momentum, are restored too, so that another `Trainer.fit` continues
    from there. The optimizer's settings, the schedule, the history and a `WeightAverage` stay as after the last epoch.

    Parameters
    ----------
    monitor : str, optional
        A metric of the epoch's record, such as "validation_accuracy" or "train_loss"; the task defines whether higher
        or lower is better. Of epochs with equal values the first one is kept. By default the metric that the task's
        ``best`` names, usually the loss: on the validation data if there are any, else on the training data.
    path : path, optional
        File to which the weights are written after each improvement; see `fastcnn.training.save_weights`.

    Attributes
    ----------
    best : float or None
        Best value so far.
    weights : dict of str to ndarray
        The model's ``state_dict`` as evaluated, averaged if there is a `WeightAverage`; empty before the first epoch.
    buffers : dict of str to list
        The optimizer's buffers after that epoch; see `fastcnn.optim.Optimizer.buffers`.

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
        """Check that the metric will be measured."""
        _monitored(self, trainer)

    def on_evaluation_end(self, trainer) -> None:
        """Copy the weights and the optimizer's buffers if this epoch is the best so far."""
        name, kind = _monitored(self, trainer)
        value = trainer.history.epochs[-1].metrics[name]
        if kind.improves(value, self.best):
            self.best, self.weights, self.buffers = value, trainer.model.state_dict(), trainer.optimizer.buffers()
            if self.path is not None and trainer.rank == 0:
                save_weights(trainer.model, self.path)

    def on_fit_end(self, trainer) -> None:
        """Load the best weights into the model, and the buffers of that epoch into the optimizer."""
        if self.weights:
            trainer.optimizer.load_buffers(self.buffers)
            trainer.model.load_state_dict(self.weights)  # last, as it needs no memory

    def state_dict(self) -> dict:
        """Return the best value, its weights and the optimizer's buffers."""
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
        self.weights, self.buffers = copy.deepcopy((state["weights"], state["buffers"]))
        self.best = state["best"]

    def __repr__(self) -> str:
        return f"BestWeights(monitor={self.monitor!r})"


class WeightAverage(Callback):
    """Average the weights over the batches, and evaluate with the average.

    Training continues with the model's own weights, and the model has these at the end. ``with ema.applied():`` puts
    the average into the model, and a `BestWeights` keeps the best averaged weights.

    Parameters
    ----------
    ema : fastcnn.optim.ExponentialMovingAverage
        Moving average of the model's parameters.

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
        """Update the average with the new weights."""
        self.ema.update()

    def evaluating(self, trainer) -> AbstractContextManager:
        """Return a context manager that replaces the weights by their average."""
        return self.ema.applied()

    def state_dict(self) -> dict:
        """Return the state of the average."""
        return self.ema.state_dict()

    def load_state_dict(self, state: Mapping, trainer) -> None:
        """See `Callback.load_state_dict`."""
        super().load_state_dict(state, trainer)
        self.ema.load_state_dict(state)


class ClipGradients(Callback):
    """Clip the norm of each batch's gradients; see `fastcnn.optim.clip_grad_norm`.

    Parameters
    ----------
    max_norm : float
        Maximum norm of all gradients together, at least 0.

    Raises
    ------
    TypeError, ValueError
        If `max_norm` is out of range.
    """

    def __init__(self, max_norm: float):
        self.max_norm = _validate.number("max_norm", max_norm, 0, math.inf)

    def on_backward_end(self, trainer) -> None:
        """Clip the gradients."""
        optim.clip_grad_norm(trainer.optimizer.params, self.max_norm)


def _checked(monitor: str | None) -> str | None:
    """Check the name of a metric as far as possible without the task."""
    if monitor is not None and not (isinstance(monitor, str) and monitor.startswith(("train_", "validation_"))):
        raise ValueError(f"`monitor` is {monitor!r} but must begin with 'train_' or 'validation_', like 'train_loss'.")
    return monitor


def _monitored(callback, trainer) -> tuple[str, Metric]:
    """Return the monitored metric: its name in an epoch's record, and its description."""
    name, whose = callback.monitor or trainer.monitored, f"`monitor` of {callback!r}"
    part, _, metric = name.partition("_")
    if part == "validation" and trainer.validation is None:
        raise ValueError(
            f"{whose} needs validation data, but `fit` got no `validation`; pass it, or monitor 'train_{metric}'."
        )
    for kind in trainer.task.kinds:
        if kind.name == metric:
            return name, kind
    known = choices_for(name, [f"{part}_{kind.name}" for kind in trainer.task.kinds], repr)
    raise ValueError(f"{whose} must be one of {known}: the task is {trainer.task!r}.")
