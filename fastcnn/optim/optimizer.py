"""Base of the optimizers: their parameters, checks, and a state to save and load."""

import bisect
import copy
import itertools
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastcnn import _validate, backends
from fastcnn._names import choices_for
from fastcnn.nn import Parameter
from fastcnn.nn.parameter import own, zero_grad
from fastcnn.optim.checks import check_form, check_grad, check_names, checked_parameters, copied, fits, forms, kinds
from fastcnn.optim.postponing import postponed


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
        Default settings of the groups. Every optimizer has "lr", the learning rate, and "weight_decay"; its class says
        what they do.

    Attributes
    ----------
    param_groups : list of dict
        The groups. Each has its settings by name, and under "params" a tuple of its parameters. Settings may be changed
        at any time; the next step checks them.
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
        self._accepted: list = []  # values of the settings, as they were last checked
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
        self._check_known(param_group)
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

    def _check_known(self, group: Mapping) -> None:
        """Raise an error if a group has something that is no setting."""
        for name in group:
            if name != "params" and name not in self.defaults:
                raise ValueError(
                    f"A group has {name!r}, which is not a setting of {type(self).__name__}; its settings are "
                    f"{choices_for(name, self.defaults, repr)}."
                )

    def _accept_settings(self) -> None:
        """Check all settings if some have changed; store them in the form that those of new groups have."""
        if not identical(self._values(), self._accepted):
            for group in self.param_groups:
                self._check_known(group)
            checked = [self._checked(group) for group in self.param_groups]
            for group, settings in zip(self.param_groups, checked, strict=True):
                group.update(settings)
            self._accepted = self._values()

    def _values(self) -> list:
        """Return the values of all groups, with their parameters."""
        return [value for group in self.param_groups for value in group.values()]

    def step(self) -> None:
        """Update every parameter that has a gradient, in place, with the current backend.

        Raises
        ------
        TypeError, ValueError
            If a parameter no longer has the shape and dtype that it had when the optimizer was made, a gradient does
            not have those of its parameter, or a setting is unknown or out of range. After these and all other errors,
            no parameter has changed.
        """
        places, parameters, grads = self._ready()
        backend = backends.load()
        make_changes = postponed(
            backend, lambda: self._update(backend, places, parameters, grads), lambda: [*parameters, *self._arrays()]
        )
        make_changes()
        self._count(places)

    def _ready(self) -> tuple[list[int], list[np.ndarray], list[np.ndarray]]:
        """Check the settings and all parameters with a gradient; return their indices, arrays and gradients."""
        self._accept_settings()
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

    def load_buffers(self, buffers: Mapping[str, list]) -> None:
        """Restore buffers, and keep the settings.

        Parameters
        ----------
        buffers : mapping
            As returned by `buffers`. Parameters that were added since then get new ones.

        Raises
        ------
        TypeError, ValueError
            If the buffers do not fit; nothing has changed.
        """
        new = self._buffers_of(self.param_groups)
        complete = {name: [*some, *new.get(name, ())[len(some) :]] for name, some in buffers.items()}
        self.load_state_dict({**self.state_dict(), **complete})

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
        if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
            raise TypeError(f"The state's 'param_groups' must be a list of dictionaries, not {groups!r:.60}.")
        if [group.get("params") for group in groups] != [group["params"] for group in own["param_groups"]]:
            raise ValueError(
                f"The state's groups have the parameters {[group.get('params') for group in groups]} but must have "
                f"{[group['params'] for group in own['param_groups']]}."
            )
        for group, kept in zip(groups, self.param_groups, strict=True):
            check_names(self, group, kept)
        settings = [self._checked(group) for group in groups]
        fitting = own | self._buffers_of(
            [{**group, **changed} for group, changed in zip(self.param_groups, settings, strict=True)]
        )
        for name, value in buffers.items():
            if not fits(value, fitting[name], self._forms):
                raise ValueError(f"The state's {name!r} does not fit the parameters: {kinds(value)}.")
        self._check_buffers(buffers)
        buffers = {name: copied(value) for name, value in buffers.items()}
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

    def _check_buffers(self, buffers: Mapping) -> None:
        """Check the values of buffers that are to be loaded; their kinds are right."""

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
        """Check the settings; return them and the buffers, which are the same objects if nothing has changed."""
        self._accept_settings()
        values = vars(self).values()
        return [*values, *itertools.chain.from_iterable(value for value in values if isinstance(value, list))]

    def _arrays(self) -> list[np.ndarray]:
        """Return the buffers of all parameters."""
        lists = [value for value in vars(self).values() if isinstance(value, list)]
        return [item for value in lists for item in value if isinstance(item, np.ndarray)]


_OWN = "defaults", "params", "_forms", "param_groups", "_accepted"


def zeros(group: Mapping) -> list[np.ndarray]:
    """Return a buffer of zeros for each parameter of a group."""
    return [np.zeros(parameter.shape, parameter.dtype) for parameter in group["params"]]


def _groups(params) -> list[Mapping]:
    """Return the ``params`` of an optimizer as groups."""
    if isinstance(params, Iterable):
        params = list(params)
        if params and isinstance(params[0], Mapping):
            return params
    return [{"params": checked_parameters(params)}]


def identical(some: list, others: list) -> bool:
    """Whether two lists hold the same objects."""
    return len(some) == len(others) and all(map(operator.is_, some, others))
