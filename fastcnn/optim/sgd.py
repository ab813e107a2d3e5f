"""Stochastic gradient descent."""

from collections.abc import Iterable

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``.

    With ``g = grad + weight_decay * parameter`` and ``v = momentum * v + g``, the parameter loses ``lr * v``, or with
    Nesterov's momentum ``lr * (g + momentum * v)``.

    Parameters
    ----------
    params : iterable of Parameter
        What to train, as from ``model.parameters()``.
    lr : float
        Learning rate.
    momentum : float, default 0
        From 0 to below 1.
    weight_decay : float, default 0
    nesterov : bool, default False
        Needs a momentum.

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

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(params, lr, weight_decay)
        self.momentum = _validate.number("momentum", momentum, 0, 1, below_high=True)
        self.nesterov = _validate.flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` is True but `momentum` is 0; Nesterov's rule needs a momentum.")
        self.velocity = self._zeros()

    def _update(self, backend, places, parameters, grads) -> None:
        velocities = [self.velocity[i] for i in places] if self.momentum else None
        backend.sgd_update(parameters, grads, velocities, self.lr, self.momentum, self.weight_decay, self.nesterov)
