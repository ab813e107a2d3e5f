"""What the schedules share: when they are due, their optimizer, and a state to save and load."""

from collections.abc import Mapping

from fastcnn import _validate
from fastcnn.optim.optimizer import Optimizer, check_names


class Schedule:
    """Base of the schedules.

    One defines ``_apply()``, which sets the learning rate of step ``self.steps``, from ``self.first_lr`` where it goes
    out from the optimizer's; and calls it when it is made: step 0.

    Parameters
    ----------
    optimizer : Optimizer
    every : {"batch", "epoch"}
        When `step` is due.

    Attributes
    ----------
    every : {"batch", "epoch"}
        When `step` is due: after each batch, or after each epoch. `fastcnn.training.Trainer` obeys.
    needs_metric : bool
        Whether `step` takes the loss (or another metric) of the validation, as `ReduceLROnPlateau`.
    steps : int
        How often `step` was called.
    first_lr : float
        The optimizer's learning rate when the schedule was made.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is no Optimizer or `every` is unknown.
    """

    needs_metric = False

    def __init__(self, optimizer: Optimizer, every: str):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"`optimizer` must be an Optimizer, not {type(optimizer).__name__}.")
        self.optimizer = optimizer
        self.every = _validate.choice("every", every, ("batch", "epoch"))
        self.steps = 0
        self.first_lr = optimizer.lr

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
        check_names(self, state, self.state_dict())
        vars(self).update(state)

    def _apply(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define _apply().")
