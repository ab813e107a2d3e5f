"""Little memory for many arrays: those that are not needed at the same time share a place.

The largest are placed first, each at the lowest place that is free all its life; that is within some percent of the
least memory there can be for nets that are chains with shortcuts (Y. Pisarchyk, J. Lee, "Efficient memory management
for deep neural net inference", 2020, arXiv:2001.03288, the offsets greedy by size).
"""

from collections.abc import Iterable
from typing import Any

from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES


class Lifetime:
    """From which step or chain to which an array is needed, its bytes, and its place among others."""

    def __init__(self, size: int = 0):
        self.size, self.place = size, 0
        self.first: Any = None  # or a step
        self.last: Any = None

    def live(self, step: float) -> None:
        """Be needed at a step; the first first."""
        self.first, self.last = step if self.first is None else self.first, step


def place(lifetimes: Iterable[Lifetime]) -> int:
    """Give each that is needed its place, a multiple of a vector's size, and return the bytes that all need."""
    placed: list[Lifetime] = []
    for one in sorted((one for one in lifetimes if one.first is not None), key=lambda one: (-one.size, one.first)):
        one.place = 0
        for other in placed:  # from the lowest place
            if one.first <= other.last and other.first <= one.last:
                if one.place + one.size <= other.place:
                    break
                one.place = max(one.place, -(-(other.place + other.size) // VECTOR_BYTES) * VECTOR_BYTES)
        placed = sorted([*placed, one], key=lambda one: one.place)
    return max((one.place + one.size for one in placed), default=0)
