"""What the optimizers share: their parameters, checks, and a state to save and load."""

import copy
import math
from collections.abc import Iterable, Mapping

import numpy as np

from fastcnn import _validate, backends
from fastcnn.nn import Parameter
from fastcnn.nn.parameter import zero_grad


class Optimizer:
    """Base of the optimizers; one defines ``_update(backend, places, parameters, grads)``.

    Parameters
    ----------
    params : iterable of Parameter
        What to train, as from ``model.parameters()``.
    lr : float
        Learning rate.
    weight_decay : float
        Factor of the parameter that is added to its gradient.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a number is out of range.
    """

    def __init__(self, params: Iterable[Parameter], lr: float, weight_decay: float):
        self.params = checked_parameters(params)
        self._forms = forms(self.params)
        self.lr = _validate.number("lr", lr, 0, math.inf, below_high=True)
        self.weight_decay = _validate.number("weight_decay", weight_decay, 0, math.inf, below_high=True)

    def step(self) -> None:
        """Change every parameter that has a gradient, in place, by the current backend.

        Raises
        ------
        TypeError, ValueError
            If a parameter has not the shape and dtype that it had when the optimizer was made, or a gradient not those
            of its parameter; no parameter has changed.
        """
        places, parameters, grads = self._ready()
        if places:
            self._count(places, 1)
            self._update(backends.load(), places, parameters, grads)

    def _ready(self) -> tuple[list[int], list[np.ndarray], list[np.ndarray]]:
        """Which parameters have a gradient, and both, checked."""
        places: list[int] = []
        parameters: list[np.ndarray] = []
        grads: list[np.ndarray] = []
        for i, parameter in enumerate(self.params):
            data, grad = parameter.data, parameter.grad
            if grad is None:
                continue
            check_form(i, data, self._forms[i])
            check_grad(i, grad, data)
            if not data.flags.carray:
                raise ValueError(f"Parameter {i} cannot be changed in place: its array is read-only or strided.")
            places.append(i)
            parameters.append(data)
            grads.append(np.ascontiguousarray(grad))
        return places, parameters, grads

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; or, without ``set_to_none``, let those that are there be zeros."""
        zero_grad(self.params, set_to_none)

    def state_dict(self) -> dict:
        """Copy of all settings and buffers: what a run needs, besides the parameters, to go on as if never stopped."""
        return copy.deepcopy({name: value for name, value in vars(self).items() if name not in ("params", "_forms")})

    def buffers(self) -> dict[str, list]:
        """Copy of what it remembers of each parameter, as momentum: `state_dict` without the settings."""
        return {name: value for name, value in self.state_dict().items() if isinstance(value, list)}

    def load_state_dict(self, state: Mapping) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : mapping
            As from `state_dict` of an optimizer of the same class for parameters of the same shapes.

        Raises
        ------
        ValueError
            If it is the state of something else; nothing has changed.
        """
        own = self.state_dict()
        check_names(self, state, own)
        for name, value in own.items():
            if _shapes(state[name]) != _shapes(value):
                raise ValueError(f"The state's {name!r} does not fit the parameters: {_shapes(state[name])}.")
        vars(self).update(copy.deepcopy(dict(state)))

    def _update(self, backend, places: list[int], parameters: list[np.ndarray], grads: list[np.ndarray]) -> None:
        """Change the parameters that stand at these places."""
        raise NotImplementedError(f"{type(self).__name__} must define _update(backend, places, parameters, grads).")

    def _count(self, places: list[int], steps: int) -> None:
        """So many steps more of the parameters at these places, for one that counts them."""

    def _arrays(self) -> list[np.ndarray]:
        """What it remembers of all parameters."""
        lists = [value for value in vars(self).values() if isinstance(value, list)]
        return [item for value in lists for item in value if isinstance(item, np.ndarray)]

    def _zeros(self) -> list[np.ndarray]:
        """A buffer of zeros for each parameter."""
        return [np.zeros_like(parameter.data) for parameter in self.params]


def check_names(owner, state: Mapping, own: Mapping) -> None:
    """Refuse a state that has other entries than the ``owner``'s own."""
    if state.keys() != own.keys():
        raise ValueError(
            f"The state has {', '.join(map(repr, state))} but that of {type(owner).__name__} has "
            f"{', '.join(map(repr, own))}."
        )


def forms(params: list[Parameter]) -> list[tuple]:
    """Shape and dtype of each parameter, as its buffers will have."""
    return [(parameter.shape, parameter.dtype) for parameter in params]


def check_form(i: int, data: np.ndarray, form: tuple) -> None:
    """Refuse an array that was put into parameter ``i`` since and does not fit its buffers."""
    if (data.shape, data.dtype) != form:
        raise ValueError(
            f"Parameter {i} has shape {data.shape} and dtype {data.dtype}, but {form[0]} and {form[1]} when its buffers"
            " were made; make them anew for other parameters."
        )


def check_grad(i: int, grad: np.ndarray, data: np.ndarray) -> None:
    """Refuse a gradient of another form than that of parameter ``i``."""
    if grad.shape != data.shape or grad.dtype != data.dtype:
        raise ValueError(
            f"The gradient of parameter {i} has shape {grad.shape} and dtype {grad.dtype} "
            f"but must have those of the parameter, {data.shape} and {data.dtype}."
        )


def checked_parameters(params) -> list[Parameter]:
    """At least one parameter, each once."""
    if not isinstance(params, Iterable):
        raise TypeError(f"`params` must be parameters, as from model.parameters(), not {type(params).__name__}.")
    params = list(params)
    for parameter in params:
        if not isinstance(parameter, Parameter):
            raise TypeError(f"`params` must hold Parameters only, not {type(parameter).__name__}.")
    if not params:
        raise ValueError("`params` holds no parameter; an iterator such as model.parameters() can be used once.")
    return list(dict.fromkeys(params))


def _shapes(value):
    """Shapes and dtypes of a list of buffers; nothing for a setting."""
    return [(getattr(b, "shape", None), getattr(b, "dtype", None)) for b in value] if isinstance(value, list) else None
