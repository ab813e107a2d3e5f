"""Warm-up, and sequences of schedules."""

import bisect
import math
from collections.abc import Mapping, Sequence

from fastcnn import _validate
from fastcnn.optim.checks import check_names
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.powers import checked_milestones
from fastcnn.optim.schedules.schedule import Schedule


class LinearLR(Schedule):
    """Raise (or lower) the learning rate along a straight line, as ``torch.optim.lr_scheduler.LinearLR``.

    In `total_iters` steps it goes from ``start_factor`` to ``end_factor`` times the optimizer's learning rate, and then
    stays there. Use `SequentialLR` for a warm-up with another schedule after it.

    Parameters
    ----------
    optimizer : Optimizer
    start_factor : float, default 1/3
    end_factor : float, default 1
    total_iters : int, default 5
        Number of epochs.
    last_epoch : int, default -1
        See `Schedule`.
    every : {"epoch", "batch"}, default "epoch"
        With "batch", steps are batches instead of epochs.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677, 2017, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> for epoch in range(4):
    ...     print(epoch, optimizer.lr)
    ...     schedule.step()
    0 0.5
    1 0.75
    2 1.0
    3 1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        *,
        every: str = "epoch",
    ):
        super().__init__(optimizer, every, last_epoch)
        self.start_factor = _validate.number("start_factor", start_factor, 0, math.inf, below_high=True)
        self.end_factor = _validate.number("end_factor", end_factor, 0, math.inf, below_high=True)
        self.total_iters = _validate.count("total_iters", total_iters)
        self._apply()

    def _rate(self, first: float) -> float:
        way = min(self.steps / self.total_iters, 1.0)
        return first * (self.start_factor + (self.end_factor - self.start_factor) * way)


class SequentialLR(Schedule):
    """Run schedules one after the other, such as a warm-up first, as ``torch.optim.lr_scheduler.SequentialLR``.

    All start from the learning rate that the optimizer had when the first schedule was made.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : sequence of Schedule
        Schedules for this optimizer with the same `every`, made in this order. They must not have been stepped or need
        a metric.
    milestones : sequence of int
        The step at which each schedule but the first begins.
    last_epoch : int, default -1
        See `Schedule`.

    Raises
    ------
    TypeError, ValueError
        If a schedule is not as described, or the number of milestones is not one less than that of the schedules.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> warm_up = optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> then = optim.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule = optim.SequentialLR(optimizer, [warm_up, then], milestones=[2])
    >>> for epoch in range(5):
    ...     print(epoch, optimizer.lr)
    ...     schedule.step()
    0 0.5
    1 0.75
    2 1.0
    3 0.5
    4 0.25
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int], last_epoch: int = -1
    ):
        if not isinstance(schedulers, Sequence) or not schedulers:
            raise ValueError(f"`schedulers` must be a list of at least one schedule, not {schedulers!r}.")
        for i, scheduler in enumerate(schedulers):
            _check_part(i, scheduler, optimizer, schedulers[0])
        super().__init__(optimizer, schedulers[0].every, last_epoch)
        self.milestones = checked_milestones(milestones)
        if len(self.milestones) != len(schedulers) - 1:
            raise ValueError(
                f"`milestones` holds {len(self.milestones)} numbers but must hold {len(schedulers) - 1}, "
                f"one for each schedule but the first."
            )
        self.schedulers = list(schedulers)
        self.base_lrs = schedulers[0].base_lrs
        for scheduler in schedulers[1:]:  # each stored the rates that the one before it had set
            scheduler.base_lrs = self.base_lrs
        self._apply()

    def state_dict(self) -> dict:
        """Return all settings, the number of steps and the states of the schedules."""
        return {**super().state_dict(), "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : mapping
            As returned by `state_dict` of a sequence of the same schedules.

        Raises
        ------
        TypeError, ValueError
            If the state does not fit; nothing has changed.
        """
        before = self.state_dict()
        check_names(self, state, before)
        parts = state["schedulers"]
        if not isinstance(parts, list):
            raise TypeError(f"The state's `schedulers` must be a list of states, not {parts!r:.60}.")
        if len(parts) != len(self.schedulers):
            raise ValueError(f"The state has {len(parts)} schedules but this sequence has {len(self.schedulers)}.")
        try:
            for scheduler, part in zip(self.schedulers, parts, strict=True):
                scheduler.load_state_dict(part)
            super().load_state_dict({**state, "schedulers": self.schedulers})
        except BaseException:
            for scheduler, part in zip(self.schedulers, before["schedulers"], strict=True):
                scheduler.load_state_dict(part)
            raise

    def _apply(self) -> None:
        current = bisect.bisect_right(self.milestones, self.steps)
        scheduler = self.schedulers[current]
        scheduler.steps = self.steps - (self.milestones[current - 1] if current else 0)
        scheduler._apply()


def _check_part(i: int, scheduler, optimizer, first) -> None:
    """Raise an error if a schedule cannot be part of a sequence."""
    if not isinstance(scheduler, Schedule):
        raise TypeError(f"Schedule {i} must be a Schedule, not {type(scheduler).__name__}.")
    name = f"Schedule {i}, {type(scheduler).__name__},"
    if scheduler.needs_metric:
        raise ValueError(f"{name} needs a metric; it cannot be part of a sequence.")
    if scheduler.optimizer is not optimizer:
        raise ValueError(f"{name} belongs to another optimizer.")
    if scheduler.every != first.every:
        raise ValueError(f"{name} steps every {scheduler.every}, but the first schedule steps every {first.every}.")
    if scheduler.steps:
        raise ValueError(f"{name} must not have been stepped, but was stepped {scheduler.steps} times.")
