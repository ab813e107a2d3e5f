"""Memory planning: arrays that are not needed at the same time share memory.

The largest arrays are placed first, each at the lowest place that is free during its lifetime. For nets that are chains
with shortcuts, this takes at most a few percent more than the least possible memory (Y. Pisarchyk, J. Lee, "Efficient
memory management for deep neural net inference", 2020, arXiv:2001.03288, offset calculation "greedy by size").
"""

from collections.abc import Iterable
from typing import Any


class Lifetime:
    """The first and last step, or chain, that needs an array; its size; and its place in shared memory."""

    def __init__(self, size: int = 0):
        self.size, self.place = size, 0
        self.first: Any = None  # None until a step needs the array
        self.last: Any = None

    def live(self, step: float) -> None:
        """Extend the lifetime to a step; call this for the steps in order."""
        self.first, self.last = step if self.first is None else self.first, step


def place(lifetimes: Iterable[Lifetime], alignment: int = 1) -> int:
    """Set the place of each needed array, a multiple of ``alignment``; returns the size needed in all."""
    placed: list[Lifetime] = []
    for one in sorted((one for one in lifetimes if one.first is not None), key=lambda one: (-one.size, one.first)):
        one.place = 0
        for other in placed:  # from the lowest place up
            if one.first <= other.last and other.first <= one.last:
                if one.place + one.size <= other.place:
                    break
                one.place = max(one.place, -(-(other.place + other.size) // alignment) * alignment)
        placed = sorted([*placed, one], key=lambda one: one.place)
    return max((one.place + one.size for one in placed), default=0)
