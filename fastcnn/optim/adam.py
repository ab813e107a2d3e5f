"""Adam and AdamW."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer, Setting, zeros


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``.

    With ``g = grad + weight_decay * parameter`` and the running means ``m = beta1 * m + (1 - beta1) * g`` and ``s =
    beta2 * s + (1 - beta2) * g^2``, step ``t``, counted from 1, subtracts ``lr * (m / (1 - beta1^t)) / (sqrt(s / (1 -
    beta2^t)) + eps)`` from the parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters to train, such as ``model.parameters()``, or groups with their own settings (see `Optimizer`).
    lr : float, default 0.001
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay rates of the running means, both from 0 to below 1.
    eps : float, default 1e-8
    weight_decay : float, default 0
    amsgrad : bool, default False
        Whether to use the largest ``s`` so far of each value instead of ``s``, so that steps do not grow when large
        gradients are forgotten. It cannot be switched on later.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1; amsgrad: S. J. Reddi, S.
    Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.array([1.0]))
    >>> optimizer = optim.Adam([weight], lr=0.1)
    >>> weight.grad = np.array([5.0])
    >>> optimizer.step()
    >>> weight.data
    array([0.9])
    """

    betas, eps, amsgrad = Setting(), Setting(), Setting()
    steps: list[int]
    mean: list[np.ndarray]
    square: list[np.ndarray]
    largest: list[np.ndarray | None]

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ):
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "amsgrad": amsgrad})

    def _checked(self, group: Mapping) -> dict[str, Any]:
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"`betas` must be a pair of numbers, not {betas!r}.")
        return {
            **super()._checked(group),
            "betas": tuple(_validate.number("betas", beta, 0, 1, below_high=True) for beta in betas),
            "eps": _validate.number("eps", group["eps"], 0, math.inf, below_high=True),
            "amsgrad": _validate.flag("amsgrad", group["amsgrad"]),
        }

    def _new_buffers(self, group: Mapping) -> dict[str, list]:
        count = len(group["params"])
        largest = zeros(group) if group["amsgrad"] else [None] * count
        return {"steps": [0] * count, "mean": zeros(group), "square": zeros(group), "largest": largest}

    def _check_buffers(self, buffers) -> None:
        for count in buffers["steps"]:
            _validate.count("steps", count, 0)

    def _count(self, places) -> None:
        for i in places:
            self.steps[i] += 1

    def _update_group(self, backend, group, places, parameters, grads) -> None:
        means, squares, largest = ([state[i] for i in places] for state in (self.mean, self.square, self.largest))
        steps = [self.steps[i] + 1 for i in places]
        if group["amsgrad"] and largest[0] is None:
            raise ValueError("`amsgrad` is True, but it was not when the group was made; set it for a new group.")
        states = means, squares, largest if group["amsgrad"] else None, steps
        settings = group["lr"], *group["betas"], group["eps"], *self._decays(group)
        backend.adam_update(parameters, grads, *states, *settings)

    def _decays(self, group: Mapping) -> tuple[float, float]:
        """Return the factors of the parameter that are added to the gradient and subtracted from the parameter."""
        return group["weight_decay"], 0.0


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``.

    A step subtracts what `Adam` does without weight decay, and ``lr * weight_decay * parameter``. So the decay is not
    divided by the size of the gradients.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad
        As in `Adam`.
    weight_decay : float, default 0.01

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.array([1.0]))
    >>> optimizer = optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    >>> weight.grad = np.array([5.0])
    >>> optimizer.step()  # subtracts 0.1 * 0.5 and 0.1
    >>> weight.data
    array([0.85])
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def _decays(self, group: Mapping) -> tuple[float, float]:
        return 0.0, group["lr"] * group["weight_decay"]
