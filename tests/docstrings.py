"""The public interface, and checks of the shapes and dtypes that its docstrings state."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import fastcnn

MODULES = "fastcnn", *(f"fastcnn.{name}" for name in fastcnn._SUBMODULES), "fastcnn.data.augment"


class Documented(NamedTuple):
    """A public function, class or method."""

    name: str
    owner: object  # the module or class that has it as an attribute
    function: object

    @property
    def is_method(self) -> bool:
        return inspect.isclass(self.owner)

    def __str__(self) -> str:
        return self.name


def public() -> Iterator[Documented]:
    """Yield the public functions, classes and methods, each in the first module that exports it."""
    seen = set()
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if not (inspect.isfunction(value) or inspect.isclass(value)) or value in seen:
                continue
            seen.add(value)
            yield Documented(f"{module.__name__}.{name}", module, value)
            for key, method in vars(value).items() if inspect.isclass(value) else ():
                method = getattr(method, "__func__", method)
                if inspect.isfunction(method) and not key.startswith("_"):
                    yield Documented(f"{module.__name__}.{name}.{key}", value, method)


def fault(text: str, value: np.ndarray, sizes: dict, arguments: dict) -> str | None:
    """Compare an array with the type that a docstring states; return what differs, or None.

    Parameters
    ----------
    text : str
        A type such as ``ndarray of shape (N, C, H, W) or (N, features), float32 or float64``.
    value : ndarray of any shape and dtype
    sizes : dict of str to int
        The sizes that the letters of shapes stand for in this call; those of this array are added.
    arguments : dict
        Arguments of the call, by name.
    """
    other = re.search(r"shape (?:and dtype )?(?:of )?`(\w+)`", text)
    if other:
        expected = (
            np.shape(arguments[other[1]]) if "of `" in other[0] else tuple(np.atleast_1d(arguments[other[1]]).tolist())
        )
        if value.shape != expected:
            return f"has shape {value.shape}, not {expected}"
    forms = re.search(r"shape (\([^()]*\)(?:(?:,|,? or) \([^()]*\))*)", text)
    shapes = [form.strip("()").rstrip(",").split(", ") for form in re.findall(r"\([^()]*\)", forms[1])] if forms else []
    known = {name: value for name, value in arguments.items() if isinstance(value, int)} | sizes
    fitting = [shape for shape in shapes if _fits(shape, value.shape, known)]
    if shapes and not fitting:
        return f"has shape {value.shape} where {sizes}"
    if len(fitting) == 1 and len(fitting[0]) == value.ndim:
        sizes.update({axis: size for axis, size in zip(fitting[0], value.shape, strict=True) if axis.isidentifier()})
    other = re.search(r"dtype of `(\w+)`", text)
    if other and value.dtype != arguments[other[1]].dtype:
        return f"is {value.dtype}, not {arguments[other[1]].dtype}"
    dtypes = re.findall(r"\b(?:float|u?int)\d+\b|\bbool\b", text)
    if dtypes and value.dtype.name not in dtypes:
        return f"is {value.dtype}"
    return None


def _fits(axes: list[str], shape: tuple[int, ...], known: dict) -> bool:
    """Whether an array's shape is the one that the axes describe."""
    if axes[-1] == "...":
        return len(shape) >= len(axes) - 1
    return len(shape) == len(axes) and all(
        _size(axis, known) in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _size(axis: str, known: dict) -> float | None:
    """Return the size of an axis such as "C", "3" or "C / groups"; None if it is unknown."""
    try:
        return eval(axis, {"__builtins__": {}}, known)
    except NameError:
        return None
