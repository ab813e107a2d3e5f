"""Muon."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Parameter
from fastcnn.optim.optimizer import Optimizer, Setting, zeros

_ADJUSTMENTS = "original", "match_rms_adamw"


class Muon(Optimizer):
    """Muon, "momentum orthogonalized by Newton–Schulz", as ``torch.optim.Muon``.

    With the running mean ``v = momentum * v + (1 - momentum) * grad``, and with Nesterov's momentum ``d = momentum * v
    + (1 - momentum) * grad``, else ``d = v``, a step subtracts ``lr * (weight_decay * parameter + scale * O)`` from the
    parameter. O has the singular vectors of d, but all of its singular values are near 1. It is found by iteration:
    beginning with ``X = d / norm(d)``, each of the `ns_steps` computes ``A = X @ X.T`` and ``X = a * X + (b * A + c * A
    @ A) @ X``. So directions that the gradients rarely show count as much as those that they always show.

    Each parameter counts as a matrix with a row for each index of its first axis. So each filter of a convolution and
    the weights of each output of a linear layer are a row, and a bias is a column, whose step has a constant length.
    PyTorch's Muon takes only parameters that are matrices.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters to train, such as ``model.parameters()``, or groups with their own settings (see `Optimizer`).
    lr : float, default 0.001
        Learning rate.
    weight_decay : float, default 0.1
        Decoupled weight decay, as in `AdamW`.
    momentum : float, default 0.95
        From 0 to below 1.
    nesterov : bool, default True
        Whether to use Nesterov's momentum.
    ns_coefficients : tuple of three floats, default (3.4445, -4.775, 2.0315)
        The coefficients a, b and c of the iteration.
    eps : float, default 1e-7
        Least norm by which d is divided.
    ns_steps : int, default 5
        Number of iterations, from 0 to 99.
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        How ``scale`` follows from the numbers of rows and columns of the matrix: "original", the default, is
        ``sqrt(max(1, rows / columns))``, and "match_rms_adamw" is ``0.2 * sqrt(max(rows, columns))``, with which steps
        are about as long as those of `AdamW`.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a setting is out of range.

    References
    ----------
    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon (the coefficients, and "original"); J. Liu et al., "Muon is scalable for
    LLM training", arXiv:2502.16982, 2025, section 2.2 ("match_rms_adamw").

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn, optim
    >>> weight = nn.Parameter(np.zeros((2, 2)))
    >>> optimizer = optim.Muon([weight], lr=0.1)
    >>> weight.grad = np.array([[100.0, 0.0], [0.0, 1.0]])
    >>> optimizer.step()  # both directions count
    >>> weight.data.round(2)
    array([[-0.07,  0.  ],
           [ 0.  , -0.07]])
    """

    momentum, nesterov, ns_coefficients, eps = Setting(), Setting(), Setting(), Setting()
    ns_steps, adjust_lr_fn = Setting(), Setting()
    velocity: list[np.ndarray]

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[Mapping],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        iteration = {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps}
        super().__init__(params, {**settings, **iteration, "adjust_lr_fn": adjust_lr_fn})

    def _checked(self, group: Mapping) -> dict[str, Any]:
        coefficients, steps = group["ns_coefficients"], _validate.count("ns_steps", group["ns_steps"], 0)
        if not isinstance(coefficients, (tuple, list)) or len(coefficients) != 3:
            raise ValueError(f"`ns_coefficients` must be three numbers, not {coefficients!r}.")
        if steps > 99:
            raise ValueError(f"`ns_steps` is {steps} but must be at most 99.")
        if group["adjust_lr_fn"] is not None:
            _validate.choice("adjust_lr_fn", group["adjust_lr_fn"], _ADJUSTMENTS)
        return {
            **super()._checked(group),
            "momentum": _validate.number("momentum", group["momentum"], 0, 1, below_high=True),
            "nesterov": _validate.flag("nesterov", group["nesterov"]),
            "ns_coefficients": tuple(_validate.number("ns_coefficients", number) for number in coefficients),
            "eps": _validate.number("eps", group["eps"], 0, math.inf, below_high=True),
            "ns_steps": steps,
            "adjust_lr_fn": group["adjust_lr_fn"],
        }

    def _new_buffers(self, group: Mapping) -> dict[str, list]:
        return {"velocity": zeros(group)}

    def _update_group(self, backend, group, places, parameters, grads) -> None:
        velocities = [self.velocity[i] for i in places]
        rates = [group["lr"] * _scale(parameter, group["adjust_lr_fn"]) for parameter in parameters]
        settings = group["momentum"], group["nesterov"], group["lr"] * group["weight_decay"]
        iteration = group["ns_coefficients"], group["ns_steps"], group["eps"]
        backend.muon_update(parameters, grads, velocities, rates, *settings, *iteration)


def _scale(parameter: np.ndarray, adjust: str | None) -> float:
    """Return the factor of the step of a parameter."""
    rows, columns = math.prod(parameter.shape[:1]), math.prod(parameter.shape[1:])
    return 0.2 * math.sqrt(max(rows, columns)) if adjust == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
