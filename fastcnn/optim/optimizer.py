"""Base of the optimizers: their parameters, checks, and a state to save and load."""

import bisect
import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate, backends
from fastcnn._names import choices_for
from fastcnn.nn import Parameter
from fastcnn.nn.parameter import own, zero_grad


class Setting:
    """A setting as an attribute of the optimizer: reading gives that of the first group, assigning sets all groups."""

    def __set_name__(self, owner, name: str) -> None:
        self._name = name

    def __get__(self, optimizer, kind=None) -> Any:
        return self if optimizer is None else optimizer.param_groups[0][self._name]

    def __set__(self, optimizer, value) -> None:
        for group in optimizer.param_groups:
            group[self._name] = value


class Optimizer:
    """Base of the optimizers.

    A subclass defines ``_checked(group)``, which checks its settings in addition to those that are checked here;
    ``_new_buffers(group)``, which returns the buffers for the parameters of a new group; and ``_update_group(backend,
    group, places, parameters, grads)``, which updates parameters.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters to train, such as ``model.parameters()``; or groups of parameters, each with its own settings:
        ``[{"params": head.parameters(), "lr": 0.1}, {"params": body.parameters()}]``.
    defaults : dict
        Default settings of the groups. Every optimizer has "lr", the learning rate, and "weight_decay", the factor of
        the parameter that is added to its gradient.

    Attributes
    ----------
    param_groups : list of dict
        The groups. Each has its settings by name, which may be changed at any time, and under "params" a tuple of its
        parameters.
    params : list of Parameter
        The parameters of all groups.
    lr, weight_decay, ...
        Each setting: reading gives that of the first group, assigning sets it in all groups.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, a parameter is in two groups, or a setting is unknown or out of range.

    Examples
    --------
    >>> from fastcnn import nn, optim
    >>> body, head = nn.Linear(4, 3), nn.Linear(3, 2)
    >>> groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.1}]
    >>> optimizer = optim.SGD(groups, lr=0.01, momentum=0.9)
    >>> optimizer.param_groups[0]["weight_decay"] = 1e-4
    >>> [(group["lr"], group["momentum"], group["weight_decay"]) for group in optimizer.param_groups]
    [(0.01, 0.9, 0.0001), (0.1, 0.9, 0.0)]
    """

    lr, weight_decay = Setting(), Setting()

    def __init__(self, params: Iterable[Parameter] | Iterable[Mapping], defaults: dict):
        self.defaults = self._checked(defaults)
        self.params: list[Parameter] = []
        self._forms: list[tuple] = []
        self.param_groups: list[dict[str, Any]] = []
        for group in _groups(params):
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping) -> None:
        """Add parameters to train, such as those of layers that were frozen; make schedules after it.

        Parameters
        ----------
        param_group : mapping
            "params", which is one or more parameters, and any settings. Settings that are missing have their defaults.

        Raises
        ------
        TypeError, ValueError
            If there are no parameters, a parameter is in another group, or a setting is unknown or out of range;
            nothing has changed.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"A group must be a dictionary with 'params', not {param_group!r:.60}.")
        for name in param_group:
            if name != "params" and name not in self.defaults:
                raise ValueError(
                    f"A group has {name!r}, which is not a setting of {type(self).__name__}; its settings are "
                    f"{choices_for(name, self.defaults, repr)}."
                )
        given = param_group["params"]
        params = checked_parameters([given] if isinstance(given, Parameter) else given)
        if not {*params}.isdisjoint(self.params):
            raise ValueError("A parameter is in two groups; each must be in one.")
        group = {"params": tuple(params), **self._checked({**self.defaults, **param_group})}
        for name, new in self._new_buffers(group).items():
            vars(self).setdefault(name, []).extend(new)
        self.params += params
        self._forms += forms(params)
        self.param_groups.append(group)

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        for value in filter(lambda value: isinstance(value, list), state.values()):
            value[:] = [own(item) if isinstance(item, np.ndarray) else item for item in value]

    def step(self) -> None:
        """Update every parameter that has a gradient, in place, with the current backend.

        Raises
        ------
        TypeError, ValueError
            If a parameter no longer has the shape and dtype that it had when the optimizer was made, or a gradient does
            not have those of its parameter. After these and all other errors, no parameter has changed.
        """
        places, parameters, grads = self._ready()
        backend = backends.load()
        make_changes = postponed(backend, lambda: self._update(backend, places, parameters, grads))
        make_changes()
        self._count(places)

    def _ready(self) -> tuple[list[int], list[np.ndarray], list[np.ndarray]]:
        """Check all parameters with a gradient; return their indices, arrays and gradients."""
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
            grads.append(np.asarray(grad, order="C"))
        return places, parameters, grads

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None or, without ``set_to_none``, existing ones to zeros."""
        zero_grad(self.params, set_to_none)

    def state_dict(self) -> dict:
        """Return a copy of all settings and buffers: what a run needs, besides the parameters, to be resumed exactly.

        As in PyTorch, the groups contain the indices of their parameters.
        """
        places = iter(range(len(self.params)))
        groups = [
            {**group, "params": list(itertools.islice(places, len(group["params"])))} for group in self.param_groups
        ]
        return copy.deepcopy({"param_groups": groups, **self._remembered()})

    def buffers(self) -> dict[str, list]:
        """Return a copy of the buffers of all parameters, such as momentum: `state_dict` without the settings."""
        return copy.deepcopy({name: value for name, value in self._remembered().items() if isinstance(value, list)})

    def load_state_dict(self, state: Mapping) -> None:
        """Continue from a state.

        Parameters
        ----------
        state : mapping
            As returned by `state_dict` of an optimizer of the same class for parameters of the same shapes.

        Raises
        ------
        TypeError, ValueError
            If the state does not fit, or a setting is out of range; nothing has changed.
        """
        own = self.state_dict()
        check_names(self, state, own)
        groups, buffers = state["param_groups"], {name: state[name] for name in own if name != "param_groups"}
        if [group["params"] for group in groups] != [group["params"] for group in own["param_groups"]]:
            raise ValueError(
                f"The state's groups have the parameters {[group['params'] for group in groups]} but must have "
                f"{[group['params'] for group in own['param_groups']]}."
            )
        for group, kept in zip(groups, self.param_groups, strict=True):
            check_names(self, group, kept)
        settings = [self._checked(group) for group in groups]
        fitting = own | self._buffers_of(
            [{**group, **changed} for group, changed in zip(self.param_groups, settings, strict=True)]
        )
        for name, value in buffers.items():
            if _shapes(value) != _shapes(fitting[name]):
                raise ValueError(f"The state's {name!r} does not fit the parameters: {_shapes(value)}.")
        buffers = copy.deepcopy(buffers)
        for group, changed in zip(self.param_groups, settings, strict=True):
            group.update(changed)
        vars(self).update(buffers)

    def _checked(self, group: Mapping) -> dict[str, Any]:
        """Check the settings of a group; return them as they are stored."""
        return {
            name: _validate.number(name, group[name], 0, math.inf, below_high=True) for name in ("lr", "weight_decay")
        }

    def _new_buffers(self, group: Mapping) -> dict[str, list]:
        """Return the buffers of a new group: lists by name, with an item for each parameter."""
        return {}

    def _buffers_of(self, groups: Iterable[Mapping]) -> dict[str, list]:
        """Return the initial buffers of these groups."""
        found: dict[str, list] = {}
        for group in groups:
            for name, new in self._new_buffers(group).items():
                found.setdefault(name, []).extend(new)
        return found

    def _update(self, backend, places: list[int], parameters: list[np.ndarray], grads: list[np.ndarray]) -> None:
        """Update the parameters with these indices, group by group."""
        first = end = 0
        for group in self.param_groups:
            end += len(group["params"])
            last = bisect.bisect_left(places, end)
            if last > first:
                part = slice(first, last)
                self._update_group(backend, group, places[part], parameters[part], grads[part])
            first = last

    def _update_group(
        self, backend, group: Mapping, places: list[int], parameters: list[np.ndarray], grads: list[np.ndarray]
    ) -> None:
        """Update the parameters with these indices, all of one group."""
        raise NotImplementedError(
            f"{type(self).__name__} must define _update_group(backend, group, places, parameters, grads)."
        )

    def _count(self, places: list[int]) -> None:
        """Count a step of the parameters with these indices, after it, if the optimizer counts steps."""

    def _remembered(self) -> dict[str, Any]:
        """Return all attributes except settings and parameters."""
        return {name: value for name, value in vars(self).items() if name not in _OWN}

    def _settings(self) -> list:
        """Return all objects that a step depends on besides the arrays; they are the same if nothing has changed."""
        return [*vars(self).values(), *(value for group in self.param_groups for value in group.values())]

    def _arrays(self) -> list[np.ndarray]:
        """Return the buffers of all parameters."""
        lists = [value for value in vars(self).values() if isinstance(value, list)]
        return [item for value in lists for item in value if isinstance(item, np.ndarray)]


