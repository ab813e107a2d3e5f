"""Checks of a run's data before the first batch, so that errors do not appear only after the first epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn import use_backend
from fastcnn.data import DataLoader
from fastcnn.nn import Module
from fastcnn.optim import Optimizer, Schedule
from fastcnn.training.batches import BATCH_SIZE, as_pair, checked_pair, rows
from fastcnn.training.evaluation import check_pair, loss_for, outputs_of
from fastcnn.training.generators import unchanged
from fastcnn.training.modes import for_training, held
from fastcnn.training.strategy import Strategy
from fastcnn.training.tasks import Classification, Task


def check(model: Module, loss, train, validation, strategy: Strategy, task: Task | None = None) -> None:
    """Raise now what training and evaluation would raise later; the model is left unchanged.

    The model is evaluated on one or two images. If the smallest batch has a single image, the model also runs on one
    image in training mode: batch normalization cannot train on a single value per channel. The task checks all targets
    that are in memory.

    Parameters
    ----------
    model : Module
    loss : callable
    train : iterable
        The batches of an epoch. Only a `DataLoader` is checked: all labels if it knows them, else the first two.
    validation : (images, labels), iterable of such batches, or None
        A pair of arrays, or batches.
    strategy : Strategy
        Defines the part of each batch and of the validation data that this process gets.
    task : Task, optional
        By default `Classification`.

    Raises
    ------
    TypeError, ValueError
        If there is no batch, or images and targets do not fit the model, the loss, the task or each other.
    """
    if hasattr(train, "__len__") and len(train) == 0:
        raise ValueError(f"`train` gives no batch{_why_none(train)}.")
    task, loss, output = task or Classification(), loss_for(task or Classification(), loss), None
    with use_backend("numpy"), np.errstate(all="ignore"):  # no compilation; training itself reports NaN
        if validation is not None:
            with _named("`validation` cannot be evaluated"):
                output = _check_validation(model, loss, validation, strategy, task)
        if isinstance(train, DataLoader):
            with _named("`train` cannot be trained on"):
                targets = _targets(train)
                task.check_targets(targets)
                output = _shown(model, train.sample(2)[0]) if output is None else output
                task.check(output, targets, loss)
                if strategy.smallest_batch(train, model) == 1:
                    _check_one_image(model, train)


def check_parts(model: Module, optimizer: Optimizer, loss) -> None:
    """Raise a TypeError if one of these is something else, as when two are exchanged."""
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {_what(model)}.")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"`optimizer` must be an Optimizer, not {_what(optimizer)}.")
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"`loss` must be a loss such as nn.CrossEntropyLoss(), not {_what(loss)}.")


def _what(thing) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def check_optimizer(model: Module, optimizer: Optimizer, loss, scheduler: Schedule | None) -> None:
    """Raise if the optimizer's parameters are not the model's, or the schedule is for another optimizer.

    Raises
    ------
    ValueError
        For example, if a layer was replaced after the optimizer was created. The optimizer may leave parameters out,
        and may also train those of the loss.
    """
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("`scheduler` must set the learning rates of `optimizer`, not those of another optimizer.")
    trained = set(optimizer.params)
    own = dict(model.named_parameters())
    known = {*own.values(), *(loss.parameters() if hasattr(loss, "parameters") else ())}
    left_out = [name for name, held in own.items() if held.requires_grad and held not in trained]
    if left_out and not trained <= known:
        raise ValueError(
            f"`optimizer` has parameters that are not the model's, and leaves out {_few(left_out)}: create it from "
            "the model's parameters after replacing layers."
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _check_validation(model: Module, loss, validation, strategy: Strategy, task: Task) -> np.ndarray | None:
    """Raise if the data do not fit; return the model's output for one or two images, if they are in memory."""
    if pair := as_pair(validation):
        images, targets = pair
        check_pair(task, images, targets)
        own = strategy.evaluated(len(targets))
        last = own % BATCH_SIZE or min(own, BATCH_SIZE) or 1
        output = _shown(model, rows(images, slice(-min(last, 2), None)))
        task.check(output, targets, loss)
        return output
    if isinstance(validation, DataLoader):
        if len(validation) == 0:
            raise ValueError(f"it gives no batch{_why_none(validation)}.")
        if validation.shuffle or validation.augment:
            raise ValueError(
                f"its loader has {'`shuffle=True`' if validation.shuffle else '`augment`'}, but every epoch must be "
                "evaluated in the same way."
            )
        images, targets = validation.sample(min(validation.smallest(), 2))
        check_pair(task, images, targets)
        task.check_targets(_targets(validation))
        output = _shown(model, images)
        task.check(output, _targets(validation), loss)
        return output
    if isinstance(validation, tuple | list):
        if not validation:
            raise ValueError("it has no batch.")
        for number, batch in enumerate(validation, 1):
            images, targets = checked_pair(batch, number)
            check_pair(task, images, targets)
            output = _shown(model, rows(images, slice(2)))
            task.check(output, targets, loss)
        return output
    return None


def _targets(loader: DataLoader) -> np.ndarray:
    """All labels if they are known without reading each item, else those of the first two."""
    return loader.sample(2)[1] if loader.labels is None else loader.labels


def _shown(model: Module, images) -> np.ndarray:
    """Output of the model for images, in evaluation mode."""
    with unchanged(model):
        return outputs_of(model, images)


def _check_one_image(model: Module, train: DataLoader) -> None:
    """Raise if the model cannot train on a batch of one."""
    with unchanged(model), held(for_training(model)):
        try:
            model(train.sample(1)[0])
        except ValueError as error:
            raise ValueError(
                f"a batch, or a rank's part of it, has one image. {error} Choose another `batch_size`, or "
                "`drop_last=True` if it is the last batch."
            ) from error


def _why_none(train) -> str:
    """Explain why a loader gives no batch, as the end of a sentence."""
    if not isinstance(train, DataLoader):
        return ": its length is 0"
    if len(train.dataset) == 0:
        return ": it has no images"
    return f": `drop_last` drops the only one, as it has {len(train.dataset)} images, fewer than {train.batch_size}"


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Prefix the message of an error."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {error}") from error
