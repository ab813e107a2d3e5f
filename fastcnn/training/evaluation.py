"""Evaluation of a model."""

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
    """Evaluate a model on images and targets, in evaluation mode.

    Parameters
    ----------
    model : Module
        Afterwards each module is back in its previous mode, training or evaluation.
    images : ndarray of shape (N, ...), float32 or float64, or iterable of (images, labels)
        Images in the form that the model takes, or a tuple of arrays if it takes several inputs. Without `labels`, an
        iterable of batches (images, labels) such as a `fastcnn.data.DataLoader`: one batch at a time is in memory.
    labels : ndarray of shape (N, ...), optional
        The targets of the task; for a classification, integers of shape (N,).
    batch_size : int, optional
        Images per forward pass if `images` is an array, by default 1000. It changes the result by rounding only.
    loss : callable, optional
        ``loss(output, target)`` is the mean over a batch; by default the task's loss, for a classification
        `fastcnn.functional.cross_entropy`. A classification computes it for all images at once. Images with the label
        ``loss.ignore_index``, by default -100, do not count. A loss of `fastcnn.nn` is copied, so that its ``backward``
        still refers to its own last batch.
    task : Task, optional
        By default `Classification`.

    Returns
    -------
    Evaluation or Scores
        An `Evaluation` with loss, accuracy, confusion matrix and more for a classification. For another task the result
        of its ``conclude``, usually `Scores` or a subclass.

    Raises
    ------
    TypeError, ValueError
        If there are no images, or not one target for each; if images or targets do not fit the model, the loss or the
        task; if no target counts; if the task has no default loss and none is given; or if no task is given and the
        loss is not one for classification.

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
        raise ValueError("`batch_size` must be None for a loader, which has batches of its own.")
    size = BATCH_SIZE if batch_size is None else _validate.count("batch_size", batch_size)
    with held(for_evaluation(model)):
        return judged(task, found(model, batches_of(whole, size), criterion, task), criterion)


def loss_for(task: Task, loss: Callable | None) -> Callable:
    """Return the loss, or the task's if it is None; copy a loss that keeps the state of its last batch."""
    asked = task.default_loss if loss is None else loss
    if asked is None:
        raise ValueError(f"`loss` must be given, as {type(task).__name__} has no default loss.")
    return copy.copy(asked) if isinstance(asked, _Loss) else asked


def check_pair(task: Task, images, labels: np.ndarray) -> None:
    """Check images and targets before the model runs."""
    for array in listed(images):
        _validate.floats("images", array)
    task.check_targets(labels)
    for array in listed(images):
        if len(labels) != len(array):
            raise ValueError(
                f"`labels` has length {len(labels)} but must have one label for each of {len(array)} images."
            )


def found(model: Module, batches: Iterable, loss: Callable, task: Task) -> Iterator:
    """Yield the task's findings for each batch, with the model in its current mode."""
    return (task.find(model(images), labels, loss) for images, labels in batches)


def judged(task: Task, findings: Iterable, loss: Callable):
    """Combine the findings of all batches into the result of `evaluate`."""
    findings = iter(findings)
    for first in findings:
        return task.evaluation(itertools.chain([first], findings), loss)
    raise ValueError("There is no batch to evaluate; a generator can be used only once.")


def outputs_of(model: Module, images) -> np.ndarray:
    """Output of a model for images, in evaluation mode."""
    with held(for_evaluation(model)):
        return model(images)
