"""How good a model is."""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import numpy as np

from fastcnn import _validate
from fastcnn._inputs import listed
from fastcnn.nn import Module
from fastcnn.nn.losses import _Loss
from fastcnn.training.batches import BATCH_SIZE, as_pair, batches_of
from fastcnn.training.modes import for_evaluation, held
from fastcnn.training.tasks.choice import chosen
from fastcnn.training.tasks.evaluation import Evaluation
from fastcnn.training.tasks.task import Task


@overload
def evaluate(
    model: Module,
    images: Any,
    labels: np.ndarray | None = None,
    batch_size: int | None = None,
    loss: Callable[[np.ndarray, np.ndarray], float] | None = None,
    task: None = None,
) -> Evaluation: ...


@overload
def evaluate(
    model: Module,
    images: Any,
    labels: np.ndarray | None = None,
    batch_size: int | None = None,
    loss: Callable[[np.ndarray, np.ndarray], float] | None = None,
    *,
    task: Task,
) -> Any: ...


def evaluate(
    model: Module,
    images: Any,
    labels: np.ndarray | None = None,
    batch_size: int | None = None,
    loss: Callable[[np.ndarray, np.ndarray], float] | None = None,
    task: Task | None = None,
) -> Any:
    """Show all images to a model in evaluation mode, and say how good it is.

    Parameters
    ----------
    model : Module
        Each of its modules is afterwards in the mode, training or evaluation, that it was in.
    images : ndarray of shape (N, ...), float32 or float64, or iterable of (images, labels)
        Images of the form that the model takes, a tuple of arrays where it takes several inputs; or, without `labels`,
        batches with their targets, as `fastcnn.data.DataLoader`, of which one at a time is in memory.
    labels : ndarray of shape (N, ...), optional
        The targets, as the task has them: for a classification integers of shape (N,).
    batch_size : int, optional
        Images of an array that the model is shown at a time, by default 1000; it does not matter for the result, but
        for rounding.
    loss : callable, optional
        Mean over a batch, from what the model gives and the targets; by default the task's, for a classification
        `fastcnn.functional.cross_entropy`. A classification's gets all images at once. Images whose label is
        ``loss.ignore_index``, by default -100, do not count. A loss of `fastcnn.nn` remembers the batch it had before.
    task : Task, optional
        By default `Classification`.

    Returns
    -------
    Evaluation or Scores
        Loss, accuracy, confusion matrix, and more, of a classification; what another task says, `Scores` or one with
        more than these.

    Raises
    ------
    TypeError, ValueError
        If there are no images, there is not one target for each, they do not fit the model, the loss or the task, or
        none counts; if the task has no loss and none is given, or the loss is not for the task.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import data, nn, training
    >>> logits, labels = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([0, 1, 1])
    >>> training.evaluate(nn.Sequential(), logits, labels)
    Evaluation(images=3, loss=3.0001, accuracy=0.6667)
    >>> training.evaluate(nn.Sequential(), data.DataLoader(logits, labels, batch_size=2))
    Evaluation(images=3, loss=3.0001, accuracy=0.6667)
    """
    task = chosen(task, loss)
    criterion = loss_for(task, loss)
    whole = images if labels is None else (images, labels)
    if pair := as_pair(whole, "`images`, without `labels`,"):
        check_pair(task, *pair)
    elif batch_size is not None:
        raise ValueError("`batch_size` is for arrays; a loader has batches of its own.")
    size = BATCH_SIZE if batch_size is None else _validate.count("batch_size", batch_size)
    with held(for_evaluation(model)):
        return judged(task, found(model, batches_of(whole, size), criterion, task), criterion)


def loss_for(task: Task, loss: Callable | None) -> Callable:
    """What is asked in the place of a loss, which remembers the batch that it had before; the task's, if it is None."""
    asked = task.default_loss if loss is None else loss
    if asked is None:
        raise ValueError(f"`loss` must be given: {type(task).__name__} has none that it takes by default.")
    return copy.copy(asked) if isinstance(asked, _Loss) else asked


def check_pair(task: Task, images, labels: np.ndarray) -> None:
    """Raise what `evaluate` raises before it shows images to the model."""
    for array in listed(images):
        _validate.floats("images", array)
    task.check_targets(labels)
    for array in listed(images):
        if len(labels) != len(array):
            raise ValueError(
                f"`labels` has length {len(labels)} but must have one label for each of {len(array)} images."
            )


def found(model: Module, batches: Iterable, loss: Callable, task: Task) -> Iterator:
    """What the task finds in each batch, as the model is."""
    return (task.find(model(images), labels, loss) for images, labels in batches)


def judged(task: Task, findings: Iterable, loss: Callable):
    """The evaluation, from what was found in all batches; see `evaluate`."""
    findings = iter(findings)
    for first in findings:
        return task.evaluation(itertools.chain([first], findings), loss)
    raise ValueError("There is no batch to evaluate; a generator can be used once only.")


def outputs_of(model: Module, images) -> np.ndarray:
    """What a model in evaluation mode gives for images."""
    with held(for_evaluation(model)):
        return model(images)
