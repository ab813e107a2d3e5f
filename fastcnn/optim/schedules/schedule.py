"""Base of the schedules: when they step, their optimizer, and a state to save and load."""

from collections.abc import Mapping

from fastcnn import _validate
from fastcnn.optim.checks import check_names
from fastcnn.optim.optimizer import Optimizer


class Schedule:
    """Base of the schedules.

    A subclass defines ``_rate(first)``, which returns the learning rate at step ``self.steps`` of a group that started
    with the rate ``first``. Its ``__init__`` calls ``_apply()``, which sets the rates of all groups, for step 0.

    Parameters
    ----------
    optimizer : Optimizer
    every : {"batch", "epoch"}
        When to call `step`.
    last_epoch : int, default -1
        Must be -1: a new schedule starts at the beginning, and `load_state_dict` lets it continue.

    Attributes
    ----------
    every : {"batch", "epoch"}
        When to call `step`: after each batch, or after each epoch. `fastcnn.training.Trainer` does this.
    needs_metric : bool
        Whether `step` takes a metric such as the validation loss, as that of `ReduceLROnPlateau` does.
    steps : int
        Number of calls of `step`.
    base_lrs : list of float
        The learning rates of the optimizer's groups when the schedule was made.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is not an Optimizer, `every` is unknown or `last_epoch` is not -1.
    """

    needs_metric = False

    def __init__(self, optimizer: Optimizer, every: str, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"`optimizer` must be an Optimizer, not {type(optimizer).__name__}.")
        self.optimizer = optimizer
        self.every = _validate.choice("every", every, ("batch", "epoch"))
        if _validate.whole("last_epoch", last_epoch) != -1:
            raise ValueError(
                f"`last_epoch` is {last_epoch} but must be -1: to continue, load the states of the schedule and of its "
                "optimizer (load_state_dict), or restore a checkpoint."
            )
        self.steps = 0
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]

    def step(self) -> None:
        """Set the next learning rate.

        Raises
        ------
        ValueError
            If the optimizer has other groups than before; nothing has changed.
        """
        self._groups()
        self.steps += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """Return the current learning rates of the groups."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """Return all settings and the number of steps; the optimizer has its own state."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : mapping
            As returned by `state_dict` of a schedule of the same class. Load the optimizer's state separately.

        Raises
        ------
        TypeError, ValueError
            If the state does not fit; nothing has changed.
        """
        check_names(self, state, self.state_dict())
        _validate.count("steps", state["steps"], 0)
        if not isinstance(state["base_lrs"], list):
            raise TypeError(f"The state's `base_lrs` must be a list of numbers, not {state['base_lrs']!r:.60}.")
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"The state is that of a schedule for {len(state['base_lrs'])} groups, but here there are "
                f"{len(self.base_lrs)}."
            )
        vars(self).update(state)

    def _apply(self) -> None:
        for group, first in zip(self._groups(), self.base_lrs, strict=True):
            group["lr"] = self._rate(first)

    def _rate(self, first: float) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define _rate(first).")

    def _groups(self) -> list[dict]:
        """Return the groups of the optimizer, or raise an error if some were added since the schedule was made."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ValueError(
                f"The optimizer has {len(groups)} groups, but had {len(self.base_lrs)} when this {type(self).__name__} "
                "was made; make the schedule after `add_param_group`."
            )
        return groups

    def _of_each(self, name: str, value, high: float) -> list[float]:
        """Return a number from 0 to below ``high`` for each group, from a list or from one number for all."""
        count = len(self.base_lrs)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * count
        if len(values) != count:
            raise ValueError(f"`{name}` holds {len(values)} numbers but the optimizer has {count} groups.")
        return [_validate.number(name, one, 0, high, below_high=True) for one in values]
