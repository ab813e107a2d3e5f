"""The one-cycle policy."""

import math

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.schedule import Schedule


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
        If an argument is out of range, or momentum is to cycle in an optimizer that has none; from `step`, if it is
        called more than `total_steps` times.

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
        super().__init__(optimizer, "batch")
        self.max_lr = _validate.number("max_lr", max_lr, 0, math.inf, below_high=True)
        self.total_steps = _validate.count("total_steps", total_steps)
        self.pct_start = _validate.number("pct_start", pct_start, 0, 1)
        self.anneal_strategy = _validate.choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = _validate.flag("cycle_momentum", cycle_momentum)
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
        if self.cycle_momentum:
            self._set_momentum(self._between(*momentum, way))
        self.optimizer.lr = self._between(*lr, way)

    def _between(self, start: float, end: float, way: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * way
        return end + (start - end) / 2 * (1 + math.cos(math.pi * way))

    def _set_momentum(self, momentum: float) -> None:
        if hasattr(self.optimizer, "betas"):
            self.optimizer.betas = (momentum, *self.optimizer.betas[1:])
        elif hasattr(self.optimizer, "momentum"):
            self.optimizer.momentum = momentum
        else:
            raise ValueError(
                f"`cycle_momentum` is True, but {type(self.optimizer).__name__} has neither `betas` nor `momentum`."
            )
