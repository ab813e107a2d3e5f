"""Adam and AdamW."""

import math
from collections.abc import Iterable

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``.

    In step ``t``, from 1, with ``g = grad + weight_decay * parameter`` and the running means
    ``m = beta1 * m + (1 - beta1) * g`` and ``s = beta2 * s + (1 - beta2) * g^2``, the parameter loses
    ``lr * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)``.

    Parameters
    ----------
    params : iterable of Parameter
        What to train, as from ``model.parameters()``.
    lr : float, default 0.001
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Both from 0 to below 1.
    eps : float, default 1e-8
    weight_decay : float, default 0

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

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

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"`betas` must be a pair of numbers, not {betas!r}.")
        self.betas = tuple(_validate.number("betas", beta, 0, 1, below_high=True) for beta in betas)
        self.eps = _validate.number("eps", eps, 0, math.inf, below_high=True)
        self.steps = [0] * len(self.params)
        self.mean = self._zeros()
        self.square = self._zeros()

    def _count(self, places, steps) -> None:
        for i in places:
            self.steps[i] += steps

    def _update(self, backend, places, parameters, grads) -> None:
        states = ([state[i] for i in places] for state in (self.mean, self.square, self.steps))
        backend.adam_update(parameters, grads, *states, self.lr, *self.betas, self.eps, *self._decays())

    def _decays(self) -> tuple[float, float]:
        """What is added to the gradient for each unit of a parameter; what part of itself the parameter loses."""
        return self.weight_decay, 0.0


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``.

    The parameter loses what it does in `Adam` without weight decay, and ``lr * weight_decay`` times itself: the decay
    is not divided by the size of the gradients.

    Parameters
    ----------
    params, lr, betas, eps
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
    >>> optimizer.step()  # loses 0.1 * 0.5 and 0.1
    >>> weight.data
    array([0.85])
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decays(self) -> tuple[float, float]:
        return 0.0, self.lr * self.weight_decay
