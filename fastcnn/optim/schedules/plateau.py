"""A learning rate that is lowered when a metric stops improving."""

import math
from collections.abc import Sequence

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.schedule import Schedule


class ReduceLROnPlateau(Schedule):
    """Lower the learning rate when a metric has not improved, as ``torch.optim.lr_scheduler.ReduceLROnPlateau``.

    After more than `patience` epochs in a row without an improvement, the rate is multiplied by `factor`. ``step``
    takes the metric of an epoch, such as the validation loss. A metric that is not finite is not an improvement.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rates are the first ones. They may also be changed in other ways.
    mode : {"min", "max"}, default "min"
        Whether lower metrics are better, such as a loss, or higher ones, such as an accuracy.
    factor : float, default 0.1
        Below 1.
    patience : int, default 10
        Number of epochs without an improvement that are tolerated.
    threshold : float, default 1e-4
        A metric must be better than the best so far by more than this to be an improvement.
    threshold_mode : {"rel", "abs"}, default "rel"
        Whether `threshold` is relative to the best metric so far, or absolute.
    cooldown : int, default 0
        Number of epochs after a change of the rate that do not count.
    min_lr : float or list of float, default 0
        The lowest rate, or a list with one for each group.
    eps : float, default 1e-8
        The rate changes only if the change is larger than this.

    Attributes
    ----------
    best : float or None
        The best metric so far.
    bad_epochs : int
        Number of epochs without an improvement since then, or since the last change of the rate.
    cooldown_left : int
        Number of epochs left in the cooldown.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.1, 2.2, 2.3, 1.0):
    ...     schedule.step(loss)
    ...     print(loss, optimizer.lr)
    3.0 1.0
    2.0 1.0
    2.1 1.0
    2.2 0.5
    2.3 0.5
    1.0 0.5
    """

    needs_metric = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        super().__init__(optimizer, "epoch")
        self.mode = _validate.choice("mode", mode, ("min", "max"))
        self.factor = _validate.number("factor", factor, 0, 1, below_high=True)
        self.patience = _validate.count("patience", patience, 0)
        self.threshold = _validate.number("threshold", threshold, 0, math.inf, below_high=True)
        self.threshold_mode = _validate.choice("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = _validate.count("cooldown", cooldown, 0)
        self.min_lr = self._of_each("min_lr", min_lr, math.inf)
        self.eps = _validate.number("eps", eps, 0, math.inf, below_high=True)
        self.best: float | None = None
        self.bad_epochs, self.cooldown_left = 0, 0

    def step(self, metrics: float) -> None:  # type: ignore[override]  # `needs_metric` says so
        """Set the next learning rate.

        Parameters
        ----------
        metrics : float
            Metric of the last epoch.

        Raises
        ------
        TypeError, ValueError
            If `metrics` is not a number, or the optimizer has other groups than before; nothing has changed.
        """
        metric, groups = _validate.any_number("metrics", metrics), self._groups()
        self.steps += 1
        if self._is_better(metric):
            self.best, self.bad_epochs = metric, 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            for group, least in zip(groups, self.min_lr, strict=True):
                lr = max(group["lr"] * self.factor, least)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_left, self.bad_epochs = self.cooldown, 0

    def _is_better(self, metric: float) -> bool:
        if not math.isfinite(metric) or self.best is None:
            return math.isfinite(metric)
        margin = self.threshold if self.mode == "max" else -self.threshold
        limit = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return metric > limit if self.mode == "max" else metric < limit
