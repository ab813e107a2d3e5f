"""RMSprop."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer, Setting, zeros


class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop``.

    With ``g = grad + weight_decay * parameter`` and the running mean ``s = alpha * s + (1 - alpha) * g^2``, a step
    subtracts ``lr * g / (sqrt(s) + eps)`` from the parameter. If `centered`, the square of the running mean of ``g`` is
    subtracted from ``s`` under the root, which leaves the variance. With momentum, a step computes ``v = momentum * v +
    g / (sqrt(s) + eps)`` and subtracts ``lr * v``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters to train, such as ``model.parameters()``, or groups with their own settings (see `Optimizer`).
    lr : float, default 0.01
        Learning rate.
    alpha : float, default 0.99
        Decay rate of the running means, from 0 to below 1.
    eps : float, default 1e-8
    weight_decay : float, default 0
    momentum : float, default 0
        From 0 to below 1.
    centered : bool, default False

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", Coursera, Neural Networks for Machine Learning, 2012; centered: A.
    Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, 2013, equations 38 to 45.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.array([1.0]))
    >>> optimizer = optim.RMSprop([weight], lr=0.1, alpha=0.75)
    >>> weight.grad = np.array([5.0])  # s = 25 / 4
    >>> optimizer.step()
    >>> weight.data.round(6)
    array([0.8])
    """

    alpha, eps, momentum, centered = Setting(), Setting(), Setting(), Setting()
    square: list[np.ndarray]
    mean: list[np.ndarray]
    velocity: list[np.ndarray]

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "momentum": momentum, "centered": centered})

    def _checked(self, group: Mapping) -> dict[str, Any]:
        return {
            **super()._checked(group),
            "alpha": _validate.number("alpha", group["alpha"], 0, 1, below_high=True),
            "eps": _validate.number("eps", group["eps"], 0, math.inf, below_high=True),
            "momentum": _validate.number("momentum", group["momentum"], 0, 1, below_high=True),
            "centered": _validate.flag("centered", group["centered"]),
        }

    def _new_buffers(self, group: Mapping) -> dict[str, list]:
        return {"square": zeros(group), "mean": zeros(group), "velocity": zeros(group)}

    def _update_group(self, backend, group, places, parameters, grads) -> None:
        squares = [self.square[i] for i in places]
        means = [self.mean[i] for i in places] if group["centered"] else None
        velocities = [self.velocity[i] for i in places] if group["momentum"] else None
        settings = group["lr"], group["alpha"], group["eps"], group["momentum"], group["weight_decay"]
        backend.rmsprop_update(parameters, grads, squares, means, velocities, *settings)
