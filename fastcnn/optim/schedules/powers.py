"""Schedules that multiply the learning rate by a factor at certain steps."""

import bisect
import math
from collections.abc import Sequence

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.schedule import Schedule


class _Powers(Schedule):
    """Base: the first learning rate times ``gamma`` to the power of ``_exponent()``, a whole number."""

    def __init__(self, optimizer: Optimizer, gamma: float, every: str, last_epoch: int):
        super().__init__(optimizer, every, last_epoch)
        self.gamma = _validate.number("gamma", gamma, 0, math.inf, below_high=True)
        self._apply()

    def _rate(self, first: float) -> float:
        return first * self.gamma ** self._exponent()

    def _exponent(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define _exponent().")


class StepLR(_Powers):
    """Multiply the learning rate by ``gamma`` every ``step_size`` epochs, as ``torch.optim.lr_scheduler.StepLR``.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is that of the first `step_size` epochs.
    step_size : int
        Number of epochs between changes.
    gamma : float, default 0.1
    last_epoch : int, default -1
        See `Schedule`.
    every : {"epoch", "batch"}, default "epoch"
        With "batch", steps are batches instead of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(5):
    ...     print(epoch, optimizer.lr)
    ...     schedule.step()
    0 1.0
    1 1.0
    2 0.5
    3 0.5
    4 0.25
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1, *, every: str = "epoch"
    ):
        self.step_size = _validate.count("step_size", step_size)
        super().__init__(optimizer, gamma, every, last_epoch)

    def _exponent(self) -> int:
        return self.steps // self.step_size


class MultiStepLR(_Powers):
    """Multiply the learning rate by ``gamma`` at each milestone, as ``torch.optim.lr_scheduler.MultiStepLR``.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is that before the first milestone.
    milestones : sequence of int
        Numbers of epochs after which the rate changes, in increasing order.
    gamma : float, default 0.1
    last_epoch : int, default -1
        See `Schedule`.
    every : {"epoch", "batch"}, default "epoch"
        With "batch", steps are batches instead of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> for epoch in range(4):
    ...     print(epoch, optimizer.lr)
    ...     schedule.step()
    0 1.0
    1 0.5
    2 0.5
    3 0.25
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        *,
        every: str = "epoch",
    ):
        self.milestones = checked_milestones(milestones)
        super().__init__(optimizer, gamma, every, last_epoch)

    def _exponent(self) -> int:
        return bisect.bisect_right(self.milestones, self.steps)


class ExponentialLR(_Powers):
    """Multiply the learning rate by ``gamma`` after each epoch, as ``torch.optim.lr_scheduler.ExponentialLR``.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is that of the first epoch.
    gamma : float
    last_epoch : int, default -1
        See `Schedule`.
    every : {"epoch", "batch"}, default "epoch"
        With "batch", steps are batches instead of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.ExponentialLR(optimizer, gamma=0.5)
    >>> for epoch in range(3):
    ...     print(epoch, optimizer.lr)
    ...     schedule.step()
    0 1.0
    1 0.5
    2 0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1, *, every: str = "epoch"):
        super().__init__(optimizer, gamma, every, last_epoch)

    def _exponent(self) -> int:
        return self.steps


def checked_milestones(milestones) -> list[int]:
    """Check that milestones are whole numbers, each at least 1 and larger than the one before; return a list."""
    if not isinstance(milestones, Sequence) or isinstance(milestones, str):
        raise TypeError(f"`milestones` must be a list of whole numbers, not {milestones!r}.")
    checked = [_validate.count("milestones", milestone) for milestone in milestones]
    if checked != sorted(set(checked)):
        raise ValueError(f"`milestones` is {milestones!r}, but each must be larger than the one before.")
    return checked
