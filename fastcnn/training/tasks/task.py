"""What a model is trained for: the numbers that say how good it is, and what its targets must be."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from fastcnn import _validate
from fastcnn.functional.losses import EmptyMeanError
from fastcnn.training.batch_result import BatchResult
from fastcnn.training.metric import LOSS, Metric
from fastcnn.training.tasks.scores import Scores

Sums = dict[str, Any]  # by name, numbers or arrays that are added up


class Task:
    """What a `Trainer` trains a model for, and `evaluate` asks: metrics, beside the loss.

    A subclass says which metrics there are, counts in each batch what they come from, and computes them from the sums.
    Those of batches, and of processes that train together, are added up, so that no number is a mean of means.

    Parameters
    ----------
    best : str, default "loss"
        By which metric an epoch is the best, of the validation data where there are some: what `EarlyStopping` and
        `BestWeights` monitor unless they are told, and what a schedule that needs a metric gets.

    Attributes
    ----------
    metrics : tuple of Metric
        Of the class.

    Raises
    ------
    ValueError
        If `best` is no metric.

    Examples
    --------
    How often is the true class among the three that the model thinks most likely?

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
        """The loss that `evaluate` takes where none is given; None if there must be one."""
        return None

    # What a subclass defines

    def count(self, output: np.ndarray, target: np.ndarray, loss) -> Sums:
        """Count in a batch what the metrics come from: numbers or arrays by name, which are added up over batches.

        ``output`` is what the model gave for the batch and ``target`` what is true; ``loss``, that of the run, may say
        which targets do not count. Names and shapes are the same in all batches. Where nothing counts, there is nothing
        in the dictionary.
        """
        return {"images": len(target)}

    def measure(self, sums: Sums) -> dict[str, float]:
        """The metrics, by name, from the sums of all batches."""
        return {}

    # What it may define

    def merge(self, one: Sums, other: Sums) -> Sums:
        """The sums of two batches together."""
        return {name: value + other[name] for name, value in one.items()}

    def check_targets(self, target: np.ndarray) -> None:
        """Raise a TypeError or a ValueError if these are no targets of this task, whatever the model."""
        if not isinstance(target, np.ndarray) or target.ndim == 0:
            raise TypeError(f"`target` must be a numpy array, not {type(target).__name__}.")

    def check(self, output: np.ndarray, target: np.ndarray, loss) -> None:
        """Raise a TypeError or a ValueError if targets do not fit what the model gave for a few other images.

        It is called before the first batch, with all targets that are in memory. This one tries the last ones.
        """
        self.batch(output[-1:], target[-1:], loss)

    def conclude(self, total: BatchResult) -> Any:
        """What `evaluate` returns, from the result of all batches together: ``total.images``, ``loss`` and ``sums``.

        It must have the loss and each metric as attributes.
        """
        return Scores(total.images, total.loss, self.measure(total.sums), self.metrics)

    # What a trainer and `evaluate` call

    def batch(self, output: np.ndarray, target: np.ndarray, loss) -> BatchResult:
        """The result of a batch for which the model gave ``output``."""
        try:
            mean = float(loss(output, target))
            weight = float(getattr(loss, "mean_over", len(target)))
        except EmptyMeanError:
            mean = weight = 0.0
        return BatchResult(mean, weight, len(target), self.count(output, target, loss))

    def together(self, results: Iterable[BatchResult]) -> BatchResult:
        """The result of several batches, or of the parts of one."""
        loss, weight, images, sums = 0.0, 0.0, 0, Sums()
        for result in results:
            if result.weight > 0:
                loss, weight = loss + result.loss * result.weight, weight + result.weight
            images, sums = images + result.images, self.added(sums, result.sums)
        return BatchResult(loss / weight if weight else 0.0, weight, images, sums)

    def added(self, sums: Sums, more: Sums) -> Sums:
        """Sums with those of another batch; either may be empty."""
        return self.merge(sums, more) if sums and more else sums or more

    def find(self, output: np.ndarray, target: np.ndarray, loss) -> Any:
        """What `evaluation` needs of a batch."""
        return self.batch(output, target, loss)

    def evaluation(self, findings: Iterable, loss) -> Any:
        """What `evaluate` returns, from what was found in all batches, in their order."""
        total = self.together(findings)
        if not total.counts:
            raise ValueError(f"None of {total.images} targets counts, by `loss`.")
        return self.conclude(total)

    def numbers(self, measured: Any) -> dict[str, float]:
        """The loss and the metrics, by name, of an evaluation."""
        return {kind.name: float(getattr(measured, kind.name)) for kind in self.kinds}

    def numbers_of(self, loss: float, sums: Sums) -> dict[str, float]:
        """The loss and the metrics, by name, of a loss and of sums."""
        return {LOSS.name: loss, **{name: float(value) for name, value in self.measure(sums).items()}}

    def shown(self, numbers: dict[str, float]) -> str:
        """What `numbers` and `numbers_of` give, for people."""
        return ", ".join(kind.shown(numbers[kind.name]) for kind in self.kinds)

    def __repr__(self) -> str:
        settings = {name: value for name, value in vars(self).items() if (name, value) != ("best", LOSS.name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def ignored_label(loss) -> int:
    """The label of images that do not count, as a loss has it; `fastcnn.functional.cross_entropy`'s for one without."""
    return getattr(loss, "ignore_index", -100)


def check_outputs(output: np.ndarray, target: np.ndarray) -> None:
    """Raise if there is not one target of the output's dtype for each number of it; more images may have targets."""
    if target.dtype != output.dtype:
        raise TypeError(f"`target` is {target.dtype} but the model gives {output.dtype}; give both the same dtype.")
    if target.shape[1:] != output.shape[1:]:
        wanted = "(N" + "".join(f", {size}" for size in output.shape[1:]) + (",)" if output.ndim == 1 else ")")
        raise ValueError(f"`target` has shape {target.shape} but must have {wanted}, as what the model gives.")
