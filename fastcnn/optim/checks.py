"""Checks of parameters, gradients and states, for optimizers, schedules and averages."""

import copy
from collections.abc import Iterable, Mapping

import numpy as np

from fastcnn import _validate
from fastcnn.nn import Parameter


def check_names(owner, state: Mapping, own: Mapping) -> None:
    """Raise an error if a state does not have the entries of the ``owner``'s own state."""
    if not isinstance(state, Mapping):
        raise TypeError(f"The state of {type(owner).__name__} must be a dictionary, not {state!r:.60}.")
    if state.keys() != own.keys():
        raise ValueError(
            f"The state has {', '.join(map(repr, state)) or 'nothing'} but that of {type(owner).__name__} has "
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
    try:
        fitting = grad.shape == data.shape and grad.dtype == data.dtype
    except AttributeError:  # not isinstance, which takes 20 us of a step of 0.6 ms for ResNet-20
        raise TypeError(f"The gradient of parameter {i} must be a numpy array, not {type(grad).__name__}.") from None
    if not fitting:
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


def fits(value, fitting, forms: list[tuple]) -> bool:
    """Whether a value can be loaded in place of ``fitting``: lists with an item for each parameter, or settings.

    An array of the parameter's form can be loaded where there need not be one now.
    """
    found, needed = kinds(value), kinds(fitting)
    if found is None or needed is None:
        return found is needed
    return len(found) == len(needed) and all(
        kind == need or (need is None and [kind] == forms[i : i + 1])
        for i, (kind, need) in enumerate(zip(found, needed, strict=True))
    )


def copied(value):
    """Copy a value of a state; arrays become such as backends can change."""
    if not isinstance(value, list):
        return copy.deepcopy(value)
    return [np.array(item, order="C") if isinstance(item, np.ndarray) else copy.deepcopy(item) for item in value]


def kinds(value) -> list | None:
    """Return what kinds of items a list has; None if it is no list."""
    return [_kind(item) for item in value] if isinstance(value, list) else None


def _kind(item):
    if isinstance(item, np.ndarray):
        return item.shape, item.dtype
    if item is None:
        return None
    is_number = _validate.is_whole(item) or isinstance(item, (float, np.floating))
    return "number" if is_number else type(item).__name__
