"""The average of a model's weights over its training."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from fastcnn import _validate, backends
from fastcnn.nn import Module, Parameter
from fastcnn.optim.optimizer import check_form, check_names, checked_parameters, forms


class ExponentialMovingAverage:
    """A running average of parameters: with each update ``average = d * average + (1 - d) * parameter``.

    It often classifies better than the parameters themselves, which still move about. It begins with the parameters as
    they are. After ``t`` updates ``d`` is ``min(decay, (1 + t) / (10 + t))``, so that what there was at first, which
    may be random, is soon forgotten, in a short run too; from ``t = 9 / (1 - decay) - 10`` on it is `decay`, and the
    average remembers about the last ``1 / (1 - decay)`` updates. Buffers, as the running statistics of batch
    normalization, are not averaged: they are averages by themselves.

    Parameters
    ----------
    params : Module or iterable of Parameter
        What to average: all parameters of a model, or those.
    decay : float, default 0.999
        From 0 to 1, of an average that has run in.

    Attributes
    ----------
    updates : int
        How often `update` was called.
    averages : list of ndarray
        One for each parameter, of its shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or `decay` is out of range.

    References
    ----------
    B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM Journal on Control and
    Optimization 30 (1992), of the plain average; the exponential one is ``torch.optim.swa_utils.get_ema_avg_fn``, with
    the decay of ``tf.train.ExponentialMovingAverage`` and its ``num_updates``.

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

    def update(self) -> None:
        """Take in the parameters as they are now.

        Raises
        ------
        RuntimeError
            Within `applied`, where the parameters are the averages.
        """
        self._refuse_if_applied("update")
        for i, parameter in enumerate(self.params):
            check_form(i, parameter.data, self._forms[i])
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        parameters = [np.asarray(parameter.data, order="C") for parameter in self.params]
        backends.load().average_update(self.averages, parameters, decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the parameters be the averages within a ``with`` block; after it they are, bit for bit, what they were.

        Raises
        ------
        RuntimeError
            Within another such block of the same averages.
        """
        self._refuse_if_applied("applied")
        before = [parameter.data.copy() for parameter in self.params]
        self._is_applied = True
        try:
            self._set(self.averages)
            yield
        finally:
            self._set(before)
            self._is_applied = False

    def state_dict(self) -> dict:
        """Copy of the decay, the number of updates and the averages."""
        return {"decay": self.decay, "updates": self.updates, "averages": copy.deepcopy(self.averages)}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            As from `state_dict`, of parameters of the same shapes and dtypes.

        Raises
        ------
        TypeError, ValueError
            If it is the state of something else; nothing has changed.
        RuntimeError
            Within `applied`.
        """
        self._refuse_if_applied("load_state_dict")
        check_names(self, state, self.state_dict())
        kinds = [[(a.shape, a.dtype) for a in arrays] for arrays in (state["averages"], self.averages)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"The state's averages do not fit the parameters: {kinds[0]}.")
        decay = _validate.number("decay", state["decay"], 0, 1)
        self.updates = _validate.count("updates", state["updates"], 0)
        self.decay = decay
        self.averages = [np.array(array, order="C") for array in state["averages"]]

    def _set(self, arrays: list[np.ndarray]) -> None:
        for parameter, array in zip(self.params, arrays, strict=True):
            parameter.data[...] = array

    def _refuse_if_applied(self, what: str) -> None:
        if self._is_applied:
            raise RuntimeError(f"{what} is not for within `applied`, where the parameters are the averages.")
