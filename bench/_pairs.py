"""Times of the same work on two checkouts, "old" and "new", in pairs of fresh processes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import NamedTuple

import _measure
import _report
import numpy as np
import startup
from _checkouts import Checkout


class Pair(NamedTuple):
    """Times in two processes, one of each side: the medians of their turns, and the median of the ratios in a turn."""

    old_ms: float
    new_ms: float
    ratio: float


Sides = dict[str, Checkout]
Found = dict[str, list[Pair]]
Operations = dict[str, tuple]  # name: function that makes the operation on a side, and its arguments


def differing(sides: Sides, operations: Operations, tolerance: float) -> dict[str, str]:
    """Run each operation on both sides at once, which also compiles its kernels; return those not to be compared."""
    why = {}
    with _measure.start(sides) as running, ThreadPoolExecutor(len(running)) as at_once:
        for name, operation in _report.progress(operations.items(), "compiling"):
            answers = at_once.map(lambda side, operation=operation: side(_attempt, *operation), running.values())
            (old, old_error), (new, new_error) = answers
            if new_error:
                raise RuntimeError(f"{name} fails: {new_error}")
            if old_error:
                why[name] = f"new: the old revision fails with {old_error}"
                continue
            alike = len(old) == len(new)
            error = max(map(_measure.relative_error, new, old)) if alike else float("inf")
            if error > tolerance:
                why[name] = f"another result: it differs by {error:.1e}"
    return why


def of_operations(sides: Sides, operations: Operations, pairs: int, rounds: int, seconds: float) -> Found:
    """Time operations in turns, in several pairs of processes; each pair runs all of them, in an order of its own."""
    found, rng, names = {name: [] for name in operations}, np.random.default_rng(0), list(operations)
    for i in _report.progress(range(pairs if operations else 0), "pairs of processes"):
        rng.shuffle(names)  # the heap that an operation finds differs from pair to pair
        with _measure.start(_in_turn(sides, i)) as running:
            for name in _report.progress(names, "operations"):
                for side, process in running.items():
                    process(_measure.prepare, side, 2 * seconds, *operations[name])
                turns = _measure.turns(running, range(rounds), seconds)
                found[name].append(_pair(turns["old"], turns["new"]))
    return found


def of_starts(sides: Sides, code: str, cached: bool, pairs: int) -> list[Pair]:
    """Time code in fresh processes that find their kernels in a cache, or an empty cache."""
    found = []
    for i in _report.progress(range(pairs), "starts"):
        times = {side: _start(checkout, code, cached) * 1e3 for side, checkout in _in_turn(sides, i).items()}
        found.append(_pair([times["old"]], [times["new"]]))
    return found


def old_can_start(sides: Sides, code: str) -> bool:
    """Run code in a fresh process of each side, which also compiles its kernels; return whether the old side can."""
    _start(sides["new"], code, cached=True)
    try:
        _start(sides["old"], code, cached=True)
    except RuntimeError:
        return False
    return True


def _in_turn(sides: Sides, i: int) -> Sides:
    """The sides in the order of the turn i."""
    return dict(list(sides.items())[:: -1 if i % 2 else 1])


def _pair(old_ms: list[float], new_ms: list[float]) -> Pair:
    return Pair(*(float(np.median(numbers)) for numbers in (old_ms, new_ms, np.divide(new_ms, old_ms))))


def _start(checkout: Checkout, code: str, cached: bool) -> float:
    """Return the seconds until a fresh process has run the code, which imports fastcnn."""
    code += f"\nassert fastcnn.__file__ == {checkout.file!r}"
    if cached:
        return startup.seconds(code, str(checkout.cache), checkout.folder)
    with TemporaryDirectory() as empty:
        return startup.seconds(code, empty, checkout.folder)


def _attempt(make: Callable, *args) -> tuple[list[np.ndarray], str]:
    """Make an operation and run it, on a side; return its first result, or none and what failed."""
    try:
        return _measure.prepare("", 0, make, *args)[1], ""
    except Exception as error:
        return [], f"{type(error).__name__}: {error}".partition("\n")[0]
