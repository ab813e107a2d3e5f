"""How good a model is."""

from collections.abc import Callable

import numpy as np

from fastcnn import _validate, functional
from fastcnn.nn import Module


def evaluate(
    model: Module,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int = 1000,
    loss: Callable[[np.ndarray, np.ndarray], float] = functional.cross_entropy,
) -> tuple[float, float]:
    """Mean loss and accuracy of a classifier over all images, in evaluation mode.

    Parameters
    ----------
    model : Module
        Its training mode is afterwards what it was.
    images : ndarray of shape (N, C, H, W), float32 or float64
    labels : ndarray of shape (N,), integers
    batch_size : int, default 1000
        Images at a time; it does not matter for the result, but for rounding.
    loss : callable, default `fastcnn.functional.cross_entropy`
        Mean over a batch, from logits and labels.

    Returns
    -------
    loss, accuracy : float
        The accuracy is the part of the images whose largest logit is that of their label, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If there are no images, there is not one label for each, or they do not fit the model or the loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, training
    >>> logits, labels = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), np.array([0, 1, 1])
    >>> loss, accuracy = training.evaluate(nn.Sequential(), logits, labels)
    >>> round(loss, 4), round(accuracy, 4)
    (3.0001, 0.6667)
    """
    images = _validate.floats("images", images)
    batch_size = _validate.count("batch_size", batch_size)
    if len(labels) != len(images):
        raise ValueError(f"`labels` has length {len(labels)} but must have one label for each of {len(images)} images.")
    was_training, total, right = model.training, 0.0, 0
    model.eval()
    try:
        for first in range(0, len(images), batch_size):
            batch = labels[first : first + batch_size]
            logits = model(images[first : first + batch_size])
            total += loss(logits, batch) * len(batch)
            right += int(np.count_nonzero(logits.argmax(axis=1) == batch))
    finally:
        model.train(was_training)
    return total / len(images), right / len(images)
