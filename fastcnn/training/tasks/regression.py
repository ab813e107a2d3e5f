"""Regression: numbers for each image."""

from collections.abc import Callable

import numpy as np

from fastcnn import _validate, functional
from fastcnn.training.metric import Metric
from fastcnn.training.tasks.task import Task, check_outputs


class Regression(Task):
    """The targets are numbers, as many for each image as the model returns: coordinates, ages, another image.

    The metrics are over all numbers of all images: MAE, the mean absolute error; RMSE, the root mean squared error; and
    R2, the coefficient of determination, 1 - (sum of squared errors) / (sum of squared deviations of the targets from
    their mean). R2 is computed for each of the numbers of an image and then averaged, as in
    ``sklearn.metrics.r2_score``. It is 1 for a perfect model, 0 for a model that always predicts the mean, also 0 for
    wrong predictions if all targets are the same, and NaN for a single image.

    Parameters
    ----------
    best : {"loss", "mae", "rmse", "r2"}, default "loss"
        Metric that decides which epoch is best; see `Task`.

    Raises
    ------
    ValueError
        If `best` is not a metric.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, training
    >>> said, true = np.array([[2.5], [0.0], [2.0], [8.0]]), np.array([[3.0], [-0.5], [2.0], [7.0]])
    >>> print(training.evaluate(nn.Sequential(), said, true, task=training.Regression()))
    4 images, loss 0.3750, MAE 0.5000, RMSE 0.6124, R2 0.9486
    """

    metrics = (
        Metric("mae", "lower", label="MAE"),
        Metric("rmse", "lower", label="RMSE"),
        Metric("r2", label="R2"),
    )

    @property
    def default_loss(self) -> Callable:
        """`fastcnn.functional.mse_loss`."""
        return functional.mse_loss

    def check_targets(self, target) -> None:
        """Check that the targets are floats."""
        _validate.floats("target", target)

    def check(self, output, target, loss) -> None:
        """Check that there are as many targets for each image as outputs, and that the loss accepts them."""
        check_outputs(output, target)
        super().check(output, target, loss)

    def count(self, output, target, loss):
        """Sum errors and squared errors, and the targets' mean and squared deviations, for each number of an image."""
        target = target.astype(np.float64)
        errors = output - target
        mean = target.mean(axis=0)
        return {
            "images": len(target),
            "absolute": np.abs(errors).sum(axis=0),
            "squared": np.square(errors).sum(axis=0),
            "mean": mean,
            "deviations": np.square(target - mean).sum(axis=0),
        }

    def merge(self, one, other):
        """Add up two counts; combine the deviations as T. Chan, G. Golub and R. LeVeque do variances (1979)."""
        images, apart = one["images"] + other["images"], other["mean"] - one["mean"]
        between = np.square(apart) * (one["images"] * other["images"] / images)
        return super().merge(one, other) | {
            "mean": one["mean"] + apart * (other["images"] / images),
            "deviations": one["deviations"] + other["deviations"] + between,
        }

    def measure(self, sums):
        """See the class."""
        squared, deviations = np.atleast_1d(sums["squared"], sums["deviations"])
        missed = np.divide(squared, deviations, out=(squared > 0) * 1.0, where=deviations > 0)
        return {
            "mae": np.mean(sums["absolute"]) / sums["images"],
            "rmse": np.sqrt(np.mean(squared) / sums["images"]),
            "r2": np.mean(1 - missed) if sums["images"] > 1 else np.nan,
        }
