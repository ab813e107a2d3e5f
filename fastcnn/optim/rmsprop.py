"""RMSprop."""

import math
from collections.abc import Iterable

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop, as ``torch.optim.RMSprop``.

    With ``g = grad + weight_decay * parameter`` and the running mean ``s = alpha * s + (1 - alpha) * g^2``, the
    parameter loses ``lr * g / (sqrt(s) + eps)``. If it is centered, the square of the running mean of ``g`` is taken
    from ``s`` under the root, which leaves the variance. With momentum, ``v = momentum * v + g / (sqrt(s) + eps)`` and
    the parameter loses ``lr * v``.

    Parameters
    ----------
    params : iterable of Parameter
        What to train, as from ``model.parameters()``.
    lr : float, default 0.01
        Learning rate.
    alpha : float, default 0.99
        From 0 to below 1.
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

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        super().__init__(params, lr, weight_decay)
        self.alpha = _validate.number("alpha", alpha, 0, 1, below_high=True)
        self.eps = _validate.number("eps", eps, 0, math.inf, below_high=True)
        self.momentum = _validate.number("momentum", momentum, 0, 1, below_high=True)
        self.centered = _validate.flag("centered", centered)
        self.square = self._zeros()
        self.mean = self._zeros()
        self.velocity = self._zeros()

    def _update(self, backend, places, parameters, grads) -> None:
        squares = [self.square[i] for i in places]
        means = [self.mean[i] for i in places] if self.centered else None
        velocities = [self.velocity[i] for i in places] if self.momentum else None
        settings = self.lr, self.alpha, self.eps, self.momentum, self.weight_decay
        backend.rmsprop_update(parameters, grads, squares, means, velocities, *settings)
