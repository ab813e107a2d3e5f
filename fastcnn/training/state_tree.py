"""A run's state as a tree of dictionaries, lists, tuples, numbers, strings, None and arrays.

`split` separates it into JSON and arrays, and `join` puts it together again exactly. `faults` compares two trees before
one replaces the other.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from fastcnn._names import dotted


def split(tree, arrays: dict[str, np.ndarray], name: str):
    """Return the tree for JSON; its arrays are added to ``arrays``, under dotted names that begin with ``name``.

    An array becomes ``{"$array": name}``, a tuple ``{"$tuple": [...]}``, and a number that is not finite, which JSON
    cannot hold, ``{"$float": "nan"}``, "inf" or "-inf".

    Raises
    ------
    TypeError
        If it holds a value of another type.
    """
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"$float": str(tree)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "fiub":
        arrays[name] = tree
        return {"$array": name}
    if isinstance(tree, (list, tuple)):
        items = [split(item, arrays, dotted(name, i)) for i, item in enumerate(tree)]
        return items if isinstance(tree, list) else {"$tuple": items}
    if isinstance(tree, Mapping) and all(isinstance(key, str) and not key.startswith("$") for key in tree):
        return {key: split(item, arrays, dotted(name, key)) for key, item in tree.items()}
    raise TypeError(f"`{name}` is {tree!r:.60}, and a {type(tree).__name__} cannot be saved.")


def join(tree, arrays: Mapping[str, np.ndarray]):
    """Return the tree that `split` separated.

    Raises
    ------
    ValueError
        If an array is missing, or a ``$float`` is not a number.
    """
    if isinstance(tree, list):
        return [join(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"$tuple"} and isinstance(tree["$tuple"], list):
        return tuple(join(item, arrays) for item in tree["$tuple"])
    if tree.keys() == {"$float"}:
        return float(tree["$float"])
    if tree.keys() == {"$array"}:
        if tree["$array"] not in arrays:
            raise ValueError(f"The array {tree['$array']!r} is missing.")
        return arrays[tree["$array"]]
    return {key: join(item, arrays) for key, item in tree.items()}


def check(own, given, name: str) -> None:
    """Raise a ValueError that lists all `faults`, if there are any."""
    found = list(faults(own, given, name))
    if found:
        raise ValueError(f"{'; '.join(found)}.")


def faults(own, given, name: str) -> Iterator[str]:
    """Yield why ``given`` cannot replace ``own``: keys, lengths, shapes, dtypes, types of numbers, strings.

    Numbers may have other values, and None may replace a float. Strings and bools are settings and must be the same.
    """
    if isinstance(own, np.ndarray):
        if not isinstance(given, np.ndarray):
            yield f"`{name}` must be an array of shape {own.shape}, not {_kind(given)}"
        elif own.shape != given.shape:
            yield f"`{name}` has shape {given.shape} but must have {own.shape}"
        elif own.dtype != given.dtype:
            yield f"`{name}` is {given.dtype} but must be {own.dtype}"
    elif isinstance(own, Mapping):
        if not isinstance(given, Mapping):
            yield f"`{name}` must have {', '.join(map(repr, own))}, not be {_kind(given)}"
            return
        yield from (f"`{dotted(name, key)}` is missing{_shape(own[key])}" for key in own if key not in given)
        yield from (f"`{dotted(name, key)}` is unexpected{_shape(given[key])}" for key in given if key not in own)
        for key in (key for key in own if key in given):
            yield from faults(own[key], given[key], dotted(name, key))
    elif isinstance(own, (list, tuple)):
        if type(given) is not type(own) or len(given) != len(own):
            yield f"`{name}` must be a {type(own).__name__} of {len(own)}, not {_kind(given)}"
            return
        for i, (mine, other) in enumerate(zip(own, given, strict=True)):
            yield from faults(mine, other, dotted(name, i))
    elif isinstance(own, (str, bool)):
        if own != given or type(own) is not type(given):
            yield f"`{name}` is {given!r:.60} but here it is {own!r}"
    elif not _may_be(own, given):
        needed = "None" if own is None else f"a number like {own!r}"
        yield f"`{name}` must be {needed}, not {_kind(given)}"


def _may_be(own, given) -> bool:
    """Whether one number may replace another; None is a float that is not known yet."""
    whole = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
    if isinstance(own, (int, np.integer)):
        return whole
    return whole or given is None or isinstance(given, (float, np.floating))


def _shape(value) -> str:
    return f" (shape {value.shape})" if isinstance(value, np.ndarray) else ""


def _kind(value) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, (list, tuple, dict)) else f"{value!r:.60}"
