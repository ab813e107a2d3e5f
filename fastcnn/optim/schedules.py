"""Learning rates that change during training. A schedule sets numbers of its optimizer and keeps all its buffers."""

import math
from collections.abc import Mapping

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer


class Schedule:
    """Base of the schedules.

    One defines ``_apply()``, which sets the learning rate of step ``self.steps``, and calls it when it is made: step 0.

    Attributes
    ----------
    every : {"batch", "epoch"}
        When `step` is due: after each batch, or after each epoch. `fastcnn.training.Trainer` obeys.
    steps : int
        How often `step` was called.
    """

    every: str

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"`optimizer` must be an Optimizer, not {type(optimizer).__name__}.")
        self.optimizer = optimizer
        self.steps = 0

    def step(self) -> None:
        """Set the next learning rate."""
        self.steps += 1
        self._apply()

    def state_dict(self) -> dict:
        """All settings and the number of steps; the optimizer has its own."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            As from `state_dict` of a schedule of the same class. The optimizer's state is loaded by itself.

        Raises
        ------
        ValueError
            If it is the state of something else; nothing has changed.
        """
        own = self.state_dict()
        if state.keys() != own.keys():
            raise ValueError(
                f"The state has {', '.join(map(repr, state))} but that of {type(self).__name__} has "
                f"{', '.join(map(repr, own))}."
            )
        vars(self).update(state)

    def _apply(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _apply().")


class StepLR(Schedule):
    """Multiply the learning rate by ``gamma`` every ``step_size`` epochs, as ``torch.optim.lr_scheduler.StepLR``.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is that of the first `step_size` epochs.
    step_size : int
        Epochs.
    gamma : float, default 0.1

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

    every = "epoch"

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        super().__init__(optimizer)
        self.step_size = _validate.count("step_size", step_size)
        self.gamma = _validate.number("gamma", gamma, 0, math.inf, below_high=True)
        self.first_lr = optimizer.lr
        self._apply()

    def _apply(self) -> None:
        self.optimizer.lr = self.first_lr * self.gamma ** (self.steps // self.step_size)


class OneCycleLR(Schedule):
    """Raise the learning rate to ``max_lr``, then lower it to almost 0, as ``torch.optim.lr_scheduler.OneCycleLR``.

    From ``max_lr / div_factor`` it reaches `max_lr` after the part `pct_start` of the steps, and at the last step
    ``max_lr / div_factor / final_div_factor``. With `cycle_momentum` the momentum (Adam: its first beta) goes the other
    way, from `max_momentum` to `base_momentum` and back.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is replaced.
    max_lr : float
        The highest learning rate.
    total_steps : int
        Batches in all epochs together.
    pct_start : float, default 0.3
        Part of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}, default "cos"
        The shape of both ways: half a cosine wave or a straight line.
    cycle_momentum : bool, default True
    base_momentum, max_momentum : float, default 0.85 and 0.95
    div_factor, final_div_factor : float, default 25 and 10000

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; from `step`, if it is called more than `total_steps` times.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.4)
    >>> for batch in range(5):
    ...     print(batch, f"{optimizer.lr:.4f}")
    ...     schedule.step()
    0 0.0400
    1 1.0000
    2 0.7500
    3 0.2500
    4 0.0000
    """

    every = "batch"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ):
        super().__init__(optimizer)
        self.max_lr = _validate.number("max_lr", max_lr, 0, math.inf, below_high=True)
        self.total_steps = _validate.count("total_steps", total_steps)
        self.pct_start = _validate.number("pct_start", pct_start, 0, 1)
        self.anneal_strategy = _validate.choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = bool(cycle_momentum)
        self.base_momentum = _validate.number("base_momentum", base_momentum, 0, 1, below_high=True)
        self.max_momentum = _validate.number("max_momentum", max_momentum, 0, 1, below_high=True)
        self.div_factor = _validate.number("div_factor", div_factor, 1, math.inf, below_high=True)
        self.final_div_factor = _validate.number("final_div_factor", final_div_factor, 1, math.inf, below_high=True)
        self._apply()

    def step(self) -> None:
        """Set the next learning rate."""
        if self.steps == self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for `total_steps` = {self.total_steps} and ends there; "
                f"give it the batches of all epochs together."
            )
        super().step()

    def _apply(self) -> None:
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        first_lr = self.max_lr / self.div_factor
        last_lr = first_lr / self.final_div_factor
        if self.steps <= peak:
            way = self.steps / peak if peak > 0 else 1.0
            lr, momentum = (first_lr, self.max_lr), (self.max_momentum, self.base_momentum)
        else:
            # the step after the last batch trains nothing; PyTorch's would begin to turn back there
            way = min((self.steps - peak) / (last - peak), 1.0) if last > peak else 1.0
            lr, momentum = (self.max_lr, last_lr), (self.base_momentum, self.max_momentum)
        self.optimizer.lr = self._between(*lr, way)
        if self.cycle_momentum:
            self._set_momentum(self._between(*momentum, way))

    def _between(self, start: float, end: float, way: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * way
        return end + (start - end) / 2 * (1 + math.cos(math.pi * way))

    def _set_momentum(self, momentum: float) -> None:
        if hasattr(self.optimizer, "betas"):
            self.optimizer.betas = (momentum, *self.optimizer.betas[1:])
        else:
            self.optimizer.momentum = momentum
