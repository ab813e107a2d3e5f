"""The training loop."""

import math
import sys
import time
from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from fastcnn import _validate
from fastcnn.nn import Module
from fastcnn.optim import Optimizer, Schedule
from fastcnn.training.history import Epoch, History
from fastcnn.training.metrics import evaluate

_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} batches{postfix}"


class Trainer:
    """Train a classifier and record how it goes.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Of the parameters of `model`.
    loss : callable
        ``loss(logits, labels)`` is the mean over a batch, and ``loss.backward()`` its gradient by the logits, as
        `fastcnn.nn.CrossEntropyLoss`.
    scheduler : Schedule, optional
        Stepped after each batch or after each epoch, as its attribute ``every`` says.

    Attributes
    ----------
    history : History
        Grows while `fit` runs, so that it is there after an exception too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import data, nn, optim, training
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 2))
    >>> labels = (x[:, 0] > x[:, 1]).astype(int)
    >>> model = nn.Linear(2, 2, rng=rng, dtype=np.float64)
    >>> trainer = training.Trainer(model, optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss())
    >>> history = trainer.fit(data.DataLoader(x, labels, 10), (x, labels), epochs=1)  # doctest: +ELLIPSIS
    epoch 1: ... test accuracy 97.00%
    >>> len(history.step_losses)
    10
    """

    def __init__(self, model: Module, optimizer: Optimizer, loss, scheduler: Schedule | None = None):
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = scheduler
        self.history = History()

    def fit(
        self,
        train_loader: Iterable[tuple[np.ndarray, np.ndarray]],
        validation: tuple[np.ndarray, np.ndarray],
        epochs: int,
    ) -> History:
        """Train, with a progress bar where stderr is a terminal and one line on stdout for each epoch.

        Parameters
        ----------
        train_loader : iterable of (images, labels)
            The batches of an epoch, as `fastcnn.data.DataLoader`.
        validation : (images, labels)
            Evaluated after each epoch.
        epochs : int
            How many more.

        Returns
        -------
        History
            The attribute `history`; it goes on from earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss of a batch is not finite; the parameters are those before that batch.
        """
        epochs = _validate.count("epochs", epochs)
        done = len(self.history.epochs)
        for epoch in range(done + 1, done + 1 + epochs):
            self.model.train()
            batches, images_seen, right, total_loss, lr = 0, 0, 0, 0.0, self.optimizer.lr
            start = time.perf_counter()
            with tqdm(train_loader, f"epoch {epoch}", leave=False, bar_format=_BAR, disable=_no_terminal()) as bar:
                for images, labels in bar:
                    logits, loss = self._step(images, labels)
                    batches += 1
                    images_seen += len(images)
                    total_loss += loss * len(images)
                    right += int(np.count_nonzero(logits.argmax(axis=1) == labels))
                    if not bar.disable:
                        rate = images_seen / (time.perf_counter() - start)
                        averages = f"loss {total_loss / images_seen:.4f}, accuracy {right / images_seen:.2%}"
                        bar.set_postfix_str(f"{rate:,.0f} images/s, {averages}", refresh=False)
            seconds = time.perf_counter() - start
            if not batches:
                raise ValueError(f"`train_loader` gave no batch in epoch {epoch}; a generator can be used once only.")
            if self.scheduler and self.scheduler.every == "epoch":
                self.scheduler.step()
            test_loss, test_accuracy = evaluate(self.model, *validation, loss=self.loss)
            record = Epoch(
                epoch=epoch,
                batches=batches,
                seconds=seconds,
                train_loss=total_loss / images_seen,
                train_accuracy=right / images_seen,
                test_loss=test_loss,
                test_accuracy=test_accuracy,
                lr=lr,
                images_per_second=images_seen / seconds,
            )
            self.history.epochs.append(record)
            tqdm.write(str(record))
        return self.history

    def _step(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
        """Train on one batch; return the logits and the loss from before the step."""
        logits = self.model(images)
        loss = self.loss(logits, labels)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss of batch {len(self.history.step_losses) + 1} is {loss}; the learning rate was "
                f"{self.optimizer.lr:g}. Try a smaller one, and look for values that are not finite in the images."
            )
        self.history.step_losses.append(loss)
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward(), input_grad=False)
        self.optimizer.step()
        if self.scheduler and self.scheduler.every == "batch":
            self.scheduler.step()
        return logits, loss


def _no_terminal() -> bool:
    """Whether a progress bar would be noise in a file."""
    return not sys.stderr.isatty()
