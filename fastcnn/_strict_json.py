"""JSON according to its standard, which has no NaN and no infinity."""

import json
import math


def dumps(tree) -> str:
    """Write a tree as indented JSON; numbers that are not finite become null.

    Examples
    --------
    >>> from fastcnn import _strict_json
    >>> print(_strict_json.dumps({"loss": float("nan"), "steps": 2}))
    {
     "loss": null,
     "steps": 2
    }
    """
    return json.dumps(_finite(tree), indent=1, allow_nan=False)


def check(**trees) -> None:
    """Raise a TypeError or ValueError that names the first tree that cannot be written as JSON."""
    for name, tree in trees.items():
        try:
            json.dumps(tree, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"`{name}` cannot be written as JSON: {error}.") from error


def _finite(tree):
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
