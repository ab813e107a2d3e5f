"""Moving averages of a model's weights during training."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from fastcnn import _validate, backends
from fastcnn.nn import Module, Parameter
from fastcnn.nn.parameter import own
from fastcnn.optim.checks import check_form, check_names, checked_parameters, copied, fits, forms, kinds
from fastcnn.optim.postponing import postponed


class ExponentialMovingAverage:
    """A running average of parameters: with each update ``average = d * average + (1 - d) * parameter``.

    A model often classifies better with these averages than with the parameters themselves, which still fluctuate. The
    averages start as copies of the parameters. After ``t`` updates ``d`` is ``min(decay, (1 + t) / (10 + t))``, so the
    initial values, which may be random, are soon forgotten even in a short run. From ``t = 9 / (1 - decay) - 10`` on,
    ``d`` is `decay`, and the average covers about the last ``1 / (1 - decay)`` updates. Buffers, such as the running
    statistics of batch normalization, are averages already and are not averaged here.

    Parameters
    ----------
    params : Module or iterable of Parameter
        Parameters to average, or a model; its parameters are then all averaged.
    decay : float, default 0.999
        Final value of ``d``, from 0 to 1.

    Attributes
    ----------
    updates : int
        Number of calls of `update`.
    averages : list of ndarray
        One for each parameter, of its shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or `decay` is out of range.

    References
    ----------
    B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
    Optimization 30 (1992), describes the plain average. The exponential one is that of
    ``torch.optim.swa_utils.get_ema_avg_fn``, with the decay of ``tf.train.ExponentialMovingAverage`` with
    ``num_updates``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.array([0.0]))
    >>> average = optim.ExponentialMovingAverage([weight], decay=0.75)
    >>> weight.data[:] = 8.0
    >>> average.update()  # after each step of the optimizer; the first decay is 1 / 10
    >>> with average.applied():
    ...     print(weight.data)
    [7.2]
    >>> weight.data
    array([8.])
    """

    def __init__(self, params: Module | Iterable[Parameter], decay: float = 0.999):
        self.params = checked_parameters(params.parameters() if isinstance(params, Module) else params)
        self.decay = _validate.number("decay", decay, 0, 1)
        self.updates = 0
        self._forms = forms(self.params)
        self.averages = [parameter.data.copy() for parameter in self.params]
        self._is_applied = False

    def __setstate__(self, state: dict) -> None:
        vars(self).update({**state, "averages": [own(array) for array in state["averages"]]})

    def update(self) -> None:
        """Update the averages with the current parameters.

        Raises
        ------
        TypeError, ValueError
            If a parameter no longer has the shape and dtype of its average, or `decay` was set to something out of
            range; no average has changed.
        RuntimeError
            Within `applied`, where the parameters are the averages.
        """
        self._refuse_if_applied("update")
        self._check_forms()
        final = _validate.number("decay", self.decay, 0, 1)  # it may have been assigned
        decay = min(final, (1 + self.updates) / (10 + self.updates))
        parameters = [np.asarray(parameter.data, order="C") for parameter in self.params]
        backend = backends.load()
        make_changes = postponed(
            backend, lambda: backend.average_update(self.averages, parameters, decay), lambda: self.averages
        )
        make_changes()
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set the parameters to the averages within a ``with`` block, and restore them bit for bit after it.

        Raises
        ------
        ValueError
            If a parameter no longer has the shape and dtype of its average, or is read-only; nothing has changed.
        RuntimeError
            Within another such block of the same averages.
        """
        self._refuse_if_applied("applied")
        self._check_forms()
        for i, parameter in enumerate(self.params):
            if not parameter.data.flags.writeable:
                raise ValueError(f"Parameter {i} cannot be set to its average: its array is read-only.")
        before = [parameter.data.copy() for parameter in self.params]
        self._is_applied = True
        try:
            self._set(self.averages)
            yield
        finally:
            self._set(before)
            self._is_applied = False

    def state_dict(self) -> dict:
        """Return a copy of the decay, the number of updates and the averages."""
        return {"decay": self.decay, "updates": self.updates, "averages": copy.deepcopy(self.averages)}

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : mapping
            As returned by `state_dict`, for parameters of the same shapes and dtypes.

        Raises
        ------
        TypeError, ValueError
            If the state does not fit; nothing has changed.
        RuntimeError
            Within `applied`.
        """
        self._refuse_if_applied("load_state_dict")
        check_names(self, state, self.state_dict())
        if not fits(state["averages"], self.averages, self._forms):
            raise ValueError(f"The state's averages do not fit the parameters: {kinds(state['averages'])}.")
        decay = _validate.number("decay", state["decay"], 0, 1)
        updates = _validate.count("updates", state["updates"], 0)
        self.averages, self.decay, self.updates = copied(state["averages"]), decay, updates

    def _check_forms(self) -> None:
        for i, parameter in enumerate(self.params):
            check_form(i, parameter.data, self._forms[i])

    def _set(self, arrays: list[np.ndarray]) -> None:
        for parameter, array in zip(self.params, arrays, strict=True):
            parameter.data[...] = array

    def _refuse_if_applied(self, what: str) -> None:
        if self._is_applied:
            raise RuntimeError(f"{what} cannot be used within `applied`, where the parameters are the averages.")
