"""Base class of tasks: they define the metrics of a model and check its targets."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from fastcnn import _validate
from fastcnn.functional.losses import EmptyMeanError
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.metric import LOSS, Metric
from fastcnn.training.tasks.scores import Scores

Sums = dict[str, Any]  # numbers or arrays by name, which are added up


class Task:
    """Base class of what a `Trainer` trains a model for: it defines metrics besides the loss, and checks targets.

    A subclass lists its metrics in `metrics`, counts in each batch what they are computed from (`count`), and computes
    them from the sums of these counts (`measure`). Counts are summed over batches and ranks first, so that no metric is
    a mean of batch means.

    Parameters
    ----------
    best : str, default "loss"
        Metric that decides which epoch is best, on the validation data if there are any. `EarlyStopping` and
        `BestWeights` monitor it by default, and a schedule that needs a metric gets it.

    Attributes
    ----------
    metrics : tuple of Metric
        Metrics besides the loss; an attribute of the class.

    Raises
    ------
    ValueError
        If `best` is not a metric.

    Examples
    --------
    How often is the true class among the three most likely ones?

    >>> import numpy as np
    >>> from fastcnn import functional as F, nn, training
    >>> class TopThree(training.Task):
    ...     metrics = (training.Metric("top_3", percent=True),)
    ...
    ...     def count(self, output, target, loss):
    ...         largest = np.argsort(-output, axis=1)[:, :3]
    ...         return {"found": int((largest == target[:, None]).sum()), "images": len(target)}
    ...
    ...     def measure(self, sums):
    ...         return {"top_3": sums["found"] / sums["images"]}
    >>> logits, labels = np.array([[1.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]]), np.array([1, 0])
    >>> print(training.evaluate(nn.Sequential(), logits, labels, loss=F.cross_entropy, task=TopThree()))
    2 images, loss 1.9402, top 3 50.00%
    """

    metrics: ClassVar[tuple[Metric, ...]] = ()

    def __init__(self, best: str = "loss"):
        self.best = _validate.choice("best", best, tuple(kind.name for kind in self.kinds))

    @property
    def kinds(self) -> tuple[Metric, ...]:
        """The loss and the metrics."""
        return LOSS, *self.metrics

    @property
    def default_loss(self) -> Callable | None:
        """The loss that `evaluate` uses by default; None if it must be given."""
        return None

    # Methods that a subclass defines

    def count(self, output: np.ndarray, target: np.ndarray, loss) -> Sums:
        """Count in a batch what the metrics are computed from: numbers or arrays by name, summed over batches.

        ``output`` is the model's output for the batch and ``target`` the true values; ``loss``, the loss of the run,
        may define which targets do not count. Names and shapes must be the same in all batches. If no target counts,
        return an empty dictionary.
        """
        return {"images": len(target)}

    def measure(self, sums: Sums) -> dict[str, float]:
        """Compute the metrics, by name, from the sums of all batches."""
        return {}

    # Methods that it may define

    def merge(self, one: Sums, other: Sums) -> Sums:
        """Add up the sums of two batches."""
        return {name: value + other[name] for name, value in one.items()}

    def check_targets(self, target: np.ndarray) -> None:
        """Raise a TypeError or a ValueError if these cannot be targets of this task, whatever the model."""
        if not isinstance(target, np.ndarray) or target.ndim == 0:
            raise TypeError(f"`target` must be a numpy array, not {type(target).__name__}.")

    def check(self, output: np.ndarray, target: np.ndarray, loss) -> None:
        """Raise a TypeError or a ValueError if the targets do not fit the model's output for a few other images.

        It is called before the first batch, with all targets that are in memory. By default it tries the last output
        with the last target.
        """
        self.batch(output[-1:], target[-1:], loss)

    def conclude(self, total: BatchResult) -> Any:
        """Return the result of `evaluate` from the total of all batches: ``total.images``, ``loss`` and ``sums``.

        It must have the loss and each metric as attributes.
        """
        return Scores(total.images, total.loss, self.measure(total.sums), self.metrics)

    # Methods that a trainer and `evaluate` call

    def batch(self, output: np.ndarray, target: np.ndarray, loss) -> BatchResult:
        """Return the result of a batch from the model's output."""
        try:
            mean = float(loss(output, target))
            weight = float(getattr(loss, "mean_over", len(target)))
        except EmptyMeanError:
            mean = weight = 0.0
        return BatchResult(mean, weight, len(target), self.count(output, target, loss))

    def together(self, results: Iterable[BatchResult]) -> BatchResult:
        """Combine the results of several batches, or of the parts of one."""
        loss, weight, images, sums = 0.0, 0.0, 0, Sums()
        for result in results:
            if result.weight > 0:
                loss, weight = loss + result.loss * result.weight, weight + result.weight
            images, sums = images + result.images, self.added(sums, result.sums)
        return BatchResult(loss / weight if weight else 0.0, weight, images, sums)

    def added(self, sums: Sums, more: Sums) -> Sums:
        """Add the sums of another batch; either may be empty."""
        return self.merge(sums, more) if sums and more else sums or more

    def find(self, output: np.ndarray, target: np.ndarray, loss) -> Any:
        """Return what `evaluation` needs from a batch."""
        return self.batch(output, target, loss)

    def evaluation(self, findings: Iterable, loss) -> Any:
        """Return the result of `evaluate` from the findings of all batches, in order."""
        total = self.together(findings)
        if not total.counts:
            raise ValueError(f"`loss` ignores all of the {total.images} targets.")
        return self.conclude(total)

    def numbers(self, measured: Any) -> dict[str, float]:
        """Return the loss and the metrics of an evaluation, by name."""
        return {kind.name: float(getattr(measured, kind.name)) for kind in self.kinds}

    def numbers_of(self, loss: float, sums: Sums) -> dict[str, float]:
        """Return the loss and the metrics, by name, from a loss and sums."""
        return {LOSS.name: loss, **{name: float(value) for name, value in self.measure(sums).items()}}

    def shown(self, numbers: dict[str, float]) -> str:
        """Format the result of `numbers` or `numbers_of`."""
        return ", ".join(kind.shown(numbers[kind.name]) for kind in self.kinds)

    def __repr__(self) -> str:
        settings = {name: value for name, value in vars(self).items() if (name, value) != ("best", LOSS.name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def ignored_label(loss) -> int:
    """Return the ``ignore_index`` of a loss, or the default of `fastcnn.functional.cross_entropy`."""
    return getattr(loss, "ignore_index", -100)


def check_outputs(output: np.ndarray, target: np.ndarray) -> None:
    """Raise unless targets have the output's dtype and its shape, except for the number of images."""
    if target.dtype != output.dtype:
        raise TypeError(f"`target` is {target.dtype} but the model returns {output.dtype}; give both the same dtype.")
    if target.shape[1:] != output.shape[1:]:
        wanted = "(N" + "".join(f", {size}" for size in output.shape[1:]) + (",)" if output.ndim == 1 else ")")
        raise ValueError(f"`target` has shape {target.shape} but must have {wanted}, like the model's output.")
