"""Plan the memory of activations: those that are not needed at the same time share places in one array."""

from collections.abc import Sequence
from typing import NamedTuple

from fastcnn._lifetimes import Lifetime, place
from fastcnn.interop.c.call import Call
from fastcnn.interop.c.steps import Array


class Plan(NamedTuple):
    """Where activations are kept.

    Attributes
    ----------
    homes : dict of int to Lifetime
        By the number of an activation. Activations that are computed in place have the home of the one before. The
        input has none: it stays where the caller has it.
    output : Lifetime
        The home of the output, which is the caller's array.
    size : int
        Length of the array that holds all other homes.
    """

    homes: dict[int, Lifetime]
    output: Lifetime
    size: int


def plan(calls: Sequence[Call], output: Array) -> Plan:
    """Choose a place for each activation, as close together as lifetimes allow."""
    last = {array.number: i for i, call in enumerate(calls) for array in call.x}
    homes: dict[int, Lifetime] = {}
    for i, call in enumerate(calls):
        free = (x.number for x in call.x if call.in_place and x.number in homes and last[x.number] == i)
        over = next(free, None)
        homes[call.y.number] = Lifetime(call.y.size) if over is None else homes[over]
        for array in (*call.x, call.y):
            if array.number in homes:
                homes[array.number].live(i)
    within = dict.fromkeys(home for home in homes.values() if home is not homes[output.number])
    return Plan(homes, homes[output.number], place(within))