def postponed(backend, update: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that makes all changes of ``update`` or, after an error and except in "naive", none."""
    return backend.postponed(update) if hasattr(backend, "postponed") else update


_OWN = "defaults", "params", "_forms", "param_groups"


def zeros(group: Mapping) -> list[np.ndarray]:
    """Return a buffer of zeros for each parameter of a group."""
    return [np.zeros_like(parameter.data) for parameter in group["params"]]


def _groups(params) -> list[Mapping]:
    """Return the ``params`` of an optimizer as groups."""
    if isinstance(params, Iterable):
        params = list(params)
        if params and isinstance(params[0], Mapping):
            return params
    return [{"params": checked_parameters(params)}]


def check_names(owner, state: Mapping, own: Mapping) -> None:
    """Raise an error if a state does not have the entries of the ``owner``'s own state."""
    if state.keys() != own.keys():
        raise ValueError(
            f"The state has {', '.join(map(repr, state))} but that of {type(owner).__name__} has "
            f"{', '.join(map(repr, own))}."
        )


def forms(params: list[Parameter]) -> list[tuple]:
    """Return the shape and dtype of each parameter, which are also those of its buffers."""
    return [(parameter.shape, parameter.dtype) for parameter in params]


def check_form(i: int, data: np.ndarray, form: tuple) -> None:
    """Raise an error if a new array was assigned to parameter ``i`` that does not fit its buffers."""
    if (data.shape, data.dtype) != form:
        raise ValueError(
            f"Parameter {i} has shape {data.shape} and dtype {data.dtype}, but its buffers were made for {form[0]} and "
            f"{form[1]}; make a new optimizer or average for changed parameters."
        )


def check_grad(i: int, grad: np.ndarray, data: np.ndarray) -> None:
    """Raise an error if a gradient does not have the shape and dtype of parameter ``i``."""
    if grad.shape != data.shape or grad.dtype != data.dtype:
        raise ValueError(
            f"The gradient of parameter {i} has shape {grad.shape} and dtype {grad.dtype} "
            f"but must have those of the parameter, {data.shape} and {data.dtype}."
        )


def checked_parameters(params) -> list[Parameter]:
    """Check that ``params`` holds at least one parameter; return each once."""
    if not isinstance(params, Iterable):
        raise TypeError(f"`params` must be parameters, such as model.parameters(), not {type(params).__name__}.")
    params = list(params)
    for parameter in params:
        if not isinstance(parameter, Parameter):
            raise TypeError(f"`params` must hold Parameters only, not {type(parameter).__name__}.")
    if not params:
        raise ValueError("`params` holds no parameter; an iterator such as model.parameters() can be used once.")
    return list(dict.fromkeys(params))


def _shapes(value):
    """Return the shapes and dtypes of a list of buffers, or None for a setting."""
    return [(getattr(b, "shape", None), getattr(b, "dtype", None)) for b in value] if isinstance(value, list) else None
