"""What is wrong with the data of a run is said before its first batch, not after its first epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastcnn import use_backend
from fastcnn.data import DataLoader
from fastcnn.nn import Module
from fastcnn.training.batch_result import ignored_label
from fastcnn.training.evaluation import BATCH_SIZE, check_images_and_labels, check_labels, judge, logits_of
from fastcnn.training.generators import unchanged
from fastcnn.training.modes import for_training, held
from fastcnn.training.strategy import Strategy


def check(model: Module, loss, train, validation, strategy: Strategy) -> None:
    """Raise what training and evaluation would raise later; the model is afterwards as it was.

    The model sees one or two images, as many as there are in the smallest batch that it will be shown: batch
    normalization cannot train on a single number of a channel. The loss sees all labels of the validation.

    Parameters
    ----------
    model : Module
    loss : callable
    train : iterable
        The batches of an epoch. What is in them can only be checked in a `DataLoader`.
    validation : (images, labels)
    strategy : Strategy
        Which says what part of each batch, and of the validation, is for this process.

    Raises
    ------
    TypeError, ValueError
        If there is no batch, or something does not fit the model, the loss or the other.
    """
    if hasattr(train, "__len__") and len(train) == 0:
        raise ValueError(f"`train` gives no batch{_why_none(train)}.")
    with use_backend("numpy"):  # nothing to compile, nothing to record
        with _named("`validation` cannot be evaluated"):
            classes = _check_validation(model, loss, validation, strategy)
        if isinstance(train, DataLoader):
            with _named("`train` cannot be trained on"):
                check_labels(train.labels, len(train.images), classes, ignored_label(loss))
                if strategy.smallest_batch(train, model) == 1:
                    _check_one_image(model, train)


def _check_validation(model: Module, loss, validation, strategy: Strategy) -> int:
    """Raise if it does not fit; return how many classes the model knows."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        has_length = hasattr(validation, "__len__")
        what = f"{type(validation).__name__} of length {len(validation)}" if has_length else validation
        raise TypeError(f"it must be a pair (images, labels), not {what}.")
    images, labels = validation
    check_images_and_labels(images, labels)
    N = len(images)
    own = strategy.evaluated(N)
    last = own % BATCH_SIZE or min(own, BATCH_SIZE) or 1
    with unchanged(model), np.errstate(all="ignore"):  # images may hold NaN: a number of the record will say so
        logits = logits_of(model, images[-min(last, 2) :])
        judge(np.repeat(logits[-1:], N, axis=0), labels, loss)
    return logits.shape[1]


def _check_one_image(model: Module, train: DataLoader) -> None:
    """Raise if the model cannot train on a batch of one."""
    with unchanged(model), held(for_training(model)), np.errstate(all="ignore"):
        try:
            model(train.sample(1))
        except ValueError as error:
            raise ValueError(
                f"a batch, or a rank's part of it, has one image. {error} Another `batch_size` helps, or "
                "`drop_last=True` where it is the last batch."
            ) from error


def _why_none(train) -> str:
    """The end of a sentence on what gives no batch."""
    if not isinstance(train, DataLoader):
        return ": its length is 0"
    if len(train.images) == 0:
        return ": it has no images"
    return f": `drop_last` leaves out the only one, as {len(train.images)} images are fewer than {train.batch_size}"


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Let an error say what it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {error}") from error
