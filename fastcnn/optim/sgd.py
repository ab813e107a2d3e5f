"""Stochastic gradient descent."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer, Setting, zeros


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``.

    With ``g = grad + weight_decay * parameter`` and ``v = momentum * v + g``, a step subtracts ``lr * v`` from the
    parameter, or with Nesterov's momentum ``lr * (g + momentum * v)``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters to train, such as ``model.parameters()``, or groups with their own settings (see `Optimizer`).
    lr : float, default 0.001
        Learning rate.
    momentum : float, default 0
        From 0 to below 1.
    weight_decay : float, default 0
    nesterov : bool, default False
        Whether to use Nesterov's momentum. `momentum` must then be above 0.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013 (Nesterov's momentum, with the learning rate outside of ``v`` here).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.array([1.0]))
    >>> optimizer = optim.SGD([weight], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     weight.grad = np.array([1.0])
    ...     optimizer.step()
    >>> weight.data
    array([0.71])
    """

    momentum, nesterov = Setting(), Setting()
    velocity: list[np.ndarray]

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})

    def _checked(self, group: Mapping) -> dict[str, Any]:
        momentum = _validate.number("momentum", group["momentum"], 0, 1, below_high=True)
        nesterov = _validate.flag("nesterov", group["nesterov"])
        if nesterov and momentum == 0:
            raise ValueError("`nesterov` is True but `momentum` is 0; Nesterov's rule needs a momentum.")
        return {**super()._checked(group), "momentum": momentum, "nesterov": nesterov}

    def _new_buffers(self, group: Mapping) -> dict[str, list]:
        return {"velocity": zeros(group)}

    def _update_group(self, backend, group, places, parameters, grads) -> None:
        velocities = [self.velocity[i] for i in places] if group["momentum"] else None
        settings = group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]
        backend.sgd_update(parameters, grads, velocities, *settings)
