"""Cosine annealing."""

import math

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.schedule import Schedule


class CosineAnnealingLR(Schedule):
    """Lower the learning rate along half a cosine wave, as ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    After ``t`` steps it is ``eta_min + (first - eta_min) * (1 + cos(pi * t / T_max)) / 2``. As in PyTorch, it rises
    again after `T_max` steps, so set `T_max` to the length of the whole training.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is the first one.
    T_max : int
        Number of epochs until the lowest rate.
    eta_min : float, default 0
        The lowest rate.
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
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> schedule = optim.CosineAnnealingLR(optimizer, T_max=4)
    >>> for epoch in range(5):
    ...     print(epoch, f"{optimizer.lr:.4f}")
    ...     schedule.step()
    0 1.0000
    1 0.8536
    2 0.5000
    3 0.1464
    4 0.0000
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1, *, every: str = "epoch"
    ):
        super().__init__(optimizer, every, last_epoch)
        self.T_max = _validate.count("T_max", T_max)
        self.eta_min = _validate.number("eta_min", eta_min, 0, math.inf, below_high=True)
        self._apply()

    def _rate(self, first: float) -> float:
        wave = (1 + math.cos(math.pi * self.steps / self.T_max)) / 2
        return self.eta_min + (first - self.eta_min) * wave
