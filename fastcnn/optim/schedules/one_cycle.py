"""The one-cycle policy."""

import math
from collections.abc import Sequence

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer
from fastcnn.optim.schedules.schedule import Schedule


class OneCycleLR(Schedule):
    """Raise the learning rate to ``max_lr``, then lower it to almost 0, as ``torch.optim.lr_scheduler.OneCycleLR``.

    The rate rises from ``max_lr / div_factor`` to `max_lr` in the fraction `pct_start` of the steps, and then falls to
    ``max_lr / div_factor / final_div_factor`` at the last step. With `cycle_momentum`, the momentum (for Adam, the
    first beta) moves the opposite way, from `max_momentum` to `base_momentum` and back. With `three_phase`, the rate
    falls to ``max_lr / div_factor`` in as many steps as it rises, and to its last value in the remaining steps.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rates are replaced.
    max_lr : float or list of float
        The highest learning rate, or a list with one for each group.
    total_steps : int, optional
        Number of batches in all epochs together.
    epochs, steps_per_epoch : int, optional
        Alternative to `total_steps`, which is then their product.
    pct_start : float, default 0.3
        Fraction of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}, default "cos"
        The shape of the rise and the fall: half a cosine wave or a straight line.
    cycle_momentum : bool, default True
    base_momentum, max_momentum : float or list of float, default 0.85 and 0.95
    div_factor, final_div_factor : float, default 25 and 10000
    three_phase : bool, default False
    last_epoch : int, default -1
        See `Schedule`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a list does not have a number for each group, the number of steps is missing or
        given twice, or `cycle_momentum` is True but the optimizer has no momentum; in `step`, if it is called more than
        `total_steps` times.

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
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        super().__init__(optimizer, "batch", last_epoch)
        self.max_lr = self._of_each("max_lr", max_lr, math.inf)
        self.total_steps = _steps(total_steps, epochs, steps_per_epoch)
        self.pct_start = _validate.number("pct_start", pct_start, 0, 1)
        self.anneal_strategy = _validate.choice("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = _validate.flag("cycle_momentum", cycle_momentum)
        self.base_momentum = self._of_each("base_momentum", base_momentum, 1)
        self.max_momentum = self._of_each("max_momentum", max_momentum, 1)
        self.div_factor = _validate.number("div_factor", div_factor, 1, math.inf, below_high=True)
        self.final_div_factor = _validate.number("final_div_factor", final_div_factor, 1, math.inf, below_high=True)
        self.three_phase = _validate.flag("three_phase", three_phase)
        if self.cycle_momentum:
            self._check_momenta()
        self._apply()

    def step(self) -> None:
        """Set the next learning rate."""
        if self.steps == self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for `total_steps` = {self.total_steps} and ends there; "
                f"`total_steps` must be the number of batches in all epochs together."
            )
        super().step()

    def _check_momenta(self) -> None:
        """Raise the optimizer's error now if it will not take one of the momenta, such as Nesterov's rule 0."""
        for momenta in (self.base_momentum, self.max_momentum):
            for group, momentum in zip(self._groups(), momenta, strict=True):
                trial = dict(group)
                self._set_momentum(trial, momentum)
                self.optimizer._checked(trial)

    def _apply(self) -> None:
        (start, end), way = self._phase()
        for i, group in enumerate(self._groups()):
            top = self.max_lr[i]
            first = top / self.div_factor
            rates = {"first": first, "top": top, "last": first / self.final_div_factor}
            if self.cycle_momentum:
                momenta = {"first": self.max_momentum[i], "top": self.base_momentum[i], "last": self.max_momentum[i]}
                self._set_momentum(group, self._between(momenta[start], momenta[end], way))
            group["lr"] = self._between(rates[start], rates[end], way)

    def _phase(self) -> tuple[tuple[str, str], float]:
        """Return the start and end of the current phase, by name, and the fraction of it that is done."""
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        phases: list[tuple[float, tuple[str, str]]] = [(peak, ("first", "top")), (last, ("top", "last"))]
        if self.three_phase:
            phases[1:] = [(2 * peak, ("top", "first")), (last, ("first", "last"))]
        start: float = 0
        while len(phases) > 1 and self.steps > phases[0][0]:
            start = phases.pop(0)[0]
        end, phase = phases[0]
        # no batch follows the last step; PyTorch's schedule would begin to turn back there
        return phase, min((self.steps - start) / (end - start), 1.0) if end > start else 1.0

    def _between(self, start: float, end: float, way: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * way
        return end + (start - end) / 2 * (1 + math.cos(math.pi * way))

    def _set_momentum(self, group: dict, momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum
        else:
            raise ValueError(
                f"`cycle_momentum` is True, but {type(self.optimizer).__name__} has neither `betas` nor `momentum`."
            )


def _steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """Return the total number of steps."""
    if total_steps is not None:
        if epochs is not None or steps_per_epoch is not None:
            raise ValueError("Give either `total_steps`, or `epochs` and `steps_per_epoch`, not both.")
        return _validate.count("total_steps", total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("Give `total_steps`, or both `epochs` and `steps_per_epoch`.")
    return _validate.count("epochs", epochs) * _validate.count("steps_per_epoch", steps_per_epoch)
